"""What keeps a pipeline that is right in itself from being run: its files."""

from jobs.contract.manifest import CheckpointFile
from launcher.pipeline import Pipeline, awaited_inputs, missing_inputs
from launcher.reuse import check_reused


def findings(pipeline: Pipeline) -> tuple[dict[str, CheckpointFile], list[str]]:
    """The verified weights of reused stages, and all that keeps the pipeline from being run."""
    missing = missing_inputs(pipeline)
    reused, wrong = check_reused(pipeline)
    gone = {
        stage.name for stage in pipeline.stages if stage.reuse and not stage.reuse.path.exists()
    }
    keys = tuple(f"stages.{name}.reuse" for name in gone)  # said once, by missing_inputs
    found = missing + [line for line in wrong if not keys or not line.startswith(keys)]
    return reused, [placed(pipeline, line) for line in found]


def notes(pipeline: Pipeline) -> list[str]:
    """What keeps nothing from being run, and should be looked at: files still to be made."""
    return [placed(pipeline, line) for line in awaited_inputs(pipeline)]


def placed(pipeline: Pipeline, finding: str) -> str:
    """A finding about a stage, or a key of it, with the place in the file that defines it."""
    for stage in pipeline.stages:
        key = f"stages.{stage.name}"
        if stage.line and (finding == key or finding.startswith(f"{key}.")):
            return f"{pipeline.path.name}:{stage.line}: {finding}"
    return finding
