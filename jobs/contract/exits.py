"""Exit codes of a job's tasks."""

from typing import Final

DONE: Final = 0
STOPPED: Final = 75
"""Stopped on a signal with a verified checkpoint; run it again (EX_TEMPFAIL of sysexits.h)."""
REFUSED: Final = 93
"""Do not run it again as it is: its parents are not done, or a newer attempt holds the fence."""
