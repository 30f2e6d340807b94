"""What `launcher submit` says: the jobs, and under `--dry-run` their scripts."""

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from launcher.cluster.base import JobRequest
from launcher.pipeline import ClusterSettings, Pipeline
from launcher.plan import PlannedStage
from launcher.runs import next_command
from launcher.show.console import Screen
from launcher.submit import NewRun

Preview = Sequence[tuple[PlannedStage, JobRequest, str]]


def show_preview(
    screen: Screen, pipeline: Pipeline, preview: Preview, findings: Sequence[str]
) -> None:
    """Shows each stage with its dependency and its exact script."""
    for stage in pipeline.stages:
        if stage.reuse is not None:
            screen.text(f"# stage {stage.name}: no job, reuses {stage.reuse.path}\n")
    for planned, request, script in preview:
        screen.text(f"# stage {planned.stage.name}: {_dependency(planned)}")
        screen.text(f"# {request.submitit_folder}\n{script}")
    for line in findings:
        screen.warn(line)
    screen.say("dry run: nothing was written and nothing submitted")


def _dependency(planned: PlannedStage) -> str:
    if not planned.job_parents:
        return "waits for no job"
    return f"starts when {', '.join(planned.job_parents)} has succeeded"


def preview_json(preview: Preview, findings: Sequence[str]) -> dict[str, Any]:
    """The same as data."""
    stages = [
        {"stage": planned.stage.name, "needs": list(planned.job_parents), "script": script}
        for planned, _, script in preview
    ]
    return {"stages": stages, "findings": list(findings)}


def show_jobs(screen: Screen, pipeline: Pipeline, run: NewRun) -> None:
    """Shows the jobs of a run that has been submitted, and what to type next."""
    screen.result(jobs_table(pipeline, run), "", escape(f"run {run.id} in {run.folder.root}"))
    watch, status = (next_command(word, run.folder.root) for word in ("watch", "status --run"))
    screen.say(f"next: {watch}    or: {status}")


def jobs_table(pipeline: Pipeline, run: NewRun) -> Table:
    """One row a stage, with its Slurm id and those of its parents."""
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "Slurm id", "after", "nodes x GPUs", "ranks"):
        table.add_column(column)
    for stage in pipeline.stages:
        parents = [f"{name} ({run.slurm_ids.get(name, 'reused')})" for name in stage.needs]
        shape = f"{stage.cluster.nodes} x {stage.cluster.gpus_per_node}"
        is_job = stage.name in run.tokens
        cells = (
            stage.name,
            run.slurm_ids.get(stage.name, "-") if is_job else "reused",
            ", ".join(parents) or "-",
            shape if is_job else "-",
            _ranks(stage.cluster) if is_job else "-",
        )
        table.add_row(*map(escape, cells))
    return table


def _ranks(settings: ClusterSettings) -> str:
    """`32`, or `16-32` where the nodes are a range."""
    fewest = f"{settings.min_nodes * settings.tasks}-" if settings.is_elastic else ""
    return f"{fewest}{settings.world_size}"


def jobs_json(pipeline: Pipeline, run: NewRun) -> dict[str, Any]:
    """The same as data."""
    jobs = [
        {
            "stage": stage.name,
            "slurm_id": run.slurm_ids.get(stage.name),
            "parents": [run.slurm_ids[name] for name in stage.needs if name in run.slurm_ids],
        }
        for stage in pipeline.stages
    ]
    return {"run": run.id, "folder": str(run.folder.root), "stages": jobs}
