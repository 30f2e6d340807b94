"""The folder of a cluster: made, recognised, and removed together with what runs from it."""

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from tests.cluster.errors import SlurmClusterError
from tests.cluster.processes import end_all, processes_of, start_ticks

# A unix socket's path has at most 107 characters; the longest here is slurmstepd's,
# "/spool/node1/node1_1234567.4294967291".
FOLDER_LENGTH_MAX = 69
_TEMPORARY = re.compile(r"slurm-cluster-(?P<pid>\d+)-(?P<ticks>\d+)-\w+")


def temporary_folder() -> Path:
    """Make a folder whose name says which process owns it, by pid and start.

    The name is the pid file: there is no moment in which the folder stands without it.
    """
    pid = os.getpid()
    name = f"slurm-cluster-{pid}-{start_ticks(pid)}-"
    # Left to a later sweep when the path is too long: it is empty.
    folder = _short_enough(Path(tempfile.mkdtemp(prefix=name)).resolve())
    folder.chmod(0o755)  # munge's clients must reach its socket
    return folder


def given_folder(path: Path) -> Path:
    """Make the folder that a person named, after removing a dead cluster from it.

    Raises:
        SlurmClusterError: When something else lives there, a cluster runs from it, or its path
            is too long for unix sockets.
    """
    folder = _short_enough(path.resolve())
    if is_running(folder):
        raise SlurmClusterError(f"{folder}: a cluster runs from there; stop it first")
    if folder.exists() and any(folder.iterdir()) and not (folder / "slurm.conf").exists():
        raise SlurmClusterError(f"{folder}: not empty and no cluster's; give another folder")
    remove_cluster(folder)
    folder.mkdir(parents=True)
    return folder


def _short_enough(folder: Path) -> Path:
    if len(str(folder)) > FOLDER_LENGTH_MAX:
        raise SlurmClusterError(
            f"{folder}: longer than {FOLDER_LENGTH_MAX} characters, too long for Slurm's sockets; "
            "give a shorter folder"
        )
    return folder


def is_running(folder: Path) -> bool:
    """Say whether any process of a cluster runs from this folder."""
    return bool(processes_of(folder.resolve() / "slurm.conf"))


def remove_cluster(folder: Path) -> None:
    """End every process that runs from a folder, jobs included, and remove the folder."""
    end_all(lambda: processes_of(folder.resolve() / "slurm.conf"))
    # Two sessions may sweep the same folder.
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def sweep_stale() -> list[Path]:
    """Remove the temporary clusters whose owner is dead, and give their folders."""
    stale = []
    for folder in Path(tempfile.gettempdir()).resolve().glob("slurm-cluster-*"):
        owner = _TEMPORARY.fullmatch(folder.name)
        if owner and start_ticks(int(owner["pid"])) != int(owner["ticks"]):
            remove_cluster(folder)
            stale.append(folder)
    return stale
