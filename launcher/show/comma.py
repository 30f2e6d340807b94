"""Rows as CSV (RFC 4180), a line of names first; None is an empty field."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from launcher.show.console import Screen


def show_csv(screen: Screen, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Shows rows as CSV.

    Args:
        screen: Where to.
        columns: Their names, in order.
        rows: The fields by name.
    """
    screen.text(csv_text(columns, rows))


def csv_text(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, names: bool = True
) -> str:
    """The same as text, with the line of names or without."""
    out = StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    if names:
        writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
