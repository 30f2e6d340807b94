"""Where things lie in a run folder (one per run, on the shared file system)."""

from dataclasses import dataclass
from pathlib import Path

CHECKPOINT_PREFIX = "step-"
BAD_PREFIX = "bad-"
"""Before the name of a checkpoint that did not verify; its folder says why."""
SET_ASIDE = "set-aside"
"""Folder beside the checkpoints for those that the launcher wants nobody to resume from."""
START_OVER = "start-over"
"""File among the checkpoints: that there are none any more is meant so."""


@dataclass(frozen=True, order=True)
class AttemptKey:
    """One time a job held an allocation: Slurm's id and how often Slurm restarted it."""

    slurm_id: str
    restart: int

    def __str__(self) -> str:
        return f"{self.slurm_id}.{self.restart}"

    @classmethod
    def parse(cls, text: str) -> "AttemptKey":
        """Reads `<slurm id>.<restart>` back; raises ValueError for anything else."""
        slurm_id, _, restart = text.rpartition(".")
        if not slurm_id:
            raise ValueError(f"not an attempt: {text!r}; expected <slurm id>.<restart>")
        return cls(slurm_id, int(restart))


@dataclass(frozen=True)
class StageFolder:
    """`<run folder>/stages/<stage>`: everything that one stage run reads and writes."""

    root: Path

    @property
    def fence(self) -> Path:
        """Number of the newest submission; an attempt of an older one must not save."""
        return self.root / "fence"

    @property
    def spec(self) -> Path:
        """The frozen stage specification, JSON."""
        return self.root / "spec.json"

    @property
    def hazard(self) -> Path:
        """How often work was lost so far, JSON; `jobs.contract.hazard`."""
        return self.root / "hazard.json"

    @property
    def events(self) -> Path:
        """One JSON-lines file per attempt."""
        return self.root / "events"

    @property
    def checkpoints(self) -> Path:
        """One folder per checkpoint, `step-00001200`."""
        return self.root / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's log folder."""
        return self.root / "tensorboard"

    @property
    def submitit(self) -> Path:
        """Where submitit keeps its scripts, pickles and the output before the task takes over."""
        return self.root / "submitit"

    def events_file(self, attempt: AttemptKey, rank: int = 0) -> Path:
        """The event file of `attempt`; ranks other than 0 write one only when they fail."""
        return self.events / (f"{attempt}.rank-{rank:05d}.jsonl" if rank else f"{attempt}.jsonl")

    def log_file(self, attempt: AttemptKey, rank: int) -> Path:
        """Standard output and error of one rank of `attempt`."""
        return self.root / "logs" / str(attempt) / f"rank-{rank:05d}.log"

    def stack_file(self, attempt: AttemptKey, rank: int) -> Path:
        """Where one rank of `attempt` writes down its stacks when it is asked to (SIGUSR1)."""
        return self.root / "logs" / str(attempt) / f"stack-rank-{rank:05d}.txt"

    def report_file(self, attempt: AttemptKey, step: int) -> Path:
        """What `attempt` writes down of the batches that stopped it at `step`, JSON."""
        return self.root / "reports" / f"{attempt}.step-{step:08d}.json"

    def checkpoint(self, step: int, *, final: bool = False) -> Path:
        """The folder of the checkpoint that was taken after `step` optimizer steps.

        The final one has a name of its own (that sorts last): it never replaces another.
        """
        return self.checkpoints / f"{CHECKPOINT_PREFIX}{step:08d}{'-final' if final else ''}"


@dataclass(frozen=True)
class RunFolder:
    """`<runs>/<run id>`: the frozen pipeline, the code snapshot and the stages of one run."""

    root: Path

    @property
    def pipeline(self) -> Path:
        """The pipeline file as resolved at submit."""
        return self.root / "pipeline.yaml"

    @property
    def code(self) -> Path:
        """The code snapshot that the jobs import."""
        return self.root / "code"

    def stage(self, name: str) -> StageFolder:
        """The folder of stage `name`."""
        return StageFolder(self.root / "stages" / name)
