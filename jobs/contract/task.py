"""The callable that submitit pickles: small, torch-free, the same for every stage."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StageTask:
    """Runs one stage on the calling rank; submitit calls it once per task.

    Attributes:
        run_folder: The run.
        stage: Name of the stage.
        fence: Number of the submission; a larger one on the disk means that this is a zombie.
        token: Unique name of the submission; stands for the Slurm id on a local machine.
    """

    run_folder: Path
    stage: str
    fence: int
    token: str

    def __call__(self) -> None:
        """Ends the process with one of the codes of `jobs.contract.exits`."""
        from jobs.task import run_task  # noqa: PLC0415 - torch is imported on compute nodes only

        run_task(self)
