"""What is fixed before a job is handed over: its token, its fence number, its specification."""

import secrets
from dataclasses import asdict, replace
from pathlib import Path

from jobs.contract.files import write_atomic
from jobs.contract.paths import RunFolder
from jobs.contract.spec import StageSpec
from jobs.contract.task import StageTask
from launcher.cluster.base import JobRequest
from launcher.pipeline import Pipeline, Stage


def new_token() -> str:
    """A name for one submission that no other has; never a number, so never a Slurm id."""
    return f"t{secrets.token_hex(5)}"


def job_request(
    run: RunFolder,
    stage: Stage,
    *,
    token: str,
    fence: int,
    parents: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
) -> JobRequest:
    """The job of a stage.

    Args:
        run: The run's folder.
        stage: The stage.
        token: Of the submission.
        fence: Its number.
        parents: Slurm ids that it waits for.
        exclude: Nodes to keep away from, beside those that the pipeline names.
    """
    settings = stage.cluster
    if exclude:
        nodes = ",".join([*([settings.exclude] if settings.exclude else []), *exclude])
        settings = replace(settings, exclude=nodes)
    return JobRequest(
        stage=stage.name,
        token=token,
        folder=run.stage(stage.name),
        task=StageTask(run.root, stage.name, fence, token),
        settings=settings,
        code=run.code,
        parents=parents,
        resumable=stage.resumable,
    )


def stage_spec(pipeline: Pipeline, stage: Stage, run_id: str, code_sha: str) -> StageSpec:
    """What the job reads: all it must know of the pipeline."""
    return StageSpec(
        run_id=run_id,
        stage=stage.name,
        parents=stage.needs,
        init_from=stage.init_from,
        code_sha=code_sha,
        nodes=stage.cluster.max_nodes,
        gpus_per_node=stage.cluster.gpus_per_node,
        tasks_per_node=stage.cluster.tasks,
        resumable=stage.resumable,
        signal_lead_s=stage.cluster.signal_lead_s,
        model=pipeline.model,
        train=stage.train,
        evaluate=stage.evaluate,
        command=stage.command,
    )


def frozen_settings(stage: Stage) -> dict[str, object]:
    """What the passes go by, as the ledger keeps it with each submission."""
    saves = stage.command is None or stage.command.checkpoints.watch
    settings = {"cluster": asdict(stage.cluster), "requeue": asdict(stage.requeue)}
    return settings | {"saves": saves}


def write_fence(run: RunFolder, stage: str, fence: int) -> Path:
    """Says in the run folder which submission of a stage is the newest; older ones must not save.

    Before the job exists: a job never finds a number smaller than its own.
    """
    path = run.stage(stage).fence
    write_atomic(path, f"{fence}\n")
    return path
