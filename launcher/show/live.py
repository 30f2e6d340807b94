"""Something shown again and again: in its place on a terminal, else anew when it has changed."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.live import Live

from launcher.show.console import Screen

Redraw = Callable[[Sequence[RenderableType], Hashable], None]
"""Shows parts; what tells them from other parts, time aside, comes with them."""


@contextmanager
def redrawing(screen: Screen) -> Iterator[Redraw]:
    """Gives who draws. The last picture stays, and the terminal is left as it was."""
    if not screen.out.is_terminal or screen.out.is_dumb_terminal:
        yield _Anew(screen).draw
        return
    with Live(
        console=screen.out, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    ) as live:
        yield lambda parts, _: live.update(Group(*parts), refresh=True)


class _Anew:
    """Draws below the last picture, with an empty line between, only what is new."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last: Hashable = None

    def draw(self, parts: Sequence[RenderableType], told: Hashable) -> None:
        if told == self._last:
            return
        self._screen.result(*([""] if self._last is not None else []), *parts)
        self._screen.out.file.flush()
        self._last = told
