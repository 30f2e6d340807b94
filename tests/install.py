"""Install what the tests use besides Slurm: Chromium and PostgreSQL (`python -m tests.install`).

Standard library only. What is there already is left alone; what cannot be installed is one line on
stderr and exit 1.
"""

import os
import shutil
import sys
from pathlib import Path

from tests.cluster.install import SEARCH_PATH, add, main

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
    """Install what is missing; gives what was added."""
    return add([each for name, each in PACKAGE_OF_PROGRAM.items() if program(name) is None], [])


if __name__ == "__main__":
    sys.exit(main(install, "Chromium and PostgreSQL are"))
