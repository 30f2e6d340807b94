"""What a class says of itself and of its attributes."""

import inspect
import re
from collections.abc import Mapping

_ATTRIBUTE = re.compile(r"    (\w+): (.+)")


class UndocumentedError(Exception):
    """Something that users see has no words in the code; the message names it."""


def summary(part: type) -> str:
    """The docstring up to its `Attributes:`, one line a paragraph."""
    text = inspect.getdoc(part)
    if not text or part.__doc__ is None:
        raise UndocumentedError(f"{part.__name__} has no docstring")
    before = text.partition("\nAttributes:\n")[0].strip()
    return "\n\n".join(" ".join(lines.split()) for lines in before.split("\n\n"))


def attributes(part: type) -> Mapping[str, str]:
    """The sentences below `Attributes:`, by name."""
    lines = (inspect.getdoc(part) or "").partition("\nAttributes:\n")[2].splitlines()
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        if begun := _ATTRIBUTE.fullmatch(line):
            name, found[begun[1]] = begun[1], begun[2]
        elif line.startswith(" " * 8):
            found[name] += f" {line.strip()}"
        elif line:  # the next section of the docstring
            break
    return found
