"""The run's folder, and in it a copy of the code that its jobs import.

A run takes days and its stages start one after another: without a copy, the last stage would
run whatever the working tree holds by then.
"""

import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from jobs.contract.files import sync_folder
from jobs.contract.paths import RunFolder
from launcher.errors import LauncherError

PACKAGES = ("launcher", "db", "jobs", "model")
_DISTRIBUTION = "videochat2-launcher"
_GIT_TIMEOUT_S = 20


@dataclass(frozen=True)
class Code:
    """Which code a run uses.

    Attributes:
        sha: Git commit, or the version of an installed package.
        dirty: The working tree differs from that commit.
    """

    sha: str
    dirty: bool


def new_run_folder(runs: Path, name: str, now: float) -> RunFolder:
    """Makes the folder of a new run; its name is the run's id and is nobody else's.

    Args:
        runs: Folder of all runs.
        name: The pipeline's.
        now: Unix seconds; stands in the id as local time.

    Raises:
        LauncherError: It cannot be made.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    folder = runs / f"{name}-{stamp}-{secrets.token_hex(2)}"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError:
        return new_run_folder(runs, name, now)
    except OSError as error:
        raise LauncherError(
            f"{folder}: the run's folder cannot be made: {error.strerror}; set `runs` in the "
            "pipeline file, or LAUNCHER_RUNS, to a folder that all nodes share"
        ) from error
    return RunFolder(folder)


def find_packages() -> dict[str, Path]:
    """Where our packages lie; imports none of them.

    Raises:
        LauncherError: One is not installed.
    """
    found = {}
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise LauncherError(f"package {name} is not installed; install the launcher again")
        found[name] = Path(spec.submodule_search_locations[0]).resolve()
    return found


def take_snapshot(run: RunFolder) -> None:
    """Copies our packages into the run's `code` folder, which is there whole or not at all."""
    aside = run.code.with_name(f".{run.code.name}.{os.getpid()}")
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc", "tests", ".*")
    for name, source in find_packages().items():
        shutil.copytree(source, aside / name, ignore=unwanted)
    aside.rename(run.code)
    sync_folder(run.root)


def identify_code() -> Code:
    """The commit of the code that runs now; the package's version where git does not track it."""
    packages = find_packages()
    root = packages["launcher"].parent
    # An installed copy may lie inside of somebody's repository without belonging to it.
    tracked = _git(root, "ls-files", "--error-unmatch", str(packages["launcher"] / "__init__.py"))
    sha = _git(root, "rev-parse", "HEAD") if tracked else None
    if not sha:
        return Code(_version(), dirty=bool(tracked))
    changes = _git(root, "status", "--porcelain", "--", *map(str, packages.values()))
    return Code(sha, dirty=changes is None or bool(changes))


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None when it fails or is missing."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version() -> str:
    try:
        return f"v{importlib.metadata.version(_DISTRIBUTION)}"
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
