"""How well something went: a share of right answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """How one task went, or one measure of it.

    Attributes:
        name: The task or the measure.
        correct: Rows answered rightly.
        total: Rows asked about; one whose clip cannot be read counts as wrong.
        majority: Rows that the most frequent answer is right for; None where there is no such.
    """

    name: str
    correct: int
    total: int
    majority: int | None = None

    @property
    def accuracy(self) -> float:
        """Part answered rightly, 0 to 1."""
        return self.correct / self.total

    def as_fields(self) -> dict[str, str | int | float]:
        """As the event and the results file say it; `value` and `majority` are parts, 0 to 1."""
        fields: dict[str, str | int | float] = {
            "name": self.name,
            "value": self.accuracy,
            "correct": self.correct,
            "total": self.total,
        }
        return (
            fields if self.majority is None else fields | {"majority": self.majority / self.total}
        )


def total_of(scores: Sequence[Score]) -> Score:
    """The average over all rows, as MVBench counts it."""
    majority = [score.majority for score in scores if score.majority is not None]
    return Score(
        "average",
        sum(score.correct for score in scores),
        sum(score.total for score in scores),
        sum(majority) if len(majority) == len(scores) else None,
    )


Tell = Callable[[Score], None]
"""Takes a score as soon as it is known."""


@dataclass(frozen=True)
class Results:
    """The end of an evaluation.

    Attributes:
        step: Rows answered.
        files: What to write down, as texts by the names of files.
    """

    step: int
    files: Mapping[str, str]
