"""The ledger's health, and whether passes go on. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from db.health import Health
from launcher.doctor.finding import Finding, Level
from launcher.words import span


def ledger(health: Health) -> Iterator[Finding]:
    """What is found of the ledger itself."""
    if not health.is_file:
        yield _finding(Level.NOTE, "ledger", health, "a server's database; it is not looked into")
        return
    if not health.exists:
        why = "the first submit makes it"
        yield _finding(Level.NOTE, "ledger-missing", health, "there is no ledger yet", why)
        return
    yield from _wholeness(health)
    if health.fault:
        return
    yield from _journal(health)
    if health.version is not None and health.version > health.known:
        yield _finding(
            Level.ERROR,
            "ledger-version",
            health,
            f"it has version {health.version}, this launcher knows up to {health.known}",
            "nothing can be submitted with it",
            "use the launcher that wrote it, or a newer one",
        )
    if not health.writable:
        held = f", held by process {', '.join(map(str, health.holders))}" if health.holders else ""
        yield _finding(
            Level.WARNING,
            "ledger-locked",
            health,
            f"it cannot be written now{held}",
            "submit and the pass need it",
            "see whose the file and its folder are, and whether that process hangs",
        )
    elif health.holders:
        listed = ", ".join(map(str, health.holders))
        yield _finding(Level.NOTE, "ledger-open", health, f"process {listed} has it open, too")


def _wholeness(health: Health) -> Iterator[Finding]:
    if health.fault or health.faults:
        what = health.fault or f"it is damaged: {health.faults[0]}"
        yield _finding(
            Level.ERROR,
            "ledger-damaged",
            health,
            what,
            "nothing that the launcher knows can be relied on",
            "put a copy in its place, or try `sqlite3 FILE .recover`",
        )
        return
    what = f"whole, version {health.version}, journal {health.journal} on {health.file_system}"
    yield _finding(Level.OK, "ledger", health, what)


def _journal(health: Health) -> Iterator[Finding]:
    if health.journal != health.wanted_journal:
        yield _finding(
            Level.WARNING,
            "ledger-journal",
            health,
            f"its journal is {health.journal}, {health.file_system} wants {health.wanted_journal}",
            "WAL on a network file system corrupts a database silently; DELETE on a local one lets "
            "readers wait",
            "the next command that opens it changes that; do not use another SQLite program on it",
        )


def _finding(
    level: Level, id_: str, health: Health, what: str, why: str = "", next_: str = ""
) -> Finding:
    return Finding(level=level, id=id_, where=health.place, what=what, why=why, next=next_)


@dataclass(frozen=True)
class Passes:
    """What runs passes, and when the last good one was.

    Attributes:
        installed: The tables (of cron) that hold a line.
        every_min: Minutes between two passes; None: nothing runs them.
        good_ago_s: Seconds since the last good pass; None: there was none.
        is_late: Another was due.
    """

    installed: tuple[str, ...]
    every_min: int | None
    good_ago_s: float | None
    is_late: bool


_RECENT_S = 900.0


def passes(found: Passes) -> Finding:
    """Whether somebody looks after the runs."""
    ago = "" if found.good_ago_s is None else f", the last good one {span(found.good_ago_s)} ago"
    if found.every_min is not None and not found.is_late:
        tables = ", ".join(found.installed)
        what = f"a pass every {found.every_min} min by {tables}{ago}"
        return Finding(level=Level.OK, id="passes", where="cron", what=what)
    if found.every_min is not None:
        return Finding(
            level=Level.WARNING,
            id="passes-late",
            where="cron",
            what=f"a pass was due (every {found.every_min} min{ago})",
            why="nothing is resubmitted or healed meanwhile",
            next="look: launcher cron show",
        )
    if found.good_ago_s is not None and found.good_ago_s < _RECENT_S:
        what = f"no line of cron here, but passes go on{ago}"
        return Finding(level=Level.NOTE, id="passes-elsewhere", where="cron", what=what)
    return Finding(
        level=Level.WARNING,
        id="no-passes",
        where="cron",
        what=f"nothing here runs passes over this ledger{ago}",
        why="what Slurm does not requeue by itself stays where it is",
        next="type: launcher cron install, or keep launcher watch running",
    )
