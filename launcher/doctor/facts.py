"""Looks at this machine: disks, Pythons, names, variables. Nothing here judges."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from db.endings import endings
from db.engine import ledger_url
from db.errors import LedgerError
from db.journal import file_system, read_mounts
from db.ledger import Ledger
from launcher.doctor import ask, on_node
from launcher.doctor.site import Site
from launcher.doctor.storage import Disk, is_shared
from launcher.doctor.surroundings import Around, Python
from launcher.hazard import HISTORY_S, usual_s
from launcher.notify import load_environment
from launcher.pipeline import Pipeline
from launcher.snapshot import find_packages

PACKAGES: Final = ("submitit", "torch", "deepspeed", "transformers")
PROGRAMS: Final = ("sbatch", "squeue", "scontrol", "scancel", "sacct", "sinfo")
_PYTHON_S: Final = 30
_QUOTA_S: Final = 3


def look_at_disk(runs: Path, site: Site | None, *, with_quota: bool) -> Disk:
    """The folder of runs, or the nearest above it that exists.

    Args:
        runs: The folder.
        site: Slurm's answers; None: jobs run on this machine.
        with_quota: `quota` is asked, which may take a while on a network file system.
    """
    folder = runs.absolute()
    while not folder.exists():
        folder = folder.parent
    real = folder.resolve()
    files = [path for top in find_packages().values() for path in top.rglob("*.py")]
    space = os.statvfs(real)
    disk = Disk(
        folder=str(runs.absolute()),
        kind=file_system(real, read_mounts()),
        free_bytes=space.f_bavail * space.f_frsize,
        free_files=space.f_favail if space.f_files else None,
        writable=os.access(real, os.W_OK | os.X_OK),
        code_bytes=sum(path.stat().st_size for path in files),
        code_files=len(files),
        quota=_quota() if with_quota else (),
        nodes_are_here=True,
    )
    if site is None or is_shared(disk):
        return disk
    if site.is_silent:
        return replace(disk, nodes_are_here=None)
    here = {socket.gethostname(), socket.gethostname().partition(".")[0], "localhost"}
    hosts = ask.node_hosts()
    return replace(disk, nodes_are_here=hosts <= here if hosts else None)


def _quota() -> tuple[str, ...]:
    """What `quota` complains of: with -q it prints only where a limit is passed."""
    if shutil.which("quota") is None:
        return ()
    try:
        done = subprocess.run(
            ["quota", "-q"], capture_output=True, text=True, timeout=_QUOTA_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


def hazards(pipeline: Pipeline) -> dict[str, float]:
    """How often work was lost, per second, by stage: what a new job of it goes by.

    Empty where there is no ledger.
    """
    stages = [stage for stage in pipeline.stages if stage.train is not None]
    try:
        with Ledger.open(ledger_url(pipeline.runs), create=False).read() as session:
            around = endings(session, "slurm", since=time.time() - HISTORY_S)
            return {
                stage.name: 1 / usual_s(around, stage.cluster.partition, stage.cluster.max_nodes)
                for stage in stages
            }
    except LedgerError:  # `submit` tells of a broken one by itself
        return {}


def look_around(pipeline: Pipeline | None) -> Around:
    """Programs, packages, variables, and the folder of reports."""
    wanted = {s.cluster.python for s in pipeline.stages if s.cluster.python} if pipeline else set()
    stages = pipeline.stages if pipeline else ()
    unset, warnings = look_at_variables(pipeline)
    state = Path(os.environ.get("XDG_STATE_HOME") or tempfile.gettempdir())
    return Around(
        programs={name: shutil.which(name) for name in PROGRAMS},
        client=ask.client_version(),
        here=Python("this Python", on_node.versions(PACKAGES)),
        pythons=tuple(look_at_python(name) for name in sorted(wanted)),
        trains=any(stage.train or stage.evaluate for stage in stages),
        unset=unset,
        env_warnings=warnings,
        ignored=ask.ignored_variables(),
        state=str(state),
        state_free_bytes=_free_bytes(state),
    )


def look_at_variables(pipeline: Pipeline | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The variables of `notify` that are not set, and what is wrong with their file."""
    values, warnings = load_environment(os.environ)
    names = pipeline.notify if pipeline else ()
    return tuple(name for name in names if not values.get(name)), tuple(warnings)


def _free_bytes(folder: Path) -> int | None:
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return None
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize


def script() -> str:
    """What `python -c` runs to tell of itself."""
    return Path(on_node.__file__).read_text(encoding="utf-8")


def look_at_python(python: str) -> Python:
    """Asks another Python for its versions; it imports none of the packages."""
    command = [*shlex.split(python), "-c", script(), json.dumps({"packages": PACKAGES})]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PYTHON_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Python(python, {}, f"no answer within {_PYTHON_S} s")
    except OSError as error:
        return Python(python, {}, error.strerror or str(error))
    try:
        return Python(python, json.loads(done.stdout)["versions"])
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Python(python, {}, last)


def resolve(names: Iterable[str], *, wait_s: float) -> Mapping[str, bool | None]:
    """Whether host names have an address; None: nobody knew in time.

    In threads that are left behind: a name server that is away takes its time.
    """
    found: dict[str, bool | None] = dict.fromkeys(names)

    def look(name: str) -> None:
        found[name] = bool(on_node.resolves(name))

    threads = [threading.Thread(target=look, args=(name,), daemon=True) for name in found]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + wait_s
    for thread in threads:
        thread.join(max(0.0, give_up - time.monotonic()))
    return dict(found)


def own_python() -> str:
    """The Python that runs stages which name none, for a shell."""
    return shlex.quote(sys.executable)


def tried_names(site_nodes: Sequence[str]) -> list[str]:
    """The names to resolve: some nodes', and this machine's."""
    return [*ask.some(list(site_nodes)), socket.gethostname()]
