"""One week of one site, of what months have most rows of. In: rows of its days. Out: rows of the weekly tables; only
those that differ from what is there are written, because this week is computed again every minute.

Everything happens in the rollup's transaction: a crash leaves the rows as they were.
"""

from __future__ import annotations

from typing import Any

from schema.db import Connection
from schema.sql import load
from workers.daily import DAILY, Table, replace

_SQL = load("weekly")
_OF = {table.name: table for table in DAILY}
_TRIPS = _OF["daily_trips"]._replace(name="weekly_trips")
WEEKLY: tuple[Table, ...] = (_OF["daily_dimensions"]._replace(name="weekly_dimensions"), _TRIPS)


def compute(connection: Connection, week: dict[str, Any]) -> None:
    """Bring the week from `starts` to `ends`, which is not included, to what its days say now."""
    values = week | {"bucket": week["starts"]} | _packed(connection, week)
    for table in WEEKLY:
        replace(connection, table, _SQL[table.query], values)


def _packed(connection: Connection, week: dict[str, Any]) -> dict[str, Any]:
    """The columns of weekly_trips."""
    from schema import packed  # brings numpy: only a rollup that has work pays for it

    figures = [name for name in _TRIPS.figures if name not in ("trips", "trip_ids")]
    days = connection.execute(_SQL["trips_of_days"], week, binary=True).fetchall()
    ids, sums = packed.of_all(days, range(2, 2 + len(figures)))
    named = zip(("trip_ids", *figures), (ids, *sums), strict=True)
    return {"trips": len(ids)} | {name: packed.pack(numbers) for name, numbers in named}
