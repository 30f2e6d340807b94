"""What help says beside the options: commands in groups, exit codes, where to look further."""

import argparse
import textwrap
from collections.abc import Mapping
from typing import Final

GROUPS: Final = {
    "see": ("status", "history", "logs", "events", "checkpoints", "report", "metrics", "export"),
    "start": ("doctor", "data", "plan", "submit", "adopt"),
    "steer": ("watch", "requeue", "hold", "resume", "cancel"),
    "explain": ("why",),
    "keep house": ("cron", "nodes", "completion"),
}
"""The commands by what one wants."""

EXIT_CODES: Final = {
    0: "done",
    1: "the run failed, or the command could not do its work",
    2: "the command line or the pipeline file is wrong",
    3: "Slurm did not answer, or said no",
    4: "the ledger is missing, locked, damaged or of another version",
    70: "a bug; its traceback is in a file that is named on stderr",
    130: "Ctrl-C",
    141: "the reader of standard output went away",
}
"""Of all commands; a command's module may say more in its own `EXIT_CODES`."""

_WIDEST: Final = 100
_EXAMPLE: Final = "  "
"""A block with a line that begins so is shown as it stands."""


class Formatter(argparse.HelpFormatter):
    """Fits paragraphs to the terminal; examples and lists stay as they are."""

    def __init__(self, prog: str, *, max_help_position: int = 26) -> None:
        super().__init__(prog, max_help_position=max_help_position)
        self._width = min(self._width, _WIDEST)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Blocks of text, parted by empty lines."""
        blocks = text.strip("\n").split("\n\n")
        return "\n\n".join(_fitted(block, min(width, _WIDEST), indent) for block in blocks)


def _fitted(block: str, width: int, indent: str) -> str:
    if any(line.startswith(_EXAMPLE) for line in block.splitlines()):
        return block
    wrapper = textwrap.TextWrapper(width, break_on_hyphens=False, break_long_words=False)
    return textwrap.indent(wrapper.fill(block), indent)


def overview(commands: Mapping[str, str]) -> str:
    """The commands with what they do, in groups; what is in no group comes last.

    Args:
        commands: What each does, by name.
    """
    placed = {name for names in GROUPS.values() for name in names}
    groups = {**GROUPS, "more": tuple(name for name in commands if name not in placed)}
    blocks = [
        "\n".join([f"{title}:", *(f"  {name:<12} {commands[name]}" for name in there)])
        for title, names in groups.items()
        if (there := [name for name in names if name in commands])
    ]
    return "\n\n".join(blocks)


def exit_codes(codes: Mapping[int, str]) -> str:
    """A list of exit codes."""
    return "\n".join(["exit codes:", *(f"  {code:<4} {told}" for code, told in codes.items())])


def closing(name: str, commands: Mapping[str, str], own: Mapping[int, str]) -> str:
    """What a command's help ends with: its exit codes, and the commands of its group.

    Args:
        name: The command.
        commands: All there are.
        own: Its own exit codes; of the others `launcher --help` tells.
    """
    codes = f"{exit_codes(own or {0: EXIT_CODES[0]})}\n  else as of all commands: launcher --help"
    group = next((names for names in GROUPS.values() if name in names), ())
    near = ", ".join(other for other in group if other != name and other in commands)
    return "\n\n".join([codes, *([f"see also: launcher {near}"] if near else [])])
