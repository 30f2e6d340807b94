"""`launcher completion`: lets the shell complete what is typed."""

import argparse

from launcher.show.console import open_screen

DESCRIPTION = """\
  launcher completion bash >~/.local/share/bash-completion/completions/launcher
  launcher completion zsh >~/.zfunc/_launcher

Prints a script with which the shell completes commands, options, pipeline files, run ids and
stages, in new shells. For this one alone: source <(launcher completion bash). For zsh the folder
must stand in fpath before compinit. The script is static: make it anew after an update.
"""
_SHELLS = ("bash", "zsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `launcher completion`."""
    parser.description = DESCRIPTION
    parser.add_argument("shell", choices=_SHELLS, help="whose script it is")


def run(args: argparse.Namespace) -> int:
    """Prints the script."""
    from launcher.cli import full_parser  # noqa: PLC0415 - it imports all commands
    from launcher.completion import script  # noqa: PLC0415

    open_screen(args).text(script(full_parser()[0], args.shell))
    return 0
