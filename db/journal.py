"""Which SQLite journal a folder can bear.

WAL keeps readers and the writer apart, but needs memory shared between them: on a network file
system it corrupts silently (https://www.sqlite.org/wal.html). DELETE works wherever locks do.
"""

import re
from pathlib import Path

MOUNTS = Path("/proc/mounts")
# fmt: off
NETWORK_FILE_SYSTEMS = frozenset((
    "9p", "afs", "autofs", "beegfs", "ceph", "cifs", "fuse", "gfs2", "gpfs", "lustre", "ncpfs",
    "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "virtiofs", "wekafs",
))
# fmt: on


def journal_mode(folder: Path, mounts: str) -> str:
    """The journal mode for a database in this folder.

    Args:
        folder: absolute, with symbolic links resolved.
        mounts: the text of /proc/mounts; empty where the system has none.

    Returns:
        `WAL` on a local file system, `DELETE` on a network file system or an unknown one.
    """
    kind = file_system(folder, mounts)
    if kind is None or kind in NETWORK_FILE_SYSTEMS or kind.startswith("fuse."):
        return "DELETE"
    return "WAL"


def file_system(folder: Path, mounts: str) -> str | None:
    """The type of the mount that holds the folder; None if no mount does."""
    found: tuple[int, str] | None = None
    for line in mounts.splitlines():
        _, mount_point, kind, *_ = line.split(" ")
        point = Path(_unescape(mount_point))
        # A later mount on the same point hides the earlier one.
        if folder.is_relative_to(point) and (found is None or len(point.parts) >= found[0]):
            found = (len(point.parts), kind)
    return found[1] if found else None


def read_mounts() -> str:
    """The text of /proc/mounts; empty on a system without it."""
    try:
        return MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _unescape(mount_point: str) -> str:
    """Blank, tab, newline and backslash stand as octal numbers in /proc/mounts."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mount_point)
