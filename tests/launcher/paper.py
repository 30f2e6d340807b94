"""A cluster on paper, for what no real one does on demand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from launcher.cluster.base import JobRequest, NoAnswer, Rows, SubmitError
from launcher.cluster.notice import Notice


@dataclass
class Paper:
    """Numbers the jobs it is given, and answers what it was told to.

    Attributes:
        refuses: A stage whose job it refuses.
        silent_about: A stage whose job it does not answer for.
        before: Called with each request before it has a number; `after` when it has.
        queue: Answer to `live`.
        past: Answer to `history`.
        starts: Answer to `would_start`, by stage; None of the others.
        asked: The questions so far.
    """

    refuses: str = ""
    silent_about: str = ""
    name: str = "slurm"
    holds_dependencies: bool = True
    before: Callable[[JobRequest], None] = lambda _: None
    after: Callable[[JobRequest], None] = lambda _: None
    queue: Rows = ()
    past: Rows = ()
    starts: Mapping[str, float | NoAnswer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    given: list[JobRequest] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)

    def submit(self, request: JobRequest) -> str:
        self.before(request)
        if request.stage in (self.refuses, self.silent_about):
            raise SubmitError("sbatch: no", refused=request.stage == self.refuses)
        self.given.append(request)
        self.after(request)
        return str(100 + len(self.given))

    def script(self, request: JobRequest) -> str:
        return f"script of {request.stage}"

    def live(self) -> Rows:
        self.asked.append("live")
        return self.queue

    def history(self, slurm_ids: Sequence[str], *, since: float | None = None) -> Rows:
        self.asked.append(f"history of {' '.join(slurm_ids)}" if since is None else "history")
        return self.past

    def stop(self, slurm_id: str) -> None:
        self.acts.append(f"stop {slurm_id}")

    def cancel(self, slurm_id: str) -> None:
        self.acts.append(f"cancel {slurm_id}")

    def dump(self, slurm_id: str) -> None:
        self.acts.append(f"dump {slurm_id}")

    def hold(self, slurm_id: str) -> None:
        self.acts.append(f"hold {slurm_id}")

    def release(self, slurm_id: str) -> None:
        self.acts.append(f"release {slurm_id}")

    def rewire(self, slurm_id: str, parents: Sequence[str]) -> None:
        self.acts.append(f"rewire {slurm_id} to {' '.join(parents)}".strip())

    def num_nodes(self, partition: str | None) -> int | None:  # noqa: ARG002 - there is one
        return 4

    def notice(self, partition: str | None) -> Notice:
        return Notice(partition or "default", preempts=False, grace_s=0.0)

    def starts_at(self, slurm_id: str) -> float | None:  # noqa: ARG002 - nobody knows
        return None

    def would_start(self, request: JobRequest) -> float | NoAnswer | None:
        self.asked.append(f"start of {request.stage}")
        return self.starts.get(request.stage)
