"""From a plan to what a simulation needs, and from there to what is to be expected. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from launcher.cluster.notice import Notice
from launcher.foresee import (
    Foresight,
    Intervals,
    PlacedStage,
    Rates,
    StageModel,
    compare_intervals,
    foresee,
)
from launcher.past import NOTHING, Past
from launcher.plan import Plan, PlannedStage
from launcher.queues import Queues
from launcher.saving import interval_of, saves_at_all

ASSUMED_SAVE_S, ASSUMED_RESTART_S = 60.0, 180.0
_TRIES, _FEWEST = 100, 5
"""Runs for each interval that is tried; they meet the same luck."""
_TRIED_STOPS = 20_000
"""With so many interruptions in all, more runs tell no more."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line says of interruptions; None: it does not.

    Attributes:
        announced_per_s: Preemptions of a job, per second.
        node_failures_per_s: Failures of a node, per second.
        failures: Where that rate comes from, for people.
        save_s: That a save holds a stage up.
        restart_s: From an interruption to the next step, the queue included.
        grace_s: Notice before a preemption.
        runs: To simulate.
        seed: Of the random numbers.
    """

    announced_per_s: float | None = None
    node_failures_per_s: float | None = None
    failures: str = ""
    save_s: float | None = None
    restart_s: float | None = None
    grace_s: float | None = None
    runs: int = 1000
    seed: int = 1

    @property
    def foresees(self) -> bool:
        """Whether anything is said to come between."""
        return self.announced_per_s is not None or self.node_failures_per_s is not None


@dataclass(frozen=True)
class Assumed:
    """What the simulation of a stage rests on.

    Attributes:
        stage: Its name.
        model: Its seconds.
        rates: Its interruptions.
        interval: What says how often it saves.
        save_from: What says what a save takes: `given`, `ledger`, `assumed`.
        restart_from: What says what a restart takes, likewise.
        grace_s: Notice of a preemption that is too short for a save: it counts as none; None: it
            is long enough, or not known.
    """

    stage: str
    model: StageModel
    rates: Rates
    interval: str
    save_from: str
    restart_from: str
    grace_s: float | None


@dataclass(frozen=True)
class Outlook:
    """What is to be expected of a run.

    Attributes:
        wanted: What was asked for.
        assumed: Of each stage that is known.
        foresight: Of the run.
        intervals: How often to save each of them; where nothing else loses work, as if
            preemptions came without notice.
    """

    wanted: Wanted
    assumed: tuple[Assumed, ...]
    foresight: Foresight
    intervals: tuple[Intervals, ...]

    @property
    def loses_work(self) -> bool:
        """Whether an interruption comes without time to save."""
        return any(each.rates.hard_per_s for each in self.assumed)


def look_ahead(
    plan: Plan,
    wanted: Wanted,
    pasts: Mapping[str, Past],
    queues: Queues,
    *,
    intervals: bool = True,
) -> Outlook | None:
    """Simulates the stages of which the plan knows how long they take; None: there are none.

    Args:
        plan: The plan.
        wanted: What comes between.
        pasts: What earlier runs say, by stage.
        queues: What the clusters say.
        intervals: Try also how often to save.
    """
    known = [stage for stage in plan.stages if stage.is_job and stage.wall_s]
    if not known:
        return None
    assumed = tuple(
        assume(stage, wanted, pasts.get(stage.stage.name, NOTHING), queues) for stage in known
    )
    names = [stage.stage.name for stage in known]
    placed = [
        PlacedStage(
            name=each.stage,
            parents=_known_parents(plan, stage, names),
            model=each.model,
            rates=each.rates,
            gpus=stage.stage.cluster.max_nodes * stage.stage.cluster.gpus_per_node,
        )
        for stage, each in zip(known, assumed, strict=True)
    ]
    tried = [_try(each, wanted) for each in (assumed if intervals else ())]
    foresight = foresee(placed, runs=wanted.runs, seed=wanted.seed)
    return Outlook(wanted, assumed, foresight, tuple(tried))


def _try(each: Assumed, wanted: Wanted) -> Intervals:
    """Tries how often to save, with fewer runs where each has many interruptions."""
    losing = _losing(each.rates)
    stops = losing.hard_per_s * each.model.undisturbed_s
    runs = max(_FEWEST, min(_TRIES, wanted.runs, int(_TRIED_STOPS / (1 + stops))))
    return compare_intervals(each.model, losing, runs=runs, seed=wanted.seed)


def _losing(rates: Rates) -> Rates:
    """What loses work; where nothing does, the preemptions as if nobody told of them."""
    return rates if rates.hard_per_s else Rates(hard_per_s=rates.announced_per_s)


def assume(planned: PlannedStage, wanted: Wanted, past: Past, queues: Queues) -> Assumed:
    """What a stage is taken to do: by the command line, else the ledger, else a usual value."""
    stage = planned.stage
    work_s = past.work_s if planned.past is not None else planned.wall_s
    save_s, save_from = _first(wanted.save_s, past.save_s, ASSUMED_SAVE_S)
    known_s = None if past.start_s is None else past.start_s + (past.wait_s or 0.0)
    restart_s, restart_from = _first(wanted.restart_s, known_s, ASSUMED_RESTART_S)
    wait_s = min(past.wait_s or 0.0, restart_s)
    hard = (wanted.node_failures_per_s or 0.0) * stage.cluster.max_nodes
    announced = wanted.announced_per_s or 0.0
    notice = queues.notices.get(stage.name)
    grace_s = _short_grace_s(wanted.grace_s, notice, save_s) if announced else None
    if grace_s is not None or not saves_at_all(stage):
        hard, announced = hard + announced, 0.0
    interval_s, why = interval_of(stage, save_s, past.step_s, hard)
    model = StageModel(
        work_s=work_s or 0.0,
        save_s=save_s,
        interval_s=interval_s,
        start_s=restart_s - wait_s,
        first_wait_s=queues.waits_s.get(stage.name, wait_s),
        wait_s=wait_s,
        slice_s=float(stage.cluster.time_limit_s - stage.cluster.signal_lead_s),
        resumes=not math.isinf(interval_s),
    )
    return Assumed(stage.name, model, Rates(hard, announced), why, save_from, restart_from, grace_s)


def _first(given: float | None, known: float | None, usual: float) -> tuple[float, str]:
    if given is not None:
        return given, "given"
    return (usual, "assumed") if known is None else (known, "ledger")


def _short_grace_s(given_s: float | None, notice: Notice | None, save_s: float) -> float | None:
    """The grace, as given or that of the partition, where it is known and no save fits in."""
    known_s = given_s
    if known_s is None and notice is not None and notice.preempts:
        known_s = notice.grace_s
    return known_s if known_s is not None and known_s < save_s else None


def _known_parents(plan: Plan, planned: PlannedStage, known: list[str]) -> tuple[str, ...]:
    """The nearest stages before it that are simulated."""
    by_name = {each.stage.name: each for each in plan.stages}
    found: dict[str, None] = {}
    ahead = list(planned.parents)
    while ahead:
        name = ahead.pop()
        if name in known:
            found[name] = None
        else:
            ahead += by_name[name].parents
    return tuple(found)
