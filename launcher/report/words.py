"""A run in sentences, to be pasted where its GPU-hours must be explained. Pure."""

from db.schema import StageRun
from db.states import RunState, StageKind, StageState
from launcher.accounting.account import StageAccount
from launcher.accounting.parts import Part, percentages
from launcher.endings import How, causes, how_ended
from launcher.report.story import Story
from launcher.words import counted, hours, moment, points, span

_STATES = {
    RunState.SUBMITTING: "is being submitted",
    RunState.RUNNING: "goes on",
    RunState.DONE: "is done",
    RunState.HELD: "is held",
    RunState.FAILED: "has failed",
    RunState.CANCELLED: "was cancelled",
}
_PLURALS = {"failure": "failures", "preemption": "preemptions", "stop signal": "stop signals",
            "node failure": "node failures", "launch failure": "launch failures",
            "time limit": "time limits", "requeue": "requeues", "hang": "hangs"}  # fmt: skip


def summary(story: Story) -> list[str]:
    """The sentences, in order; none about what there is nothing of."""
    if not story.account.attempts:
        return [f"{_head(story)} No job of it has held any nodes yet.", *_waited(story)]
    return [
        f"{_head(story)} {_held(story)}",
        *_waited(story),
        _went(story),
        _ends(story),
        _lost(story),
        *_stages(story),
        *_saved(story),
        *_measured(story),
    ]


def amount(story: Story, seconds: float) -> str:
    """So many GPU-seconds as GPU-hours; as a time where there are no GPUs."""
    return f"{hours(seconds)} GPU-h" if story.has_gpus else span(seconds)


def _head(story: Story) -> str:
    state = _STATES[story.run.state]
    stuck = [row for row in story.stages if row.state in (StageState.FAILED, StageState.HELD)]
    where = f" ({', '.join(f'{row.stage} {row.state}' for row in stuck)})" if stuck else ""
    return f"Run {story.run.id} ({story.run.name}) {state}{where}."


def _held(story: Story) -> str:
    account = story.account
    begins = min(each.attempt.started_at or 0.0 for each in account.attempts)
    runs = any(each.attempt.ended_at is None for each in account.attempts)
    ends = max(each.attempt.ended_at or story.now for each in account.attempts)
    stages = sum(bool(stage.attempts) for stage in account.stages)
    until = "until now" if runs else f"to {moment(ends)}"
    held = _allocated(story)
    cost = f" ({story.price.of(held / 3600)})" if story.price and story.has_gpus else ""
    what = f"{hours(held)} GPU-hours" if story.has_gpus else f"nodes without GPUs for {span(held)}"
    return (
        f"It held {what}{cost} in {counted(len(account.attempts), 'attempt')} of "
        f"{counted(stages, 'stage')}, from {moment(begins)} {until}: {span(ends - begins)}."
    )


def _allocated(story: Story) -> float:
    account = story.account
    return account.gpu_spent.allocated if story.has_gpus else account.spent.allocated


def _waited(story: Story) -> list[str]:
    queued_s = sum(stage.queued_s for stage in story.account.stages)
    return [f"Its jobs waited {span(queued_s)} in the queue."] if queued_s >= 1 else []


def _went(story: Story) -> str:
    spent = story.account.gpu_spent if story.has_gpus else story.account.spent
    share = percentages(spent.waterfall)
    return (
        f"Of the allocated time, {points(share[Part.PRODUCTIVE])} went into steps that count, "
        f"{points(share[Part.START_UP])} into starting up, {points(share[Part.CHECKPOINT])} into "
        f"saving, {points(share[Part.LOST])} into work that was lost, and "
        f"{points(share[Part.IDLE])} was idle."
    )


def _ends(story: Story) -> str:
    bad = [each for each in story.attempts if how_ended(each) not in (How.RUNNING, How.DONE)]
    if not bad:
        return "No attempt was interrupted, and none failed."
    told = [counted(count, cause, _PLURALS.get(cause, cause)) for cause, count in causes(bad)]
    return f"{counted(len(bad), 'attempt')} ended early: {', '.join(told)}."


def _lost(story: Story) -> str:
    lost = story.account.lost_steps
    spent = story.account.gpu_spent if story.has_gpus else story.account.spent
    if not lost and spent.lost < 1:
        return "No work was lost."
    cost = f", {story.price.of(spent.lost / 3600)}" if story.price and story.has_gpus else ""
    worst = max(story.account.stages, key=lambda stage: stage.spent.lost)
    return (
        f"Lost: {amount(story, spent.lost)}{cost}, {counted(lost, 'step')} made in vain, "
        f"most in {worst.stage}."
    )


def _stages(story: Story) -> list[str]:
    rows = {row.stage: row for row in story.stages}
    return [_stage(story, rows[each.stage], each) for each in story.account.stages if each.attempts]


def _stage(story: Story, row: StageRun, account: StageAccount) -> str:
    reached = max((each.to_step or 0 for each in account.attempts), default=0)
    of = f" of {row.total_steps:,}" if row.total_steps else ""
    noun = "rows" if row.kind is StageKind.EVALUATE else "steps"
    held = account.gpu_spent.allocated if story.has_gpus else account.spent.allocated
    return (
        f"{row.stage} ({row.state}): {reached:,}{of} {noun} in "
        f"{counted(len(account.attempts), 'attempt')}, {amount(story, held)}."
    )


def _saved(story: Story) -> list[str]:
    jobs = [row for row in story.stages if row.kind is not StageKind.REUSE]
    rows = [saved for row in jobs for saved in row.checkpoints]
    if not rows:
        return []
    verified = sum(saved.verified_at is not None for saved in rows)
    were = "all of them verified" if verified == len(rows) else f"{verified} of them verified"
    return [f"The ledger knows {counted(len(rows), 'checkpoint')}, {were} byte by byte."]


def _measured(story: Story) -> list[str]:
    told = []
    for stage, metrics in story.metrics.items():
        values = [
            f"{m.get('name')} {m['value']:.3f}" for m in metrics if _is_number(m.get("value"))
        ]
        if values:
            told.append(f"{stage} measured {', '.join(values)}.")
    return told


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
