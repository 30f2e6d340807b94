"""Whether jobs get the time to save, told on stderr."""

from launcher.grace import Preflight
from launcher.show.console import Screen


def tell_preflight(screen: Screen, found: Preflight) -> None:
    """One line each: what will cost work, and what cannot be told yet."""
    for line in found.warnings:
        screen.warn(line)
    for line in found.unknown:
        screen.say(line)
