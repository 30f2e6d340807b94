"""The tables of the ledger, from `db/schema.py`."""

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, Boolean, Double, Enum, Integer, String
from sqlalchemy.sql.elements import KeyedColumnElement

from db import schema
from db.schema import Base
from docs.generate.docstrings import UndocumentedError, summary
from docs.generate.tables import table

_COMMENT: Final = re.compile(r"^    (\w+): Mapped\[.*?  # (.+)$", re.MULTILINE)
_TYPES: Final = (
    (Enum, ""),
    (String, "text"),
    (Boolean, "0 or 1"),
    (BigInteger, "whole number"),
    (Integer, "whole number"),
    (Double, "number"),
    (JSON, "JSON"),
)
"""The first that fits counts: an Enum is a String, too."""


def tables() -> str:
    """Each table with its columns, as Markdown."""
    return "\n\n".join(_table(row) for row in rows())


def relations() -> str:
    """Which table names a row of which, as a table."""
    found = [
        (f"`{row.__tablename__}.{column.name}`", f"`{key.column.table.name}.{key.column.name}`")
        for row in rows()
        for column in row.__table__.columns
        for key in column.foreign_keys
    ]
    return table(("column", "names a row of"), found)


def rows() -> Iterator[type[Base]]:
    """The classes of the tables, in the order of the file."""
    for found in vars(schema).values():
        if isinstance(found, type) and issubclass(found, Base) and found is not Base:
            yield found


def _table(row: type[Base]) -> str:
    comments = dict(_COMMENT.findall(inspect.getsource(row)))
    cells = [
        (f"`{column.name}`", _type(column), _key(column), comments.get(column.key, ""))
        for column in row.__table__.columns
    ]
    return f"### `{row.__tablename__}`\n\n{summary(row)}\n\n" + table(
        ("column", "type", "key", "what"), cells
    )


def _type(column: KeyedColumnElement[Any]) -> str:
    null = " or NULL" if column.nullable else ""
    if isinstance(column.type, Enum):
        return ", ".join(f"`{word}`" for word in column.type.enums) + null
    for known, told in _TYPES:
        if isinstance(column.type, known):
            return told + null
    raise UndocumentedError(f"{column}: docs.generate.ledger has no words for {column.type!r}")


def _key(column: KeyedColumnElement[Any]) -> str:
    if column.primary_key:
        return "primary"
    return next((f"of `{key.column.table.name}`" for key in column.foreign_keys), "")
