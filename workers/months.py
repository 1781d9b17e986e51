"""Months of events and requests, as partitions. In: the catalog, and how long each category is kept. Out: months that
are past their limit; empty ones detached and dropped.

Detaching is concurrent: it waits for whoever uses the table and makes nobody wait. Killed in between, the month is left
half detached, or a table by itself: `finish` goes on from there. Rows are never dropped: a month that turns out not to
be empty is attached again.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from psycopg import sql

from schema.db import Connection
from schema.sql import load

_SQL = load("retention")
_KEPT_LIKE = "interaction"  # requests for recommendations


class Month(NamedTuple):
    """One partition, of a category's events or, without one, of requests."""

    parent: str
    name: str
    category: str | None
    starts: datetime
    ends: datetime
    is_pending: bool

    @property
    def table(self) -> sql.Identifier:
        """Its name in a statement."""
        return sql.Identifier("public", self.name)


def there(connection: Connection) -> list[Month]:
    """Every month, oldest first."""
    return [Month(*row) for row in connection.execute(_SQL["months"])]


def past(connection: Connection, at: datetime) -> list[Month]:
    """The months of which every row is past its category's limit at that moment, oldest first."""
    limits = cut_off(connection, at)
    return [month for month in there(connection) if month.ends <= limits[month.category]]


def cut_off(connection: Connection, at: datetime) -> dict[str | None, datetime]:
    """Before when each category's rows, and requests, are past their limit at that moment."""
    limits: dict[str | None, datetime] = dict(connection.execute(_SQL["limits"], {"at": at}).fetchall())
    return limits | {None: limits[_KEPT_LIKE]}


def drop(connection: Connection, month: Month) -> bool:
    """Detach an empty month and drop it. False where a row came meanwhile, of a site that was added just now: the month
    stays."""
    parent = sql.Identifier("public", month.parent)
    how = "FINALIZE" if month.is_pending else "CONCURRENTLY"
    detach = sql.SQL("ALTER TABLE {} DETACH PARTITION {} {}").format(parent, month.table, sql.SQL(how))
    connection.execute(detach)
    if _drop_empty(connection, month.name):
        return True
    bounds = sql.SQL("FOR VALUES FROM ({}) TO ({})").format(month.starts, month.ends)
    connection.execute(sql.SQL("ALTER TABLE {} ATTACH PARTITION {} {}").format(parent, month.table, bounds))
    return False


def finish(connection: Connection) -> None:
    """Go on with what a run that was killed left half done."""
    for month in there(connection):
        if month.is_pending:
            drop(connection, month)
    for name in loose(connection):
        _drop_empty(connection, name)


def loose(connection: Connection) -> list[str]:
    """Tables named like months that are no partitions."""
    return [name for (name,) in connection.execute(_SQL["loose_months"])]


def _drop_empty(connection: Connection, name: str) -> bool:
    table = sql.Identifier("public", name)
    with connection.transaction():
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table))
        if connection.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(table)).fetchone() is not None:
            return False
        connection.execute(sql.SQL("DROP TABLE {}").format(table))
    return True
