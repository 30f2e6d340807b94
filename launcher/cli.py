"""The command line: find the command, run it, end with one of the exit codes.

A command's module is imported only when it is chosen, so that help comes at once. All that
a command raises ends here, in one of six ways: expected (what the user can act on), what the
system refuses, the ledger's, Ctrl-C, a reader that went away, and a bug.
"""

import argparse
import importlib
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Final, NoReturn

from launcher import __version__
from launcher.errors import LauncherError, UsageError, unwritable
from launcher.manual import EXIT_CODES, Formatter, closing, exit_codes, overview

COMMANDS: Final = {
    "plan": "show the stages in order with their sizes, time and GPU-hours",
    "data": "check a corpus before a job is paid for",
    "doctor": "what may keep a run from running, and what to do about it",
    "submit": "start a run: freeze pipeline and code, hand in the jobs",
    "status": "show where the stages of a run stand",
    "why": "why a stage stands where it does, and what happens next",
    "watch": "pass over a run again and again until it ends",
    "requeue": "one pass: requeue, heal, stop what needs it; what cron calls",
    "cancel": "end stages for good, with everything that needs them",
    "hold": "keep stages from starting; those that run save first",
    "resume": "let held, failed or cancelled stages go on",
    "adopt": "take over a job that runs already",
    "report": "one HTML file about a run: GPU-hours, attempts, curves",
    "history": "every attempt of a run",
    "logs": "what the ranks of a stage print, across its attempts",
    "events": "what happened, in order",
    "checkpoints": "what is saved, and whether it is whole",
    "nodes": "nodes that jobs keep away from",
    "cron": "let cron run a pass every few minutes: install, show, remove",
    "metrics": "the ledger as metrics for Prometheus",
    "export": "the ledger as JSON or CSV",
    "completion": "let the shell complete commands, options, runs and stages",
}
"""Each command, `launcher/commands/<name>.py`, with its help."""

FIRST_STEPS: Final = f"""\
launcher {__version__}: takes a multi-stage training through Slurm.

  launcher plan pipeline.yaml               what would run, how long, how many GPU-hours
  launcher submit pipeline.yaml --dry-run   the batch scripts, nothing is touched
  launcher submit pipeline.yaml             start a run
  launcher cron install                     let it be seen through while you are away
  launcher status                           where it stands; `launcher why STAGE` says why

All commands: launcher --help
"""

DESCRIPTION: Final = """\
  launcher plan pipeline.yaml
  launcher status --json

Takes a multi-stage training through Slurm. More on a command: launcher help COMMAND
"""
HELP: Final = "help"
"""`launcher help COMMAND` is `launcher COMMAND --help`."""

LEDGER: Final = 4
BUG: Final = 70
INTERRUPTED: Final = 130
READER_LEFT: Final = 141


def main(argv: Sequence[str]) -> int:
    """Runs one command line; gives the exit code and never raises."""
    try:
        code = _dispatch(list(argv))
        _flush()
    except LauncherError as error:
        _let_go()
        return _tell(error.lines, error.exit_code)
    except KeyboardInterrupt:
        return _tell(["interrupted"], INTERRUPTED)
    except BrokenPipeError:
        return _hang_up()
    except Exception as error:  # noqa: BLE001 - the funnel: what escapes is the ledger's or a bug
        if isinstance(error, OSError) and (told := _in_words(error)):
            return _tell([told], LauncherError.exit_code)
        return _tell_unexpected(error)
    return code


def _flush(text: str = "") -> None:
    """Writes a text, and what waits for standard output.

    Raises:
        LauncherError: It takes no more.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(error) from error


def _let_go() -> None:
    """Forgets what standard output does not take, or Python tries it once more at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        _hang_up()


