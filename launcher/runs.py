"""Finds the ledger, and in it the run that a command is about."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from db.engine import ledger_url
from db.ledger import Ledger
from db.queries import newest_run, run_by_id, run_ids
from db.schema import Run
from launcher.errors import LauncherError, UsageError
from launcher.identity import user_name

_LISTED = 10


def runs_folder(given: Path | None) -> Path:
    """The folder of runs: as given, else `LAUNCHER_RUNS`, else `runs` where one stands."""
    return given or Path(os.environ.get("LAUNCHER_RUNS") or "runs")


def next_command(command: str, folder: Path) -> str:
    """What to type here to come back to a run, such as `python -m launcher watch ID`.

    Args:
        command: `watch`, or `status --run`.
        folder: The run's; where it would not be looked for, the command says so.
    """
    is_default = folder.parent == runs_folder(None).absolute()
    known = is_default or bool(os.environ.get("LAUNCHER_LEDGER"))
    where = "" if known else f" --runs {shlex.quote(str(folder.parent))}"
    return f"python -m launcher {command} {folder.name}{where}"


def open_ledger(folder: Path | None) -> Ledger:
    """The ledger that exists for a folder of runs.

    Raises:
        LedgerError: There is none, or it cannot be used.
    """
    return Ledger.open(ledger_url(runs_folder(folder)), create=False)


def own_run(ledger: Ledger, start: str | None) -> Run:
    """Like `find_run`, for who is about to act on its jobs.

    Raises:
        UsageError: There is no such run, there are several, or it is somebody else's.
    """
    run = find_run(ledger, start)
    if run.submitted_by != user_name():
        raise UsageError(
            f"run {run.id} is {run.submitted_by}'s; only {run.submitted_by} can act on it"
        )
    return run


def check_stages(run_id: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Makes sure that a run has these stages.

    Raises:
        UsageError: It has not.
    """
    there = list(known)
    for name in names:
        if name not in there:
            raise UsageError(f"run {run_id}: no stage '{name}'; known: {', '.join(there)}")


def check_folder(run: Run) -> None:
    """Makes sure that a run's folder is there.

    Raises:
        LauncherError: Somebody has moved or deleted it.
    """
    if not Path(run.folder).is_dir():
        raise LauncherError(
            f"{run.folder}: the folder of run {run.id} is gone, with its checkpoints; put it back "
            f"there, or end the run: launcher cancel --run {run.id}"
        )


def find_run(ledger: Ledger, start: str | None) -> Run:
    """The run with this id, or the one whose id begins so; the newest without one.

    Raises:
        UsageError: There is no such run, or there are several.
    """
    with ledger.read() as session:
        found = newest_run(session) if start is None else run_by_id(session, start)
        if found is not None:
            return found
        matches = run_ids(session, start, _LISTED) if start else []
        known = matches or run_ids(session, "", _LISTED)
    if not known:
        raise UsageError(f"{ledger.place}: no runs yet; submit one: launcher submit pipeline.yaml")
    listed = ", ".join(known)
    if matches:
        raise UsageError(f"run {start!r}: several begin so: {listed}; give more of it")
    raise UsageError(f"no run {start!r}; known, newest first: {listed}")
