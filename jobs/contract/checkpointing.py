"""When a training stage saves: the keys of `checkpoint` in the pipeline file."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from jobs.contract.strict import Strict
from jobs.contract.units import Duration


def _steps_or_auto(value: object) -> object:
    """One message, where pydantic has one for each kind of value."""
    if value != "auto" and (type(value) is not int or value < 1):
        raise ValueError(f"{value!r} is neither a number of steps, 1 or more, nor auto")
    return value


class Checkpointing(Strict):
    """When a stage saves, beside its end and a stop signal, and what of it stays on the disk.

    Attributes:
        every: Optimizer steps between two saves; `auto` chooses from what saves, steps and
            interruptions have cost so far (`jobs.checkpoint.interval`).
        min_interval: Shortest time between two saves that `auto` may choose.
        max_interval: Longest.
        keep: How many of the newest checkpoints stay on the disk.
        keep_every: Beside them stays the first checkpoint of each so many steps.
        keep_epochs: And the one at the end of each epoch, which is saved for it.
        keep_best: And the one with the lowest training loss since the save before it.
        max_unsaved: While nothing can be saved the run goes on, but stops (exit 75) before
            longer work than this is unsaved. When half of it is, it is saved in any case.
    """

    every: Annotated[int | Literal["auto"], BeforeValidator(_steps_or_auto)] = "auto"
    min_interval: Annotated[Duration, Field(ge=1)] = 30
    max_interval: Annotated[Duration, Field(ge=1)] = 3600
    keep: Annotated[int, Field(ge=1)] = 2
    keep_every: Annotated[int, Field(ge=1)] | None = None
    keep_epochs: bool = False
    keep_best: bool = False
    max_unsaved: Annotated[Duration, Field(ge=1)] = 7200

    @model_validator(mode="after")
    def _has_bounds_in_order(self) -> "Checkpointing":
        if self.min_interval > self.max_interval:
            raise ValueError("min_interval is longer than max_interval")
        return self
