"""Install what the tests use beside Slurm, Chromium and PostgreSQL: `python -m tests.install`.

Standard library only. What is there already is left alone; what cannot be installed is one line on
stderr and exit 1.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.install import SEARCH_PATH, InstallError, install_packages

PACKAGE_OF_PROGRAM = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "initdb": "postgresql",
}


def program(name: str) -> str | None:
    """Where a program is; Debian keeps PostgreSQL's in a folder of its version."""
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*folders, SEARCH_PATH]))


def install() -> list[str]:
    """Install what is missing; gives the packages that were added.

    Raises:
        InstallError: Without root or apt-get, or when apt-get fails.
    """
    missing = [package for name, package in PACKAGE_OF_PROGRAM.items() if program(name) is None]
    wanted = ", ".join(missing)
    if missing and os.geteuid() != 0:
        raise InstallError(f"cannot install {wanted}: needs root; run it as root, then try again")
    if missing and shutil.which("apt-get", path=SEARCH_PATH) is None:
        raise InstallError(
            f"cannot install {wanted}: needs Debian's apt-get; install these programs"
        )
    if missing:
        try:
            install_packages(missing)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InstallError(f"cannot install {wanted}: {error}; mend that") from error
    return missing


def main() -> int:
    """Install, say what was added, and give the exit code."""
    try:
        added = install()
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"installed {', '.join(added)}" if added else "Chromium and PostgreSQL are installed",
        file=sys.stderr,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
