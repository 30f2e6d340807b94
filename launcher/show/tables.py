"""Tables without lines, as all commands show them."""

from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.table import Table


def plain_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of texts, which are taken as they are."""
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table
