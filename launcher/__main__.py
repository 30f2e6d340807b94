"""`python -m launcher`, and the console script."""

import gc
import sys

# A short life makes little garbage; looking for it costs a tenth of the start-up.
gc.disable()

from launcher.cli import main  # noqa: E402 - see above


def run() -> None:
    """Ends the process with the exit code of the command line."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
