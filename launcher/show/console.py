"""Results to stdout, talk to stderr; colour per stream and only on a terminal."""

import json
import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, TextIO

from rich.console import Console, RenderableType
from rich.markup import escape

from launcher.errors import unwritable
from launcher.show.palette import CAUTION, tinted

_PIPE_WIDTH = 200
"""Columns of a table that no terminal shows, so that `grep` sees whole rows."""


class _Console(Console):
    """Leaves a reader that went away to the error funnel of `launcher.cli`."""

    def on_broken_pipe(self) -> None:
        """Raises BrokenPipeError again, where rich would exit with 1."""
        raise BrokenPipeError


@contextmanager
def _writing() -> Iterator[None]:
    """Says of an error which stream it was.

    Raises:
        LauncherError: Standard output takes no more.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(error) from error


@contextmanager
def _talking() -> Iterator[None]:
    """What stderr does not take is lost, and changes nothing about the result."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass


@dataclass(frozen=True)
class Screen:
    """The two streams of one command.

    Attributes:
        out: stdout; the result.
        err: stderr; the talk.
        quiet: No talk.
    """

    out: Console
    err: Console
    quiet: bool = False

    def result(self, *parts: RenderableType) -> None:
        """Shows parts of the result, tables or lines; text is taken as rich's markup."""
        with _writing():
            for part in parts:
                self.out.print(part, soft_wrap=isinstance(part, str))

    def text(self, text: str) -> None:
        """Shows `text` as it is, byte by byte: a script, a file."""
        with _writing():
            self.out.file.write(text if text.endswith("\n") else text + "\n")

    def copy(self, file: IO[str]) -> None:
        """Shows what a file holds as it is, piece by piece."""
        with _writing():
            shutil.copyfileobj(file, self.out.file)

    def json(self, value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Shows `value` as JSON."""
        self.text(json.dumps(value, indent=2))

    def say(self, line: str) -> None:
        """Tells what happens on stderr (no markup), unless quiet."""
        if not self.quiet:
            with _talking():
                self.err.print(escape(line), soft_wrap=True)

    def warn(self, line: str) -> None:
        """Tells on stderr what the user should know even when quiet."""
        with _talking():
            self.err.print(f"{tinted('warning:', CAUTION)} {escape(line)}", soft_wrap=True)

    def agrees(self, question: str) -> bool:
        """Asks on stderr; whether the line on stdin is a yes. No line (Ctrl-D) is a no."""
        self.err.file.write(f"{question} [y/N] ")
        self.err.file.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def open_screen(args: Namespace) -> Screen:
    """The streams as `--no-color`, `--quiet` and the environment want them."""
    return Screen(
        out=console(sys.stdout, no_color=args.no_color),
        err=console(sys.stderr, no_color=args.no_color),
        quiet=args.quiet,
    )


def console(stream: TextIO, *, no_color: bool = False) -> Console:
    """A console on `stream`: styled only on a terminal, wide where nobody looks.

    `NO_COLOR` (any value but the empty one) and `COLUMNS` are obeyed.
    """
    plain = no_color or bool(os.environ.get("NO_COLOR"))
    wide = not stream.isatty() and not os.environ.get("COLUMNS")
    return _Console(
        file=stream,
        color_system=None if plain else "auto",
        width=_PIPE_WIDTH if wide else None,
        highlight=False,
        emoji=False,
    )
