"""A rank's view of an attempt that no process runs."""

from typing import Any

from jobs.contract.events import EventWriter
from jobs.contract.paths import AttemptKey, RunFolder
from jobs.contract.spec import StageSpec
from jobs.contract.task import StageTask
from jobs.distributed import Place
from jobs.job import Job
from jobs.stop import StopFlag


def paper_job(
    run: RunFolder,
    stage: str = "s1",
    *,
    rank: int = 0,
    ranks: int = 1,
    fence: int = 1,
    attempt: str = "7.0",
    told: bool = False,
    **parts: Any,
) -> Job:
    """One rank of an attempt of `stage`.

    Args:
        run: The run's folder.
        stage: The stage.
        rank: Its number.
        ranks: How many there are.
        fence: Number of the submission.
        attempt: Slurm id and restart count.
        told: Whether its events are written.
        parts: Of the specification.
    """
    key = AttemptKey.parse(attempt)
    spec = StageSpec.model_validate(
        {"run_id": "r", "stage": stage, "model": {"preset": "tiny"}} | parts
    )
    return Job(
        StageTask(run.root, stage, fence, "t"),
        spec,
        run,
        Place(key, rank, rank, ranks, ("n1",), host="n1"),
        StopFlag(),
        EventWriter(run.stage(stage).events_file(key)) if told else None,
    )
