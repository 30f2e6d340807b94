"""`notify`: the names of environment variables that hold addresses, never an address itself.

An address of a chat or a mailbox holds a password as a rule. The pipeline file is copied into
each run folder and into the ledger, so none may stand in it, nor in what is said about it.
"""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_URL: Final = re.compile(r"\w[\w+.-]*:(//)?\S|.*@.*\.")
_NEXT: Final = "write the name of an environment variable that holds the URL, such as TEAM_CHAT"


def _names(value: object) -> object:
    """One name or a list of them as a list; what is faulty is not repeated in the message."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise ValueError(f"must be a list of names; {_NEXT}")  # noqa: TRY004 - pydantic's way
    return list(dict.fromkeys(_name(name) for name in names))


def _name(value: object) -> str:
    if isinstance(value, str) and _VARIABLE.fullmatch(value):
        return value
    if isinstance(value, str) and _URL.match(value):
        raise ValueError(f"holds a URL, which the run folder would keep; {_NEXT}")
    raise ValueError(f"holds what is no name of a variable; {_NEXT}")


Notify = Annotated[tuple[str, ...], BeforeValidator(_names)]
