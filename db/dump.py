"""All rows of the ledger, table by table, a few at a time: for `launcher export`."""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Select, Table, select
from sqlalchemy.orm import Session

from db.schema import Base, StageRun

_AT_ONCE: Final = 1000
"""Rows that are held in memory."""


def tables_of(run_id: str | None) -> list[Table]:
    """The tables, those that others refer to first; of one run only those that belong to runs."""
    tables = Base.metadata.sorted_tables
    return [table for table in tables if run_id is None or _of_run(table, run_id) is not None]


def rows_of(session: Session, table: Table, run_id: str | None) -> Iterator[Sequence[object]]:
    """The rows of a table as tuples of its columns, oldest first; of all runs or of one.

    Args:
        session: of `Ledger.read`; it must stay open meanwhile.
        table: one of `tables_of`.
        run_id: the run; None: all.
    """
    query = select(table) if run_id is None else _of_run(table, run_id)
    if query is None:
        return
    ordered = query.order_by(*table.primary_key.columns)
    found = session.execute(ordered.execution_options(yield_per=_AT_ONCE))
    for some in found.partitions():
        yield from some


def _of_run(table: Table, run_id: str) -> Select[tuple[object, ...]] | None:
    """What a table holds of a run; None: it holds nothing of runs."""
    columns = table.columns
    if table.name == "run":
        return select(table).where(columns["id"] == run_id)
    if "run_id" in columns:
        return select(table).where(columns["run_id"] == run_id)
    if "stage_run_id" in columns:
        stages = select(StageRun.id).where(StageRun.run_id == run_id)
        return select(table).where(columns["stage_run_id"].in_(stages))
    return None