class _Parser(argparse.ArgumentParser):
    """Faults of the command line go through the funnel like all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}; see {self.prog} --help")


def _dispatch(argv: list[str]) -> int:
    """Imports the chosen command only, and runs it."""
    chosen = next((word for word in argv if not word.startswith("-")), None)
    if chosen == HELP:
        argv.remove(HELP)
        argv.append("--help")
        chosen = next((word for word in argv if not word.startswith("-")), None)
    if chosen is not None and chosen not in COMMANDS:
        close = get_close_matches(chosen, COMMANDS, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise UsageError(f"no command '{chosen}'; {hint}known: {', '.join(COMMANDS)}")
    parser, subparsers = _parsers()
    if chosen is None:
        _read_without_command(parser, argv)
        return 0
    command = _complete(chosen, subparsers[chosen])
    try:
        args, unknown = parser.parse_known_args(argv)
    except SystemExit as done:  # after --help
        return int(done.code or 0)
    if unknown:  # the command's help is of use here, not the program's
        subparsers[chosen].error(f"unrecognized arguments: {' '.join(unknown)}")
    code: int = command.run(args)
    return code


def full_parser() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of the program and those of its commands, with all of their arguments."""
    parser, subparsers = _parsers()
    for name, subparser in subparsers.items():
        _complete(name, subparser)
    return parser, subparsers


def _complete(name: str, parser: _Parser) -> ModuleType:
    """Gives a command's parser its arguments, and the command's module."""
    module = importlib.import_module(f"launcher.commands.{name}")
    module.add_arguments(parser)
    parser.epilog = closing(name, COMMANDS, getattr(module, "EXIT_CODES", {}))
    return module


def _read_without_command(parser: argparse.ArgumentParser, argv: list[str]) -> None:
    """`--help`, `--version`, a wrong option, or the first steps."""
    try:
        parser.parse_args(argv)
    except SystemExit:
        return
    _flush(FIRST_STEPS)


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    """The parser of the program, and those of its commands, which are still empty."""
    parser = _Parser(
        prog="launcher",
        description=f"{DESCRIPTION}\n{overview(COMMANDS)}",
        epilog=exit_codes(EXIT_CODES),
        usage=argparse.SUPPRESS,  # help begins with the examples of the description
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"launcher {__version__}")
    _add_common(parser, default=False)
    added = parser.add_subparsers(
        metavar="COMMAND",
        dest="command",
        parser_class=_Parser,
        help=argparse.SUPPRESS,  # they stand in the description, in groups
    )
    subparsers = {}
    for name, told in COMMANDS.items():
        sub = added.add_parser(
            name,
            prog=f"launcher {name}",
            help=told,
            usage=argparse.SUPPRESS,
            allow_abbrev=False,
            formatter_class=Formatter,
        )
        _add_common(sub, default=argparse.SUPPRESS)
        subparsers[name] = sub
    return parser, subparsers


def _add_common(parser: argparse.ArgumentParser, *, default: bool | str) -> None:
    """The options that stand before or after the command."""
    parser.add_argument(
        "--no-color", action="store_true", default=default, help="no colour (also: NO_COLOR=1)"
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", default=default, help="only results and errors"
    )


def _tell(lines: Sequence[str], code: int) -> int:
    """Writes `error:` lines; a closed stderr changes nothing about the exit code."""
    try:
        sys.stderr.write("".join(f"error: {line}\n" for line in lines))
        sys.stderr.flush()
    except OSError:
        pass
    return code


def _hang_up() -> int:
    """Keeps Python from complaining at exit about the pipe that nobody reads."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return READER_LEFT


def _in_words(error: OSError) -> str:
    """What the system refused, and where; empty where that is no use to the reader."""
    said = error.strerror or type(error).__name__
    if error.filename is not None:
        return f"{error.filename}: {said}; look whether it is there, its rights, and its disk"
    return ""


def _tell_unexpected(error: Exception) -> int:
    from db.errors import LedgerError  # noqa: PLC0415 - only needed once something is wrong

    if isinstance(error, LedgerError):
        return _tell([str(error)], LEDGER)
    report = "".join(traceback.format_exception(error))
    try:
        where = f"the traceback is in {_write_report(report)}"
    except OSError:
        where = report
    said = f"{type(error).__name__}: {error}"
    return _tell([f"{said}; this is a bug, please report it: {where}"], BUG)


def _write_report(report: str) -> Path:
    """Writes a bug's traceback below `$XDG_STATE_HOME`, or the folder of temporary files."""
    state = os.environ.get("XDG_STATE_HOME")
    folder = Path(state) if state else Path(tempfile.gettempdir())
    folder = folder / "launcher"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bug-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    path.write_text(report, encoding="utf-8")
    return path
