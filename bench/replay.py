"""A run that really was interrupted, given to the simulation with the moments of its interruptions.

What the simulation is told: a step's seconds, start-up and wait as medians over all attempts of the
stage, the saves as the program makes them, and when the signals came. What it is not told: how far
each attempt came, and when anything ended.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from launcher.foresee import PlacedStage, StageModel
from launcher.foresee.pipeline import run_once
from launcher.foresee.stage import at_moments


@dataclass(frozen=True)
class SeenAttempt:
    """An attempt; seconds since the run's submission.

    Attributes:
        began_s: It got its nodes.
        ready_s: Its first step began.
        signal_s: It was told to stop; None: it was not.
        last_s: Its last step was done.
        first: The step that it went on from.
        last: Its last step.
    """

    began_s: float
    ready_s: float
    signal_s: float | None
    last_s: float
    first: int
    last: int


@dataclass(frozen=True)
class SeenStage:
    """A stage.

    Attributes:
        name: Its name.
        parents: What it waited for.
        steps: That it had to do.
        save_every: Steps between two saves.
        heeds: Told to stop, it saves.
        attempts: In order.
    """

    name: str
    parents: tuple[str, ...]
    steps: int
    save_every: int
    heeds: bool
    attempts: tuple[SeenAttempt, ...]


@dataclass(frozen=True)
class Trace:
    """A run.

    Attributes:
        stages: In order.
    """

    stages: tuple[SeenStage, ...]

    @property
    def end_s(self) -> float:
        """When its last step was done."""
        return max(stage.attempts[-1].last_s for stage in self.stages)


def write_trace(path: Path, trace: Trace) -> None:
    """Writes it as JSON."""
    path.write_text(json.dumps(asdict(trace), indent=1) + "\n", encoding="utf-8")


def read_trace(path: Path) -> Trace:
    """Reads what `write_trace` wrote."""
    held = json.loads(path.read_text(encoding="utf-8"))
    stages = [
        SeenStage(
            **{
                **stage,
                "parents": tuple(stage["parents"]),
                "attempts": tuple(SeenAttempt(**each) for each in stage["attempts"]),
            }
        )
        for stage in held["stages"]
    ]
    return Trace(tuple(stages))


def simulated_s(trace: Trace) -> float:
    """When the simulation has the run done, under the same interruptions."""
    stages = [
        PlacedStage(name=stage.name, parents=stage.parents, model=model_of(stage, trace))
        for stage in trace.stages
    ]
    following = {stage.name: at_moments(signals(stage)) for stage in trace.stages}
    return max(ran.end_s for ran in run_once(stages, following).values())


def signals(stage: SeenStage) -> list[tuple[float, bool]]:
    """When a stage was told to stop, and whether it then saved."""
    told = (attempt.signal_s for attempt in stage.attempts)
    return [(at_s, stage.heeds) for at_s in told if at_s is not None]


def model_of(stage: SeenStage, trace: Trace) -> StageModel:
    """What the stage does between interruptions, by medians over its attempts."""
    step_s = median((a.last_s - a.ready_s) / (a.last - a.first) for a in stage.attempts)
    waits = [
        later.began_s - earlier.signal_s
        for earlier, later in zip(stage.attempts, stage.attempts[1:], strict=False)
        if earlier.signal_s is not None
    ]
    done = {each.name: each.attempts[-1].last_s for each in trace.stages}
    turn_s = max((done[parent] for parent in stage.parents), default=0.0)
    return StageModel(
        work_s=stage.steps * step_s,
        interval_s=stage.save_every * step_s,
        start_s=median(attempt.ready_s - attempt.began_s for attempt in stage.attempts),
        first_wait_s=stage.attempts[0].began_s - turn_s,
        wait_s=median(waits) if waits else 0.0,
    )
