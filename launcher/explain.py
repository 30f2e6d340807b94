"""Why a stage stands where it does, from what a pass would see and decide."""

import time
from collections.abc import Mapping, Sequence

from db.schema import Attempt, StageRun
from db.states import DONE_STATES, StageState
from launcher.cluster.base import Cluster
from launcher.cluster.reasons import in_words
from launcher.cluster.states import Meaning
from launcher.reconcile.history import merged
from launcher.reconcile.judge import Judged
from launcher.reconcile.policy import Action
from launcher.view import nodes_in_words

_NEXT = {
    Action.NOTHING: "nothing has to be done",
    Action.DONE: "nothing has to be done",
    Action.FAIL: "it is given up; launcher resume tries again",
    Action.HOLD: "it stays so until launcher resume",
    Action.CANCEL: "it stays cancelled; launcher resume takes it up again",
}
_NEXT_OF_STATE = {
    StageState.FAILED: _NEXT[Action.FAIL],
    StageState.HELD: _NEXT[Action.HOLD],
    StageState.CANCELLED: _NEXT[Action.CANCEL],
}
_ENDED = (*DONE_STATES, *_NEXT_OF_STATE)
_LOOK_AGAIN = (
    "no-answer",
    "settling",
    "who-cancelled",
    "who-stopped",
    "looks-for-job",
    "lost-but-alive",
)


def explain(
    judged: Judged, run: Sequence[Judged], cluster: Cluster, *, now: float, no_answer: str
) -> dict[str, str]:
    """Sentences by what they are about; empty where there is nothing to say.

    Args:
        judged: The stage.
        run: All stages of its run.
        cluster: Asked when a waiting job is expected to start.
        now: Unix seconds.
        no_answer: Who did not answer, in words.
    """
    facts, decision = judged.facts, judged.decision
    stage = facts.stage
    state = decision.state or stage.state
    return {
        "stage": f"{stage.stage} of run {stage.run_id}: {state}",
        "slurm": no_answer or _queue(judged),
        "expected_start": _start(judged, cluster),
        "parents": _parents(judged, run),
        "last_attempt": _last(stage, merged(stage.attempts, facts.attempts)),
        "checkpoint": _checkpoint(judged),
        "rule": _rule(judged),
        "next": _next(judged, cluster, now),
    }


def explain_unseen(stage: StageRun, run: Sequence[StageRun]) -> dict[str, str]:
    """The same of another user's stage, of whose job Slurm shows us nothing: from the ledger alone.

    Args:
        stage: The stage.
        run: All stages of its run.
    """
    whose = stage.run.submitted_by
    states = {row.stage: row.state for row in run}
    has_ended = stage.state in _ENDED
    return {
        "stage": f"{stage.stage} of run {stage.run_id}: {stage.state}",
        "slurm": "it has no job" if has_ended else f"its jobs are shown to {whose} only",
        "parents": _in_states(stage, states),
        "last_attempt": _last(stage, stage.attempts),
        "checkpoint": _known_checkpoint(stage),
        "rule": _sentence(stage.rule or "", stage.why),
        "next": _next_of_ended(stage) if has_ended else f"{whose}'s launcher acts on it",
    }


def _queue(judged: Judged) -> str:
    queued, facts = judged.facts.situation.queued, judged.facts
    if queued is None:
        return f"job {facts.slurm_id} is not in the queue" if facts.slurm_id else "it has no job"
    if queued.meaning is Meaning.RUNNING:
        return f"job {facts.slurm_id} runs ({queued.word}){_on_nodes(facts.stage, facts.attempts)}"
    return f"job {facts.slurm_id} waits: {in_words(queued.reason) or queued.word}"


def _on_nodes(stage: StageRun, attempts: Sequence[Attempt]) -> str:
    """On how many nodes of its range the last of these attempts ran; nothing without a range."""
    got = attempts[-1].num_nodes if attempts else None
    if stage.min_nodes is None or got is None:
        return ""
    return f" on {nodes_in_words(got, stage.min_nodes, stage.nodes)} nodes"


