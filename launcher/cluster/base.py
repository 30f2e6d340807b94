"""What a cluster can do for the launcher. `SlurmCluster` and `LocalCluster` do it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from jobs.contract.paths import StageFolder
from launcher.cluster.states import is_live_in_queue
from launcher.errors import ClusterError

if TYPE_CHECKING:  # `status` handles jobs and must not pay for reading pipelines
    from launcher.cluster.notice import Notice
    from launcher.pipeline import ClusterSettings


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A job to be.

    Attributes:
        stage: Name of the stage; stands in the job's name.
        token: Unique; stands in the job's name, where accounting keeps it.
        folder: The stage's folder.
        task: What each rank calls; pickled.
        settings: What to ask the cluster for.
        code: Folder that the ranks import our packages from.
        parents: Slurm ids of jobs that must have succeeded before.
        resumable: Slurm may start the job again by itself.
    """

    stage: str
    token: str
    folder: StageFolder
    task: Callable[[], object]
    settings: "ClusterSettings"
    code: Path
    parents: tuple[str, ...] = ()
    resumable: bool = True

    @property
    def name(self) -> str:
        """The job's name."""
        return job_name(self.stage, self.token)

    @property
    def submitit_folder(self) -> Path:
        """Where submitit keeps what belongs to this submission."""
        return self.folder.submitit / self.token


def job_name(stage: str, token: str) -> str:
    """The name that the cluster knows a submission by."""
    return f"{stage}.{token}"


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """One attempt as the cluster tells it. Times are Unix seconds; None: it does not say.

    Attributes:
        slurm_id: The job.
        restart: How often Slurm had restarted the job before this attempt.
        name: The job's name.
        word: The state in Slurm's word, see `launcher.cluster.states`.
        reason: Why it waits, or who cancelled it.
        nodes: Slurm's node list.
        num_nodes: How many nodes it got.
        queued_at: When it was submitted or requeued.
        started_at: When it got its allocation.
        ended_at: When it lost it.
        exit_code: Of the batch script.
        signal: That killed the batch script.
        cancelled_by: Number of the user who cancelled it.
        source: Who says so.
    """

    slurm_id: str
    restart: int
    name: str
    word: str
    reason: str = ""
    nodes: str = ""
    num_nodes: int | None = None
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    cancelled_by: int | None = None
    source: Literal["squeue", "sacct", "local"]

    @property
    def live(self) -> bool:
        """Whether the job can still run: nobody must do anything about it then."""
        return self.source != "sacct" and is_live_in_queue(self.word)


@dataclass(frozen=True)
class NoAnswer:
    """The cluster did not say. That is not the same as "there is no such job".

    Attributes:
        what: Who was asked, and its own words.
    """

    what: str


Rows = Sequence[JobRow] | NoAnswer


class SubmitError(ClusterError):
    """A job was not submitted, as far as we know.

    Attributes:
        refused: The cluster said no. Otherwise it did not answer, and the job may exist.
    """

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


class Cluster(Protocol):
    """A place where jobs run."""

    @property
    def name(self) -> str:
        """As the ledger knows it; part of an attempt's key."""

    @property
    def holds_dependencies(self) -> bool:
        """Whether jobs can be handed over before their parents are done."""

    def submit(self, request: JobRequest) -> str:
        """Hands a job over and gives its Slurm id.

        Raises:
            SubmitError: It was refused, or there was no answer.
            UsageError: This cluster can never run it.
        """

    def script(self, request: JobRequest) -> str:
        """What `submit` would hand over, as text; touches nothing."""

    def live(self) -> Rows:
        """All jobs of this user that the cluster still knows, in one question."""

    def history(self, slurm_ids: Sequence[str], *, since: float | None = None) -> Rows:
        """Every attempt of these jobs that has been recorded, in one question.

        Args:
            slurm_ids: The jobs.
            since: Unix seconds: all jobs of this user that lived after that, instead; so can a
                job be found whose id nobody knows.
        """

    def stop(self, slurm_id: str) -> None:
        """Asks a job to save and end; it is not waited for. Unknown jobs are passed over.

        Again is harmless, and needed where the job had only begun to start.

        Raises:
            ClusterError: The cluster did not answer.
        """

    def cancel(self, slurm_id: str) -> None:
        """Ends a job for good, waiting or running; it is not waited for.

        Unknown jobs, and those that have ended, are passed over.

        Raises:
            ClusterError: The cluster did not answer.
        """

    def dump(self, slurm_id: str) -> None:
        """Asks the ranks of a job to write down where they are.

        Raises:
            ClusterError: The cluster did not answer.
        """

    def hold(self, slurm_id: str) -> None:
        """Keeps a waiting job from starting.

        Raises:
            ClusterError: The cluster did not answer, or said no.
        """

    def release(self, slurm_id: str) -> None:
        """Lets a held job start.

        Raises:
            ClusterError: The cluster did not answer, or said no.
        """

    def rewire(self, slurm_id: str, parents: Sequence[str]) -> None:
        """Lets a waiting job wait for these jobs, and for no others.

        Raises:
            ClusterError: The cluster did not answer, or said no.
        """

    def num_nodes(self, partition: str | None) -> int | None:
        """How many nodes a partition has, the default one without a name; None: not known."""

    def notice(self, partition: str | None) -> "Notice | NoAnswer":
        """What notice a partition gives before it takes nodes away, the default one without a name.

        That is looked up in the site's configuration, in two questions.
        """

    def starts_at(self, slurm_id: str) -> float | None:
        """When a waiting job is expected to start, Unix seconds; None: nobody knows."""

    def would_start(self, request: JobRequest) -> float | NoAnswer | None:
        """When a job that is handed in now would start, Unix seconds; its parents are left out.

        None: there is nobody to ask. Where the cluster could never run it, or has no free moment
        for it, that is no answer, in its own words.
        """
