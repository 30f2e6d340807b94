"""Rows as CSV as `launcher export` writes it, a line of names first; None is an empty field."""

from collections.abc import Mapping, Sequence
from typing import Any

from launcher.export.values import csv_line
from launcher.show.console import Screen


def show_csv(screen: Screen, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Shows rows as CSV.

    Args:
        screen: Where to.
        columns: Their names, in order.
        rows: The fields by name; others than these are left out.
    """
    screen.text(csv_text(columns, rows))


def csv_text(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, names: bool = True
) -> str:
    """The same as text, with the line of names or without."""
    head = [csv_line(columns)] if names else []
    return "".join([*head, *(csv_line([row.get(name) for name in columns]) for row in rows)])
