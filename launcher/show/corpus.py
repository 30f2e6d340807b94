"""A checked corpus as a table, its faults as lines, and both as JSON."""

from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from launcher.corpus import CheckedSet, shares
from launcher.show.console import Screen
from launcher.show.palette import CAUTION, tinted
from launcher.show.tables import plain_table

COLUMNS = ("stage", "set", "rows", "kind", "form", "looked for", "decoded", "faults")


def show_corpus(screen: Screen, checked: Sequence[CheckedSet]) -> None:
    """Shows sets, parts of the kinds, faults, and what to do about them."""
    screen.result(plain_table(COLUMNS, [_row(one) for one in checked]))
    for stage, parts in shares(checked).items():
        told = ", ".join(f"{part:.1%} {kind}" for kind, part in parts.items())
        screen.result(escape(f"{stage or 'rows'}: {told}"))
    faulty = [one for one in checked if one.told["fault_count"]]
    for one in faulty:
        _show_faults(screen, one)
    if faulty:
        again = "mend or remove these rows, or correct the paths, and check again"
        told = f"{len(faulty)} of {len(checked)} sets have faults:"
        screen.result("", f"{tinted(told, CAUTION)} {again}")


def corpus_json(checked: Sequence[CheckedSet]) -> dict[str, Any]:
    """All that was found."""
    return {
        "ok": not any(one.told["fault_count"] for one in checked),
        "sets": [one.as_json() for one in checked],
        "shares": shares(checked),
    }


def _row(one: CheckedSet) -> tuple[str, ...]:
    told, rows = one.told, one.told["rows"]
    kind = "frames" if told["media_form"] == "frames" else told["kind"]
    return (
        one.wanted.stage or "-",
        one.wanted.name,
        "-" if rows is None else f"{rows:,}",
        kind or "-",
        ", ".join(told["forms"]) or "-",
        f"{told['looked_for']:,}",
        f"{told['decoded']:,}",
        f"{told['fault_count']:,}",
    )


def _show_faults(screen: Screen, one: CheckedSet) -> None:
    faults, count = one.told["faults"], one.told["fault_count"]
    screen.result("")
    for fault in faults:
        place = "" if fault["row"] is None else f"row {fault['row']}: "
        field = f"{fault['field']}: " if fault["field"] else ""
        screen.result(escape(f"{fault['file']}: {place}{field}{fault['what']}"))
    if count > len(faults):
        screen.result(f"  ... and {count - len(faults):,} more")