def _start(judged: Judged, cluster: Cluster) -> str:
    queued, slurm_id = judged.facts.situation.queued, judged.facts.slurm_id
    if queued is None or slurm_id is None or queued.meaning is not Meaning.PENDING:
        return ""
    at = cluster.starts_at(slurm_id)
    return "Slurm does not say" if at is None else _moment(at)


def _parents(judged: Judged, run: Sequence[Judged]) -> str:
    states = {e.facts.stage.stage: e.decision.state or e.facts.stage.state for e in run}
    return _in_states(judged.facts.stage, states)


def _in_states(stage: StageRun, states: Mapping[str, StageState]) -> str:
    return ", ".join(f"{name} {states.get(name, '?')}" for name in stage.needs)


def _last(stage: StageRun, attempts: Sequence[Attempt]) -> str:
    ended = [attempt for attempt in attempts if attempt.ended_at is not None]
    if not ended:
        return ""
    last = ended[-1]
    told = [text for text in (last.cause, last.message) if text]
    gained = f"{last.steps_gained or 0} steps gained, {last.steps_lost or 0} lost"
    ran = f"after {(last.wall_clock_s or 0.0) / 60:.1f} min"
    why = ": ".join(told) or "it ended well"
    where = _on_nodes(stage, [last])
    return f"number {len(ended)}, {why}, {ran}{where}; {gained}; by {_evidence(last)}"


def _evidence(last: Attempt) -> str:
    """What the end rests on."""
    found = [f"Slurm's word {last.state}"] if last.state else []
    if last.exit_kind:
        found.append(f"the job's own last event ({last.exit_kind}, code {last.exit_code})")
    return " and ".join(found) or "no evidence"


def _checkpoint(judged: Judged) -> str:
    seen = judged.facts.checkpoints
    if not seen:  # where no job can write any more, nobody has looked
        return _known_checkpoint(judged.facts.stage)
    valid = [each for each in seen if not each.faults]
    damaged = len(seen) - len(valid)
    told = f"step {valid[0].manifest.step} is whole" if valid else ""
    bad = f"{damaged} damaged" if damaged else ""
    return ", ".join(text for text in (told, bad) if text)


def _known_checkpoint(stage: StageRun) -> str:
    steps = [row.step for row in stage.checkpoints if row.verified_at is not None]
    return f"step {max(steps)} was whole" if steps else ""


def _is_over(judged: Judged) -> bool:
    """Whether the stage has ended, so that not even Slurm's silence matters."""
    rule, facts = judged.decision.rule, judged.facts
    ended = facts.submission is None and facts.stage.state in _ENDED
    return rule == "over" or (rule == "no-answer" and ended)


def _rule(judged: Judged) -> str:
    """The rule that applies, or the one that ended the stage."""
    decision, stage = judged.decision, judged.facts.stage
    is_over = _is_over(judged)
    rule = stage.rule or decision.rule if is_over else decision.rule
    return _sentence(rule, stage.why if is_over else decision.sentence)


def _sentence(rule: str, said: str | None) -> str:
    return f"{rule}: {said}" if rule and said else rule or said or ""


def _next(judged: Judged, cluster: Cluster, now: float) -> str:
    decision = judged.decision
    if decision.not_before is not None and decision.not_before > now:
        return f"{decision.action} at {_moment(decision.not_before)}, by the first pass after that"
    if _is_over(judged):
        return _next_of_ended(judged.facts.stage)
    if decision.rule in _LOOK_AGAIN:
        return "the next passes look again"
    # Nobody passes over jobs on this machine but the person who follows them.
    passes = "requeue" if cluster.holds_dependencies else "watch"
    return _NEXT.get(decision.action, f"{decision.action}, by the next pass (launcher {passes})")


def _next_of_ended(stage: StageRun) -> str:
    return _NEXT_OF_STATE.get(stage.state, _NEXT[Action.NOTHING])


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
