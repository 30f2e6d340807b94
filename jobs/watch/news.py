"""What is to be told beside the steps, summed up until a line tells of it.

So the event file does not grow with what goes wrong: a step without an update, an unreadable clip
or a slow rank adds to a line that comes anyway.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

CARRIERS: Final = ("step", "skipped", "exit")
"""Kinds of events that carry it."""
SHOWN_FILES: Final = 3


class News:
    """What one rank has seen since the last line."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._why: Counter[str] = Counter()
        self._skipped = self._bad = 0
        self._files: list[dict[str, str]] = []
        self._stragglers: Mapping[str, Any] | None = None

    def skipped(self, why: str, total: int) -> None:
        """A step without an update; `total`: so far, earlier attempts' included."""
        self._why[why] += 1
        self._skipped = total

    def bad_clip(self, set_name: str, path: str, error: str) -> None:
        """A clip that could not be read."""
        self._bad += 1
        if len(self._files) < SHOWN_FILES:
            self._files.append({"set": set_name, "path": path, "error": error})

    def lag(self, told: Mapping[str, Any]) -> None:
        """Ranks that keep the others waiting; only the newest look is told."""
        self._stragglers = told

    def take(self) -> dict[str, Any]:
        """All of it as fields of an event; from here on it is told."""
        told: dict[str, Any] = {}
        if self._why:
            told |= {"skipped": self._skipped, "skipped_since": dict(self._why)}
        if self._bad:
            told |= {"bad_clips": self._bad, "files": self._files}
        if self._stragglers is not None:
            told |= {"stragglers": dict(self._stragglers)}
        self._clear()
        return told
