"""What the doctor found: by subject, the reason and the remedy below each; and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import Any, Final

from rich.markup import escape

from launcher.doctor.examine import Section
from launcher.doctor.finding import Finding, Level
from launcher.show.console import Screen
from launcher.show.palette import BAD, CAUTION, FAINT, GOOD, MOVING, tinted

_COLOURS: Final = {
    Level.ERROR: BAD,
    Level.WARNING: CAUTION,
    Level.UNKNOWN: MOVING,
    Level.NOTE: FAINT,
    Level.OK: GOOD,
}
_WIDTH: Final = max(len(level) for level in Level)
_NARROW: Final = 20


def show_doctor(screen: Screen, sections: Sequence[Section]) -> None:
    """Shows all of it, then how many of each level."""
    for section in sections:
        if section.findings:
            screen.result(f"[bold]{escape(section.title)}[/]")
            for finding in section.findings:
                screen.result(*_lines(finding, screen.out.width))
            screen.result("")
    screen.result(escape(summary(sections)))


def _lines(finding: Finding, width: int) -> Iterator[str]:
    """The level and what was found; the reason and the remedy below."""
    indent = " " * (_WIDTH + 4)
    first, *rest = _wrapped(_first(finding), width - len(indent))
    yield f"  {tinted(f'{finding.level:<{_WIDTH}}', _COLOURS[finding.level])}  {escape(first)}"
    yield from (f"{indent}{escape(line)}" for line in rest)
    for word, text in (("why:", finding.why), ("do: ", finding.next)):
        for number, line in enumerate(_wrapped(text, width - len(indent) - 5)):
            yield f"{indent}{tinted(word, FAINT) if number == 0 else '    '} {escape(line)}"


def _wrapped(text: str, width: int) -> list[str]:
    """Paths and commands stay in one piece, to be copied."""
    return wrap(text, max(width, _NARROW), break_long_words=False, break_on_hyphens=False)


def _first(finding: Finding) -> str:
    return f"{finding.where}: {finding.what}" if finding.where else finding.what


def summary(sections: Sequence[Section]) -> str:
    """How many of each level, the worst first."""
    counts = _counts(sections)
    plural = (Level.ERROR, Level.WARNING, Level.NOTE)
    told = [
        f"{count} {level}{'s' if level in plural and count > 1 else ''}"
        for level, count in counts.items()
        if count
    ]
    return ", ".join(told) or "nothing to look at"


def _counts(sections: Sequence[Section]) -> dict[Level, int]:
    levels = [finding.level for section in sections for finding in section.findings]
    return {level: levels.count(level) for level in Level}


def doctor_json(sections: Sequence[Section]) -> dict[str, Any]:
    """The same as data."""
    return {
        "findings": [
            {"subject": section.title, **asdict(finding)}
            for section in sections
            for finding in section.findings
        ],
        "counts": {str(level): count for level, count in _counts(sections).items()},
    }
