"""Weeks and months of a site, each the sum of its days. In: rows of daily tables. Out: rows of weekly and monthly ones,
and of months to date; only those that differ from what is there are written, because this week is computed again every
minute.

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
_EVENTS = Table("weekly_events", "events", ("event_type_id",), ("visitors", "events", "sessions"))
_DIMENSIONS = _OF["daily_dimensions"]._replace(name="weekly_dimensions")
# Under each day the sums of its month up to it, and on how many days there was something of a trip.
_PACKED = (*_OF["daily_trips"].figures[:-1], "days")
_TRIPS = _OF["daily_trips"]._replace(name="month_to_date_trips", figures=(*_PACKED, "trips"))
Days = list[tuple[str, date]]
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


_MONTH = Span(_first, lambda day: _first(day + timedelta(days=31)), (_EVENTS._replace(name="monthly_events"),))
SPANS = (Span(_monday, lambda day: day + timedelta(days=7), (_EVENTS, _DIMENSIONS)), _MONTH)
TABLES = (*(table for span in SPANS for table in span.tables), _TRIPS)


def merge(connection: Connection, days: Iterable[tuple[str, date]]) -> None:
    """Bring the weeks and months that these days of sites lie in to what their days say. A session that crosses
    midnight counts in both its days."""
    days = list(days)
    for span in SPANS:
        for site_id, starts in sorted({(site_id, span.starts(day)) for site_id, day in days}):
            bounds = {"site_id": site_id, "bucket": starts, "ends": span.ends(starts)}
            for table in span.tables:
                computed = _merged(connection, bounds) if table.query == _EVENTS.query else {}
                replace(connection, table, _SQL[table.query], bounds | computed)
    _to_date(connection, days)


def _merged(connection: Connection, bounds: Values) -> Values:
    """The columns of weekly_events or monthly_events, whose sketches Postgres cannot merge."""
    rows = connection.execute(_SQL["days"], bounds).fetchall()
    types = {kind: list(group) for kind, group in groupby(rows, key=lambda row: row[0])}
    return {
        "types": list(types),
        "events": [sum(day[1] for day in days) for days in types.values()],
        "sessions": [sum(day[2] for day in days) for days in types.values()],
        "visitors": [sketch.merge(day[3] for day in days) for days in types.values()],
    }


def _to_date(connection: Connection, days: Days) -> None:
    """Months of trips to date, from the first of these days in each: a day's is the one before it and its own."""
    from schema import packed  # brings numpy: only a rollup that has work pays for it

    firsts: dict[tuple[str, date], date] = {}
    for site_id, day in sorted(days, reverse=True):
        firsts[site_id, _first(day)] = day
    for (site_id, month), since in sorted(firsts.items()):
        bounds = {"site_id": site_id, "month": month, "since": since, "ends": _MONTH.ends(month)}
        to_date = connection.execute(_SQL["trips_before"], bounds, binary=True).fetchall()
        for day, *figures in connection.execute(_SQL["trips_since"], bounds, binary=True).fetchall():
            found = dict.fromkeys(_PACKED) | {"trips": 0}
            if figures[1] is not None:
                to_date = [packed.together([*to_date, tuple(figures)])]
                found = dict(zip(("trips", *_PACKED), to_date[0][1:], strict=True))
            replace(connection, _TRIPS, _SQL[_TRIPS.query], {"site_id": site_id, "bucket": day} | found)
