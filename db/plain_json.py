"""JSON that every reader takes: PostgreSQL and strict parsers know no Infinity."""

import json
import math


def json_text(value: object, *, ensure_ascii: bool = False) -> str:
    """JSON on one line. What JSON has no number for is `"inf"`, `"-inf"` or `"nan"`.

    Args:
        value: what `json.dumps` takes.
        ensure_ascii: writes other letters as numbers; bytes of a file name that are no text, which
            Python reads as half letters, can be kept no other way.
    """
    try:
        return json.dumps(value, ensure_ascii=ensure_ascii, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=ensure_ascii, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
