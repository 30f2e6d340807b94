"""A value of the ledger as a CSV cell; nothing of it is lost.

Whatever prints or writes CSV does it here.
"""

from collections.abc import Iterable

from db.plain_json import json_text


def csv_line(values: Iterable[object]) -> str:
    """A record after RFC 4180, its line end (CR LF) included.

    Texts are always in quotes, so that an empty one is not taken for NULL, which is nothing at all;
    Python's own writer cannot tell the two apart before 3.12.
    """
    return ",".join(map(_cell, values)) + "\r\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = value if isinstance(value, str) else json_text(value)
    return '"' + text.replace('"', '""') + '"'
