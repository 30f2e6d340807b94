"""Lines for the rank's log, which is its standard output."""

from contextlib import suppress


def say(text: str) -> None:
    """Prints a line at once; where the disk does not take it (it is full) it is lost."""
    with suppress(OSError):
        print(text, flush=True)  # noqa: T201 - the one place that prints for ranks
