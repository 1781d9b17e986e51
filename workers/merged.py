"""Weeks and months of a site, each the sum of its days. In: rows of daily tables. Out: rows of weekly and monthly ones;
only those that differ from what is there are written, because this week is computed again every minute.

Everything happens in the rollup's transaction: a crash leaves the rows as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from schema import sketch
from schema.db import Connection
from schema.sql import load
from workers.daily import DAILY, Table, replace

_SQL = load("merged")
_OF = {table.name: table for table in DAILY}
_TRIPS = _OF["daily_trips"]._replace(name="weekly_trips")
_EVENTS = Table("weekly_events", "events", ("event_type_id",), ("visitors", "events", "sessions"))
Values = dict[str, Any]


class Span(NamedTuple):
    """From a day to the first day of its span and of the next, and what is kept of it: the queries are those of
    merged.sql."""

    starts: Callable[[date], date]
    ends: Callable[[date], date]
    tables: tuple[Table, ...]


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _first(day: date) -> date:
    return day.replace(day=1)


SPANS = (
    Span(
        _monday,
        lambda day: day + timedelta(days=7),
        (_EVENTS, _OF["daily_dimensions"]._replace(name="weekly_dimensions"), _TRIPS),
    ),
    Span(_first, lambda day: _first(day + timedelta(days=31)), (_EVENTS._replace(name="monthly_events"),)),
)
TABLES = tuple(table for span in SPANS for table in span.tables)


def merge(connection: Connection, days: Iterable[tuple[str, date]]) -> None:
    """Bring the weeks and months that these days of sites lie in to what their days say. A session that crosses
    midnight counts in both its days."""
    days = list(days)
    for span in SPANS:
        for site_id, starts in sorted({(site_id, span.starts(day)) for site_id, day in days}):
            bounds = {"site_id": site_id, "bucket": starts, "ends": span.ends(starts)}
            for table in span.tables:
                computed = _COMPUTED[table.query](connection, bounds) if table.query in _COMPUTED else {}
                replace(connection, table, _SQL[table.query], bounds | computed)


def _merged(connection: Connection, bounds: Values) -> Values:
    """The columns of weekly_events or monthly_events."""
    rows = connection.execute(_SQL["days"], bounds).fetchall()
    types = {kind: list(group) for kind, group in groupby(rows, key=lambda row: row[0])}
    return {
        "types": list(types),
        "events": [sum(day[1] for day in days) for days in types.values()],
        "sessions": [sum(day[2] for day in days) for days in types.values()],
        "visitors": [sketch.merge(day[3] for day in days) for days in types.values()],
    }


def _packed(connection: Connection, bounds: Values) -> Values:
    """The columns of weekly_trips."""
    from schema import packed  # brings numpy: only a rollup that has work pays for it

    figures = [name for name in _TRIPS.figures if name not in ("trips", "trip_ids")]
    days = connection.execute(_SQL["trips_of_days"], bounds, binary=True).fetchall()
    ids, sums = packed.of_all(days, range(2, 2 + len(figures)))
    named = zip(("trip_ids", *figures), (ids, *sums), strict=True)
    return {"trips": len(ids)} | {name: packed.pack(numbers) for name, numbers in named}


# What Postgres cannot sum by itself: by query, how its parameters are made.
_COMPUTED: dict[str, Callable[[Connection, Values], Values]] = {"events": _merged, "trips": _packed}
