"""Rows go, and what was counted of them stays. In: a month, or some rows of one. Out: base rows, and no rows.

One transaction counts the rows with the drain's own queries, adds the counts to the base rows and takes the rows away:
a crash leaves either the rows or the base rows. Only closed days' rows go, so no rollup will ask for them; the caller
holds the rollups' lock. A month is read by others until it is emptied, which takes milliseconds: whoever is in the way
of that is not waited for for long, because readers that come would wait behind us.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from functools import reduce
from operator import xor
from pathlib import Path
from typing import NamedTuple

from psycopg import errors as pg
from psycopg import sql

from schema.db import Connection
from schema.errors import StorageError
from schema.sql import load
from workers import archive
from workers.months import Month

_SQL = load("folding")
_STEPS = (
    *(load("drain")[step] for step in ("store_users", "store_sessions", "store_trips")),
    *(_SQL[step] for step in ("fold_events", "fold_users", "fold_sessions", "fold_trips")),
)
_COUNTED = ("users", "sessions", "trip_interactions")
ROWS_AT_ONCE = 20_000
_TRIES_MAX = 30
_PAUSE_SECONDS = 0.3


class Cut(NamedTuple):
    """Rows of one site that go before their month does: which types of a category, or, without one, requests."""

    site_id: str
    category: str | None
    types: Sequence[int]
    floor: date
    floor_at: datetime
    before: datetime
    rows: int


def empty(connection: Connection, month: Month, directory: Path | None) -> dict[str, int]:
    """Fold a whole month and empty it. Returns how many rows of each site went."""
    staged = sql.Identifier("pg_temp", _staged(month.category))
    with connection.transaction():
        connection.execute("SELECT set_config('lock_timeout', '5s', true)")
        connection.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(month.table))
        connection.execute(sql.SQL("CREATE TEMP VIEW {} AS SELECT * FROM {}").format(staged, month.table))
        _refuse_open(connection, month)
        rows = _fold(connection, month.category, month.name, directory)
        connection.execute(sql.SQL("DROP VIEW {}").format(staged))
        if rows:
            _truncate(connection, month)
    return rows


def delete(connection: Connection, month: Month, cut: Cut, directory: Path | None) -> int:
    """Fold some rows of a cut that are in this month, and delete them: a bounded number of events, or all requests.
    Returns how many went."""
    with connection.transaction():
        connection.execute(load("drain")["make_stage"] if month.category else _SQL["make_asked"])
        values = cut._asdict() | {"starts": month.starts, "ends": month.ends, "most": ROWS_AT_ONCE}
        rows = connection.execute(_SQL["take_events" if month.category else "take_requests"], values).rowcount
        if rows:
            _refuse_open(connection, month)
            _fold(connection, month.category, f"{month.name}-{cut.site_id}", directory)
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("pg_temp", _staged(month.category))))
    return rows


def _staged(category: str | None) -> str:
    return "stage" if category else "asked"


def _refuse_open(connection: Connection, month: Month) -> None:
    """Never to happen: the drain refuses what is below a floor, and floors are raised first."""
    sites = connection.execute(_SQL["open_rows" if month.category else "open_requests"]).fetchall()
    if sites:
        named = ", ".join(site_id for (site_id,) in sites)
        raise StorageError(f"{month.name} has rows of days that are open yet, of {named}: run it again")


def _fold(connection: Connection, category: str | None, name: str, directory: Path | None) -> dict[str, int]:
    """Write staged rows to the archive, add what they count to the base rows, and say how many of each site went."""
    counted = connection.execute(_SQL["count_stage" if category else "count_asked"]).fetchall()
    rows = {site_id: count for site_id, count, _ in counted}
    if directory is not None and rows:
        digest = reduce(xor, (part for _, _, part in counted)) & (1 << 64) - 1
        archive.save(connection, directory, f"{name}-{digest:016x}", "events" if category else "requests")
    if rows and category is None:
        connection.execute(_SQL["keep_requests"])
    elif rows:
        with _shadows(connection):
            for step in _STEPS:
                connection.execute(step)
    return rows


@contextmanager
def _shadows(connection: Connection) -> Iterator[None]:
    """Empty tables that come before the counters in the search path."""
    for name in _COUNTED:
        shadow = sql.SQL("CREATE TEMP TABLE {} (LIKE {} INCLUDING ALL) ON COMMIT DROP")
        connection.execute(shadow.format(sql.Identifier(name), sql.Identifier("public", name)))
    yield
    for name in _COUNTED:
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("pg_temp", name)))


def _truncate(connection: Connection, month: Month) -> None:
    """Empty it as soon as nobody reads it. Raises StorageError where somebody always does."""
    for _ in range(_TRIES_MAX):
        try:
            with connection.transaction():
                connection.execute("SELECT set_config('lock_timeout', '200ms', true)")
                connection.execute(sql.SQL("TRUNCATE {}").format(month.table))
        except pg.LockNotAvailable:
            time.sleep(_PAUSE_SECONDS)
        else:
            return
    raise StorageError(f"{month.name} is being read all the time: end the long transaction, or run it again later")
