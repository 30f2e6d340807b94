"""`python -m launcher`, and the console script."""

import sys

from launcher.cli import main


def run() -> None:
    """Ends the process with the exit code of the command line."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
