"""What people are told of, and the sign of life after each good pass.

The events of the ledger are the outbox: a cursor says how far they were told. A pass that was
killed after telling and before moving the cursor tells again. What could not be delivered is a
warning, and is not tried again: `launcher events` has it all.
"""

import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from db.ledger import Ledger
from db.passes import told, untold_events
from db.queries import runs_by_id
from db.schema import Event, Run
from jobs.contract.paths import RunFolder
from launcher.errors import LauncherError
from launcher.notify import SEND_LIMIT_S, Kind, News, load_environment, ping, send_news

READER = "news"
LEAST_S = 2.0
"""What each run's news get when others have used the time up."""
_KINDS = ("stage_state", "run_state", "storm")
_STATES: Mapping[str, Kind] = {"storm": "storm", "held": "held", "failed": "failed", "done": "done"}


def tell_news(ledger: Ledger, environ: Mapping[str, str], *, good: bool) -> list[str]:
    """Tells what has happened since the last time; gives warnings about what did not arrive.

    Args:
        ledger: The ledger.
        environ: The process's environment.
        good: The pass was a good one: the dead-man's switch is reset.
    """
    began = time.monotonic()
    env, warnings = load_environment(environ)
    with ledger.write() as session:
        events = untold_events(session, READER, _KINDS)
        runs = {run.id: run for run in runs_by_id(session, [e.run_id for e in events if e.run_id])}
    for run_id, group in groupby(events, key=lambda event: event.run_id):
        news = [found for event in group if (found := news_of(event)) is not None]
        if news and run_id in runs:
            left_s = max(LEAST_S, SEND_LIMIT_S - (time.monotonic() - began))
            warnings += send_news(news, _names(runs[run_id]), env, limit_s=left_s)
    if events:
        with ledger.write() as session:
            told(session, READER, events[-1].id)
    missed = ping(env) if good else None
    return [*warnings, *([missed] if missed else [])]


def news_of(event: Event) -> News | None:
    """What an event is to people; None where they need not know.

    Of a run only its good end: whatever ends it badly is told by the stage.
    """
    kind: Kind | None = (
        "storm" if event.kind == "storm" else _STATES.get(str(event.data.get("after", "")))
    )
    if kind is None or (event.kind == "run_state") != (kind == "done"):
        return None
    return News(kind=kind, title=f"{event.run_id}: {kind}", body=event.text)


def _names(run: Run) -> Sequence[str]:
    """Variables that the run's pipeline names; none where it cannot be read any more."""
    from launcher.pipeline import load_pipeline  # noqa: PLC0415 - few passes need it

    try:
        return load_pipeline(RunFolder(Path(run.folder)).pipeline).notify
    except LauncherError:
        return ()
