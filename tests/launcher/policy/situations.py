"""Situations to decide about: a stage between two others, right after something happened."""

from collections.abc import Iterable
from dataclasses import replace

from db.states import StageState
from launcher.cluster.states import Ending, Meaning
from launcher.reconcile.policy import End, Handover, Parent, Past, Queued, Situation

NOW = 1_000_000.0
DONE = Parent("first", StageState.DONE)
ON_ITS_WAY = Parent("first", StageState.RUNNING, "7")
INTERRUPTED = Parent("first", StageState.INTERRUPTED)
CANCELLED = Parent("first", StageState.CANCELLED)
GAVE_UP = Parent("first", StageState.FAILED)


def stage(**known: object) -> Situation:
    """A stage whose parent is done and whose job runs."""
    usual: dict[str, object] = {
        "stage": "second",
        "now": NOW,
        "state": StageState.RUNNING,
        "parents": (DONE,),
        "checkpoints": 2,
    }
    return Situation(**{**usual, **known})  # type: ignore[arg-type]


def gone(end: End | None, **known: object) -> Situation:
    """Its job has left the queue; the attempt that ended counts as the last one."""
    past = known.pop("past", None)
    if past is None:
        past = (past_of(end),) if end is not None else ()
    return stage(end=end, past=past, **known)


def in_queue(meaning: Meaning = Meaning.PENDING, **known: object) -> Situation:
    """Its job waits in the queue; `Queued`'s own fields are told apart by their names."""
    fields = Queued.__dataclass_fields__
    queued = {name: known.pop(name) for name in list(known) if name in fields}
    usual: dict[str, object] = {"word": "PENDING", **queued}
    known.setdefault("state", StageState.PENDING)
    return stage(queued=Queued(meaning=meaning, **usual), **known)  # type: ignore[arg-type]


def ended(ending: Ending | None = None, **known: object) -> End:
    """An attempt that ran for an hour, did steps and saved nothing new."""
    usual: dict[str, object] = {"ran_s": 3600.0, "step": 40, "stepped": True, "at": NOW}
    return End(ending=ending, **{**usual, **known})  # type: ignore[arg-type]


def failed(error: str = "KeyError", **known: object) -> End:
    """An attempt that ended by its own fault."""
    return ended(Ending.FAILED, outcome="failed", error=error, message=f"{error}: 'x'", **known)


def past_of(end: End, *, started_at: float | None = NOW - 3600) -> Past:
    """The attempt as the budgets count it."""
    kinds = {"out_of_memory": str(Ending.OUT_OF_MEMORY), "hardware": "hardware"}
    kind = kinds.get(end.fault) or str(end.ending or "")
    own = end.outcome in {"failed", "refused", "done"} or end.ending is Ending.FAILED
    return Past(
        progress=end.progress,
        failed=own and kind != "hardware",
        kind=kind,
        error=end.error,
        step=end.step,
        started_at=started_at,
    )


def pasts(ends: Iterable[End], *, apart_s: float = 3600.0) -> tuple[Past, ...]:
    """Attempts that began one after another, the last of them `apart_s` ago."""
    ends = list(ends)
    starts = [NOW - apart_s * (len(ends) - number) for number in range(len(ends))]
    return tuple(past_of(end, started_at=at) for end, at in zip(ends, starts, strict=True))


def again(end: End, times: int, **known: object) -> Situation:
    """The same end, so many times in a row."""
    return gone(end, past=pasts([end] * times), **known)


def after(end: End, *earlier: End, **known: object) -> Situation:
    """This end after earlier ones, oldest first."""
    return gone(end, past=pasts([*earlier, end]), **known)


def hung(situation: Situation) -> Situation:
    """Its attempts are known to have hung."""
    past = tuple(replace(each, kind="hang", failed=False) for each in situation.past)
    return replace(situation, intent="hang", past=past)


UNSENT, SENT, NO_JOB = Handover.UNSENT, Handover.SENT, Handover.NONE
