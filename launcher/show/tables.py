"""Tables without lines, as all commands show them."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

_WIDE = 1000


def plain_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of texts, which are taken as they are."""
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def fitting_table(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, RenderableType]],
    *,
    left: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> tuple[Table, tuple[str, ...]]:
    """The table with as many columns as the console can show whole, and those that it shows.

    Args:
        console: Where it is to be shown.
        columns: All of them, in order.
        rows: The cells by column, as rich's markup.
        left: Columns of words; the others are numbers, and stand to the right.
        spare: Columns that a narrow console goes without, the first of them first.
    """
    for count in range(len(spare) + 1):
        shown = tuple(name for name in columns if name not in spare[:count])
        table = _table(shown, rows, left)
        needed = console.measure(table, options=console.options.update_width(_WIDE)).maximum
        if needed <= console.width:
            break
    return table, shown


def _table(
    columns: Sequence[str], rows: Sequence[Mapping[str, RenderableType]], left: Sequence[str]
) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    return table
