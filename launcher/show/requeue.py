"""What a pass did, or would do."""

import time

from rich.markup import escape

from launcher.reconcile.run_pass import Report
from launcher.reconcile.walk import Done
from launcher.show.console import Screen


def show_report(screen: Screen, report: Report, *, dry: bool, now: float) -> None:
    """One line for each thing done; nothing where nothing was to be done.

    Args:
        screen: Where to.
        report: The pass.
        dry: It only told what it would do.
        now: Unix seconds.
    """
    if report.no_answer:
        screen.warn(f"{report.no_answer}; nothing was done")
    for done in report.done:
        if done.error:
            screen.result(escape(f"{_what(done)}: could not: {done.error}"))
        elif done.said or dry:
            screen.result(escape(f"{_what(done)}: {done.said or _would(done, now)}"))
    if dry and not report.done and not report.no_answer:
        screen.say(f"nothing to do for {report.stages} stage runs")


def _what(done: Done) -> str:
    return f"{done.run} {done.stage} [{done.rule}] {done.sentence}"


def _would(done: Done, now: float) -> str:
    if done.not_before is not None and done.not_before > now:
        return f"would {done.action} at {time.strftime('%H:%M', time.localtime(done.not_before))}"
    return f"would {done.action} now"
