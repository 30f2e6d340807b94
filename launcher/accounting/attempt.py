"""Takes an attempt apart: where the time went in which it held its nodes. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from db.schema import Attempt
from jobs.contract.events import Event
from launcher.accounting.parts import Spent
from launcher.accounting.trace import Trace, number, trace_of
from launcher.cluster.states import Ending
from launcher.goodput import mean_step_s, surviving_steps

STOPPED = "stopped"
"""How the event file calls an end on a signal."""


@dataclass(frozen=True)
class AttemptSpent:
    """One attempt of a stage.

    Attributes:
        stage: The stage's name.
        was_preempted: By the ledger, or because it stopped on a signal: then Slurm's word for
            its end is that the job put itself back into the queue.
        lost_steps: That a later attempt makes again.
        step_s: Of a step, by its means; None: none was told.
        save_s: Longest of its saves.
        spent: Its seconds.
        gpus: That it held.
        attempt: As the ledger has it.
        from_step: The step it went on from; None: it did not come so far.
        to_step: The last step that is known of it.
    """

    stage: str
    was_preempted: bool
    lost_steps: int
    step_s: float | None
    save_s: float
    spent: Spent
    gpus: int
    attempt: Attempt
    from_step: int | None = None
    to_step: int | None = None


def take_apart(
    stage: str,
    attempt: Attempt,
    events: Sequence[Event],
    again: int | None,
    *,
    gpus: int = 0,
    now: float | None = None,
) -> AttemptSpent:
    """Takes an attempt apart.

    Args:
        stage: Its stage.
        attempt: As the ledger has it, started. The cluster knows its times to a second.
        events: Those it has told.
        again: The step that is gone on from after it; None: all that it made counts.
        gpus: That it holds.
        now: The end of one that still runs, Unix seconds.
    """
    began = attempt.started_at or 0.0
    until = now if attempt.ended_at is None else attempt.ended_at
    ended = max(began, began if until is None else until)
    trace = trace_of(events, began, ended)
    if trace is not None:
        spent, lost = _by_trace(trace, began, ended, again, runs=attempt.ended_at is None)
    elif events or attempt.last_step is None:
        spent, lost = Spent(allocated=ended - began, start=ended - began), 0
    else:
        spent, lost = _by_ledger(attempt, ended - began)
    was_preempted = attempt.cause == Ending.PREEMPTED or attempt.exit_kind == STOPPED
    saves = [number(event, "save_s") or 0.0 for event in events if event.kind == "checkpoint"]
    return AttemptSpent(
        stage=stage,
        was_preempted=was_preempted,
        lost_steps=lost,
        step_s=_step_s(trace),
        save_s=max(saves, default=0.0),
        spent=spent,
        gpus=gpus,
        attempt=attempt,
        from_step=attempt.first_step if trace is None else trace.first_step,
        to_step=attempt.last_step if trace is None else trace.last_step,
    )


def _by_trace(
    trace: Trace, began: float, ended: float, again: int | None, *, runs: bool
) -> tuple[Spent, int]:
    """The seconds of an attempt that came to its first step, and the steps that it lost."""
    span = trace.last_at - trace.first_at
    held = min(span, math.fsum(s.held_s for s in trace.saves if s.at - s.save_s < trace.last_at))
    told = math.fsum(each.work_s + each.data_s for each in trace.stretches)
    fit = min(1.0, (span - held) / told) if told else 0.0
    safe = trace.last_step if again is None else again
    kept = [(each, 1.0 - each.share_after(safe)) for each in trace.stretches]
    steps = fit * math.fsum(each.work_s * share for each, share in kept)
    data = fit * math.fsum(each.data_s * share for each, share in kept)
    lost = fit * math.fsum((e.work_s + e.data_s) * (1 - share) for e, share in kept)
    tail = ended - trace.last_at
    saved = min(tail, math.fsum(_after(trace.last_at, s.at, s.save_s) for s in trace.saves))
    silent = _silent(trace, ended)
    if silent and (runs or trace.ended_well):
        steps += silent
    else:
        lost += silent
    spent = Spent(
        allocated=ended - began,
        steps=steps,
        data=data,
        lost=lost,
        start=trace.first_at - began,
        saves=held + (0.0 if silent else saved),
        end=0.0 if runs else max(0.0, tail - silent - (0.0 if silent else saved)),
    )
    return spent, max(0, trace.last_step - max(safe, trace.first_step))


def _silent(trace: Trace, ended: float) -> float:
    """Seconds after the last save of a program that tells of saves only, or of nothing."""
    if trace.tells_steps:
        return 0.0
    return max(0.0, (ended if trace.exit_at is None else trace.exit_at) - trace.last_at)


def _after(last_at: float, at: float, save_s: float) -> float:
    """Seconds of a save that lie after the last step."""
    return max(0.0, min(save_s, at - last_at))


def _by_ledger(attempt: Attempt, allocated: float) -> tuple[Spent, int]:
    """What the ledger remembers of an attempt whose event file is gone.

    A ledger of before 0004 does not say what the steps took; then the last one stands for all, its
    wait for data included.
    """
    known_s = attempt.step_s if attempt.work_s is None else mean_step_s(attempt)
    step_s, lost = known_s or 0.0, max(0, attempt.steps_lost or 0)
    steps = min(allocated, surviving_steps(attempt) * step_s)
    return Spent(allocated=allocated, steps=steps, lost=min(allocated - steps, lost * step_s)), lost


def _step_s(trace: Trace | None) -> float | None:
    """Mean seconds of a step, without its wait for data."""
    if trace is None or trace.last_step <= trace.first_step:
        return None
    made = trace.last_step - trace.first_step
    return math.fsum(each.work_s for each in trace.stretches) / made
