"""INSERT … ON CONFLICT, which both databases have and SQLAlchemy spells once for each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

# Without it SQLAlchemy doesn't ask psycopg how many rows an INSERT has made.
_COUNTED = {"preserve_rowcount": True}


def insert_or_not(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row unless one is there already that it would contradict; whether it was inserted."""
    if connection.dialect.name == "postgresql":
        added = connection.execute(postgresql.insert(table).values(values).on_conflict_do_nothing(), execution_options=_COUNTED)
    else:
        added = connection.execute(sqlite.insert(table).values(values).on_conflict_do_nothing(), execution_options=_COUNTED)
    return added.rowcount == 1


def insert_or_update(connection: Connection, table: Table, values: dict[str, Any], changes: dict[str, Any]) -> None:
    """Insert a row, or make these changes to the one that has its primary key."""
    keys = list(table.primary_key)
    if connection.dialect.name == "postgresql":
        connection.execute(postgresql.insert(table).values(values).on_conflict_do_update(index_elements=keys, set_=changes))
    else:
        connection.execute(sqlite.insert(table).values(values).on_conflict_do_update(index_elements=keys, set_=changes))
