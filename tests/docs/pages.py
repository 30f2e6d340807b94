"""What the pages of `docs/` and the README show: commands, pipelines, questions to the ledger."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]
_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`launcher ([a-z][^`\n]*)`")
_LINE = re.compile(r"^(?:\$ )?(?:python -m )?launcher (.+)$")


@dataclass(frozen=True)
class Shown:
    """A piece of a page.

    Attributes:
        page: Where it stands.
        text: What is shown.
        is_inline: In a sentence, not in a block of its own.
    """

    page: Path
    text: str
    is_inline: bool = False

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text}"


def blocks(*languages: str) -> list[Shown]:
    """The blocks of code in these languages; an empty one: in none."""
    return [
        Shown(page, text)
        for page in PAGES
        for language, text in _BLOCK.findall(page.read_text(encoding="utf-8"))
        if language in languages
    ]


def commands() -> list[Shown]:
    """What stands behind `launcher` in each command line, in blocks and in sentences."""
    lines = [
        Shown(block.page, found[1])
        for block in blocks("console", "sh", "")
        for line in block.text.splitlines()
        if (found := _LINE.match(line))
    ]
    inline = [
        Shown(page, text, is_inline=True)
        for page in PAGES
        for text in _INLINE.findall(_BLOCK.sub("", page.read_text(encoding="utf-8")))
    ]
    return [*lines, *inline]


def words(command: Shown) -> list[str]:
    """A command line as a shell takes it apart; a comment behind it is none of its words."""
    return shlex.split(command.text, comments=True)
