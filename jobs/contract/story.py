"""What an attempt's event file says in sum."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.contract.events import Event, read_events
from jobs.contract.work import Work


@dataclass(frozen=True)
class AttemptStory:
    """What an attempt's event file says in sum; fields are None where it does not say.

    Attributes:
        started_at: When the process began; times are Unix seconds.
        ready_at: When the first step was to come.
        last_at: When rank 0 told its last event.
        hosts: Nodes of the job.
        world_size: Ranks of the job.
        first_step: The step it resumed at.
        last_step: The last step that was done.
        total_steps: Steps of the stage.
        epoch: Of the last step told.
        loss: Of the last step told.
        step_s: Seconds of a step, by the last one told.
        work_s: Seconds of all steps, without their wait for data.
        start_s: Seconds from the beginning of the process to the end of its first step.
        saved_step: Step of its newest checkpoint.
        save_s: Seconds that one took.
        outcome: done, stopped, failed or refused.
        exit_code: Of the process that tells the end.
        exit_at: When.
        message: Why, for people.
        error: Class name of the exception that ended it.
        fault: What kind of fault that is, see the `exit` event; empty: none that is known.
        host: Node of the rank that failed first; None where it cannot be told.
        requeue_error: Why the job could not put itself back into the queue, in Slurm's words.
        requeue_word: Slurm's word for the job where it was not RUNNING when it stopped: somebody
            was ending it, so it did not put itself back.
        skipped: Steps of the stage that were skipped, a number being infinite or none at all.
        report: File that says more about the end.
        metrics: All that were told.
    """

    started_at: float | None = None
    ready_at: float | None = None
    last_at: float | None = None
    hosts: tuple[str, ...] = ()
    world_size: int | None = None
    first_step: int | None = None
    last_step: int | None = None
    total_steps: int | None = None
    epoch: int | None = None
    loss: float | None = None
    step_s: float | None = None
    work_s: float | None = None
    start_s: float | None = None
    saved_step: int | None = None
    save_s: float | None = None
    outcome: str | None = None
    exit_code: int | None = None
    exit_at: float | None = None
    message: str | None = None
    error: str | None = None
    fault: str | None = None
    host: str | None = None
    requeue_error: str | None = None
    requeue_word: str | None = None
    skipped: int | None = None
    report: str | None = None
    metrics: tuple[dict[str, Any], ...] = ()


def read_story(path: Path) -> AttemptStory:
    """Sums up an attempt from rank 0's event file; an empty story where there is none.

    Where another rank failed first, its words explain the end: rank 0 only saw it vanish.
    """
    told: dict[str, Any] = {}
    metrics: list[dict[str, Any]] = []
    own_end: Event | None = None
    work = Work()
    for event in read_events(path):
        told["last_at"] = event.at
        work.hear(event.at, event.kind, event.fields)
        if event.kind == "metric":
            metrics.append(event.fields)
        if event.kind == "exit":
            own_end = event
        told |= _TELLERS.get(event.kind, _nothing)(event)
    if told.get("outcome") in (None, "failed"):
        told |= _first_fault(path, own_end)
    return AttemptStory(**told, work_s=work.seconds, metrics=tuple(metrics))


def _first_fault(path: Path, own_end: Event | None) -> dict[str, Any]:
    """How the rank that failed first tells its end; empty if that is rank 0, or none did."""
    ends = [(0, own_end)] if own_end is not None else []
    for sibling in path.parent.glob(f"{path.stem}.rank-*.jsonl"):
        rank = int(sibling.stem.rpartition("-")[2])
        ends += [(rank, event) for event in read_events(sibling)]
    causes = [end for end in ends if not _only_lost_a_peer(*end)] or ends
    rank, event = min(causes, key=lambda end: (end[1].at, end[0]), default=(0, None))
    if rank == 0 or event is None:
        return {}
    told = _exit(event)
    return told | {"message": f"rank {rank}: {told['message']}"}


def _only_lost_a_peer(rank: int, end: Event) -> bool:
    """Whether a rank ended because another was gone; old files of rank 0 do not say."""
    return bool(end.fields.get("lost_peer", rank == 0 and "fault" not in end.fields))


def _nothing(_: Event) -> dict[str, Any]:
    return {}


def _begin(event: Event) -> dict[str, Any]:
    return {
        "started_at": event.at,
        "hosts": tuple(event.fields.get("hosts", ())),
        "world_size": event.fields.get("world_size"),
    }


def _started(event: Event) -> dict[str, Any]:
    return {
        "ready_at": event.at,
        "first_step": event.fields.get("resume_step"),
        "last_step": event.fields.get("resume_step"),
        "total_steps": event.fields.get("total_steps"),
    }


def _first_step(event: Event) -> dict[str, Any]:
    return {"last_step": event.fields.get("step"), "start_s": event.fields.get("start_s")}


def _step(event: Event) -> dict[str, Any]:
    kept = ("epoch", "loss", "step_s")
    told = {key: event.fields.get(key) for key in kept} | _skipped_so_far(event)
    return told | {"last_step": event.fields.get("step")}


def _skipped(event: Event) -> dict[str, Any]:
    return {"last_step": event.fields.get("step"), "skipped": event.fields.get("total")}


def _skipped_so_far(event: Event) -> dict[str, Any]:
    skipped = event.fields.get("skipped")
    return {"skipped": skipped} if skipped else {}


def _checkpoint(event: Event) -> dict[str, Any]:
    step = event.fields.get("step")
    return {"saved_step": step, "last_step": step, "save_s": event.fields.get("save_s")}


def _exit(event: Event) -> dict[str, Any]:
    told = {
        "outcome": event.fields.get("outcome"),
        "exit_code": event.fields.get("code"),
        "exit_at": event.at,
        "message": event.fields.get("message"),
        "error": event.fields.get("error"),
        "fault": event.fields.get("fault"),
        "host": event.fields.get("host"),
        "report": event.fields.get("report"),
    }
    if event.fields.get("step") is not None:
        told["last_step"] = event.fields["step"]
    return told | _skipped_so_far(event)


def _not_requeued(event: Event) -> dict[str, Any]:
    return {"requeue_word": event.fields.get("word")}


def _requeue_failed(event: Event) -> dict[str, Any]:
    return {"requeue_error": event.fields.get("message")}


_TELLERS = {
    "begin": _begin,
    "started": _started,
    "first_step": _first_step,
    "step": _step,
    "skipped": _skipped,
    "checkpoint": _checkpoint,
    "exit": _exit,
    "not_requeued": _not_requeued,
    "requeue_failed": _requeue_failed,
}
