"""What cron does for a runs folder, as lines and as JSON."""

import time
from collections.abc import Sequence
from typing import Any

from launcher.cron.entry import LOG, every_min_of
from launcher.cron.survey import Survey
from launcher.show.console import Screen


def show_survey(screen: Screen, found: Survey, *, now: float) -> None:
    """Shows the lines, the last good pass, and what is wrong.

    Args:
        screen: Where to.
        found: What was found.
        now: Unix seconds.
    """
    for table, lines in found.installed.items():
        _show_lines(screen, table, lines, found)
    if not found.installed:
        screen.text(f"nothing is installed here for {found.runs}")
        screen.say("type: launcher cron install")
    screen.text(_last_good(found, now))
    for folder in found.others:
        screen.say(f"there is also a line for {folder}")
    for problem in found.problems:
        screen.warn(problem)
    look = f"look into {found.runs / LOG}, and whether cron runs here"
    if found.is_late(now):
        screen.warn(f"another good pass was due; {look}")
    elif found.good is None and found.every_min is not None:
        screen.say(f"one is due within {found.every_min} min; if none comes, {look}")


def _show_lines(screen: Screen, table: str, lines: Sequence[str], found: Survey) -> None:
    every_min = every_min_of(lines)
    often = f"every {every_min} min" if every_min else "never"
    screen.text(f"installed in {table}: a pass over {found.runs} {often}")
    screen.text("\n".join(f"  {line}" for line in lines))
    if every_min is None:
        screen.warn(f"the line in {table} is switched off; type: launcher cron install")


def _last_good(found: Survey, now: float) -> str:
    if found.good is None:
        return "no good pass yet"
    ended = found.good.ended_at or found.good.started_at
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ended))
    return f"last good pass: {when}, {(now - ended) / 60:.0f} min ago, on {found.good.host}"


def survey_json(found: Survey, *, now: float) -> dict[str, Any]:
    """What `--json` prints; times are Unix seconds."""
    good = found.good
    return {
        "runs": str(found.runs),
        "installed": [
            {"where": table, "every_min": every_min_of(lines), "lines": list(lines)}
            for table, lines in found.installed.items()
        ],
        "last_good_pass": None
        if good is None
        else {"ended_at": good.ended_at, "host": good.host, "pid": good.pid},
        "late": found.is_late(now),
        "problems": list(found.problems),
    }
