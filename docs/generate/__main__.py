"""Brings the generated parts of the pages up to date: `python -m docs.generate [--check]`."""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from docs.generate import ledger, pipeline_file, run_folder
from docs.generate.docstrings import UndocumentedError

DOCS: Final = Path(__file__).parents[1]
PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "pipeline-file": pipeline_file.sections,
    "placeholders": pipeline_file.placeholders,
    "ledger-tables": ledger.tables,
    "ledger-relations": ledger.relations,
    "run-folder": run_folder.paths,
    "event-kinds": run_folder.event_kinds,
}
"""What makes each part, by the name in its comments."""
_PART: Final = re.compile(r"(<!-- begin ([\w-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def renewed(page: str) -> str:
    """A page with its generated parts as the code has them now.

    Raises:
        UndocumentedError: The code lacks words, or the page wants a part that nothing makes.
    """

    def make(part: re.Match[str]) -> str:
        if part[2] not in PARTS:
            raise UndocumentedError(f"{part[2]}: nothing makes such a part")
        return f"{part[1]}\n{PARTS[part[2]]()}\n\n{part[3]}"

    return _PART.sub(make, page)


def main(arguments: list[str]) -> int:
    """Writes the pages that differ; with `--check` only names them."""
    stale = 0
    for path in sorted(DOCS.rglob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = renewed(before)
        if after == before:
            continue
        stale += 1
        if "--check" in arguments:
            sys.stderr.write(f"error: {path}: not as the code says; type: make docs\n")
        else:
            path.write_text(after, encoding="utf-8")
            sys.stderr.write(f"written: {path}\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
