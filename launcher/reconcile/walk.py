"""Acts on the stages of one run, parents first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from db.errors import LedgerError
from db.schema import StageRun
from db.states import StageState
from launcher.cluster.base import Cluster
from launcher.cluster.states import Meaning
from launcher.errors import LauncherError
from launcher.reconcile.act import Actor, Became
from launcher.reconcile.facts import StageFacts, is_waiting
from launcher.reconcile.judge import Judged, RunView
from launcher.reconcile.policy import Action

NEW_JOB = "(new)"
_BEGINS = (Action.SUBMIT, Action.RESUBMIT)


@dataclass(frozen=True)
class Done:
    """One decision that acts.

    Attributes:
        run: The run.
        stage: The stage.
        rule: Id of the rule.
        action: What was to be done.
        sentence: Why.
        said: What was done; empty: nothing (it was not yet time, or this is a dry run).
        error: Why it could not be done.
        not_before: When it is due, Unix seconds; None: now.
    """

    run: str
    stage: str
    rule: str
    action: str
    sentence: str
    said: str = ""
    error: str = ""
    not_before: float | None = None


def walk(
    run: Sequence[StageFacts], cluster: Cluster, actor: Actor | None, *, now: float
) -> list[Done]:
    """Does what is due for the stages of one run, in order.

    Args:
        run: The facts about all of its stages.
        cluster: Where its jobs are.
        actor: Who acts; None: nobody, this only tells what would be done.
        now: Unix seconds.
    """
    view, done = RunView.of(run), []
    busy = not cluster.holds_dependencies and any(_is_live(facts) for facts in run)
    for facts in run:
        judged = view.judge(facts)
        decision = judged.decision
        if not needs_act(judged) or (busy and decision.action in _BEGINS):
            continue
        entry = entry_of(judged)
        if decision.not_before is not None and decision.not_before > now:
            done.append(entry)
            continue
        if actor is None:
            became: Became | None = _foreseen(judged)
        else:
            parents = _dependency(view, facts, cluster)
            entry, became = attempt(entry, partial(actor.act, judged, parents))
        done.append(entry)
        if became is not None:
            view.became(facts, became.state, became.slurm_id)
        busy = busy or (decision.action in _BEGINS and not cluster.holds_dependencies)
    return done


def _dependency(view: RunView, facts: StageFacts, cluster: Cluster) -> tuple[str, ...]:
    """Slurm ids that a new job of this stage has to wait for."""
    if not cluster.holds_dependencies:
        return ()
    parents = [view.parents[name] for name in facts.stage.needs if name in view.parents]
    return tuple(p.slurm_id for p in parents if not p.done and p.slurm_id is not None)


def _is_live(facts: StageFacts) -> bool:
    queued = facts.situation.queued
    return queued is not None or (facts.slurm_id is not None and not facts.gone)


def needs_act(judged: Judged) -> bool:
    """Whether there is anything to be done outside the ledger."""
    decision, queued = judged.decision, judged.facts.situation.queued
    if decision.action is Action.HOLD:
        return (
            is_waiting(judged.facts) and queued is not None and queued.meaning is not Meaning.HELD
        )
    if decision.action in (Action.CANCEL, Action.WITHDRAW):
        return queued is not None
    return decision.acts


def _foreseen(judged: Judged) -> Became:
    """What the act would lead to."""
    decision = judged.decision
    begins = decision.action in _BEGINS
    state = StageState.PENDING if begins else decision.state or judged.facts.stage.state
    return Became(state, NEW_JOB if begins else None, "")


def entry_of(judged: Judged) -> Done:
    """A decision as a pass reports it."""
    stage, decision = judged.facts.stage, judged.decision
    return Done(
        run=stage.run_id,
        stage=stage.stage,
        rule=decision.rule,
        action=str(decision.action),
        sentence=decision.sentence,
        not_before=decision.not_before,
    )


def attempt(entry: Done, act: Callable[[], Became]) -> tuple[Done, Became | None]:
    """Acts for one job; what goes wrong is told, and keeps no other job from its due."""
    try:
        became = act()
    except LedgerError:  # that concerns all jobs
        raise
    except LauncherError as error:
        return replace(entry, error=str(error)), None
    except Exception as error:  # noqa: BLE001 - recorded as an event; the other jobs go on
        return replace(entry, error=f"{type(error).__name__}: {error}"), None
    return replace(entry, said=became.said), became


def cancel_superseded(actor: Actor, slurm_id: str, stage: StageRun) -> Done:
    """Ends a job whose place another one has taken."""
    entry = Done(
        run=stage.run_id,
        stage=stage.stage,
        rule="superseded",
        action=str(Action.CANCEL),
        sentence=f"job {slurm_id} belongs to a submission that is over",
    )
    return attempt(entry, partial(actor.cancel_superseded, slurm_id, stage))[0]
