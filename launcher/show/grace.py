"""What was found before a submit, told on stderr, a line each."""

from collections.abc import Iterable

from launcher.doctor.finding import Finding, Level
from launcher.show.console import Screen


def tell_preflight(screen: Screen, found: Iterable[Finding]) -> None:
    """What is wrong or will cost work, then what cannot be told yet; nothing of the rest."""
    findings = list(found)
    for finding in findings:
        if finding.level in (Level.ERROR, Level.WARNING):
            screen.warn(finding.line)
    for finding in findings:
        if finding.level is Level.UNKNOWN:
            screen.say(f"not checked: {finding.line}")
