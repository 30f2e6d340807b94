"""How a followed run ended: the table, what its evaluations found, where to look, what next."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from db.schema import StageRun
from db.states import StageKind, StageState
from jobs.contract.paths import AttemptKey, RunFolder, StageFolder
from jobs.contract.story import read_story
from launcher.runs import next_command
from launcher.show.console import Screen
from launcher.show.status import metrics_table, show_status
from launcher.show.status_data import status_json
from launcher.view import Learned, view_stages

_LIVE = (StageState.PENDING, StageState.RUNNING)
Metrics = Mapping[str, Sequence[Mapping[str, Any]]]


def show_end(
    screen: Screen,
    stages: Sequence[StageRun],
    learned: Mapping[str, Learned],
    *,
    at: float,
    as_json: bool,
) -> None:
    """Shows a run that has ended, or as far as it has come.

    Args:
        screen: Where to.
        stages: Its stage runs.
        learned: What the last look told of them.
        at: When that was, Unix seconds.
        as_json: As data instead.
    """
    run, views, metrics = stages[0].run, view_stages(stages, learned), read_metrics(stages)
    if as_json:
        screen.json({"run": run.id, "stages": status_json(views), "metrics": metrics})
    else:
        show_status(screen, run, views, at=at)
        if metrics:
            screen.result("", metrics_table(metrics))
    again = next_command("watch", Path(run.folder))
    for row in stages:
        if row.state is StageState.FAILED:
            screen.say(f"stage {row.stage} failed; its output: {_output(row)}")
        elif row.state is StageState.INTERRUPTED:
            screen.say(f"stage {row.stage} was interrupted; go on: {again}")


def show_left(screen: Screen, stages: Sequence[StageRun]) -> None:
    """Says what a run does after Ctrl-C, and how to go on."""
    run = stages[0].run
    again = next_command("watch", Path(run.folder))
    live = [row.stage for row in stages if row.state in _LIVE]
    held = all(row.cluster == "slurm" for row in stages)
    if live and held:
        screen.say(f"run {run.id} goes on in Slurm; follow it again: {again}")
    elif live:
        screen.say(f"stage {live[0]} was left running; go on: {again}")
    else:
        screen.say(f"run {run.id} is stopped; go on: {again}")


def read_metrics(stages: Sequence[StageRun]) -> Metrics:
    """What the evaluation stages measured, by stage; from the files of their last attempts."""
    found = {}
    for row in stages:
        if row.kind is StageKind.EVALUATE and row.attempts:
            metrics = read_story(_folder(row).events_file(_last_attempt(row))).metrics
            if metrics:
                found[row.stage] = metrics
    return found


def _output(row: StageRun) -> Path:
    """The file that explains a failure best: the rank's log, else what submitit caught."""
    folder = _folder(row)
    if row.attempts:
        log = folder.log_file(_last_attempt(row), 0)
        if log.exists():
            return log
    return folder.submitit / (row.submissions[-1].token if row.submissions else "")


def _folder(row: StageRun) -> StageFolder:
    return RunFolder(Path(row.run.folder)).stage(row.stage)


def _last_attempt(row: StageRun) -> AttemptKey:
    return AttemptKey(row.attempts[-1].slurm_id, row.attempts[-1].restart)
