"""When the pass gives a stage or a run up: the keys of `requeue`."""

from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, ConfigDict, Field

from jobs.contract.units import Duration, parse_duration

OF_THE_RUN: Final = ("max_gpu_hours", "deadline")
"""Keys of `requeue` that a single stage cannot have."""

_MUST: Final = "write a duration after submission such as 72h, or 2026-12-24T18:00+01:00"
_Count = Annotated[int, Field(ge=1, strict=True)]
_Failures = Annotated[int, Field(ge=0, strict=True)]


def _deadline(text: str, submitted_at: float) -> float:
    """Unix seconds of a deadline; raises ValueError where the text is none."""
    try:
        return submitted_at + parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a deadline; {_MUST}") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} is no moment without a time zone; {_MUST}")
    return moment.timestamp()


def _checked_deadline(text: str) -> str:
    _deadline(text, 0.0)
    return text


@dataclass(frozen=True)
class Requeue:
    """When the pass gives up; `max_gpu_hours` and `deadline` are the run's, all else a stage's.

    Attributes:
        no_progress: Attempts in a row that may end without a new checkpoint.
        failures: Failures in a row (not interruptions) that are tried again.
        storm: Attempts that may begin within 30 minutes.
        hang_s: Least time without a step before a job counts as hung, key `hang`; its start may
            take three times as long.
        max_gpu_hours: GPU time that the run may take; None: any.
        deadline: When the run must be done, as written: a duration after submission, or an
            ISO date and time with its zone. None: never.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", allow_inf_nan=False)

    no_progress: _Count = 3
    failures: _Failures = 2
    storm: _Count = 5
    max_gpu_hours: Annotated[float, Field(gt=0, strict=True)] | None = None
    deadline: Annotated[str, AfterValidator(_checked_deadline)] | None = None
    hang_s: Annotated[Duration, Field(alias="hang", ge=1)] = 600


USUAL: Final = Requeue()
"""What holds where the pipeline file says nothing."""


@dataclass(frozen=True)
class StageRequeue:
    """What a stage puts over the pipeline's `requeue`; None: nothing."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    no_progress: _Count | None = None
    failures: _Failures | None = None
    storm: _Count | None = None
    hang_s: Annotated[Duration | None, Field(alias="hang", ge=1)] = None

    def over(self, whole: Requeue) -> Requeue:
        """The pipeline's settings with the stage's own put over them."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(whole, **{key: value for key, value in own.items() if value is not None})


def deadline_at(requeue: Requeue, submitted_at: float) -> float | None:
    """When a run must be done, Unix seconds; None: never.

    Args:
        requeue: The pipeline's.
        submitted_at: When the run was submitted, Unix seconds.
    """
    return None if requeue.deadline is None else _deadline(requeue.deadline, submitted_at)
