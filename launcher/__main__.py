"""`python -m launcher`, and the console script."""

import gc
import signal
import sys
from typing import NoReturn

# A short life makes little garbage; looking for it costs a tenth of the start-up.
gc.disable()


def run() -> NoReturn:
    """Ends the process with the exit code of the command line."""
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heard:  # a Ctrl-C while modules are imported ends it at once, and silently
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from launcher.cli import main  # noqa: PLC0415 - see above
    from launcher.show.streams import leave, mend_streams  # noqa: PLC0415 - the same

    mend_streams()
    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    code = main(sys.argv[1:])
    if is_heard:  # nothing is left to be interrupted
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    leave(code)


if __name__ == "__main__":
    run()
