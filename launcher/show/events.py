"""An event as a line, as JSON and as a row."""

from typing import Any

from db.schema import Event
from launcher.words import iso, moment

CSV_COLUMNS = ("at", "kind", "rule", "text")


def event_line(event: Event) -> str:
    """When it happened, what, and by which rule."""
    rule = event.data.get("rule")
    return f"{moment(event.at)}  {event.text}" + (f"  [{rule}]" if rule else "")


def event_json(event: Event) -> dict[str, Any]:
    """As `--json` prints it; its time is Unix seconds."""
    return {key: getattr(event, key) for key in ("at", "kind", "text", "data")}


def event_row(event: Event) -> dict[str, Any]:
    """As `--csv` prints it; its time is UTC."""
    rule = event.data.get("rule")
    return {"at": iso(event.at), "kind": event.kind, "rule": rule, "text": event.text}
