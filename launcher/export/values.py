"""A value of the ledger as JSON and as a CSV cell; nothing of it is lost.

Whatever prints or writes CSV does it here.
"""

import json
import math
from collections.abc import Iterable


def json_text(value: object) -> str:
    """JSON on one line. What JSON has no number for is `"inf"`, `"-inf"` or `"nan"`."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


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
