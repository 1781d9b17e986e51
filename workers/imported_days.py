"""Plausible's days in the daily tables, and out of them again. In: an export and a site. Out: closed days with figures.

They are put before the site's first own day and closed, like days whose events retention dropped: no event below the
floor that they set arrives any more, rollups leave them alone, rebuild and verify leave them out. One transaction.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.types.json import Jsonb

from schema import db
from schema.db import Connection
from schema.errors import InvalidRequest
from schema.settings import Settings
from schema.sql import load
from workers import imports, merged, plausible, rollup
from workers.daily import DAILY
from workers.imports import Import
from workers.plausible import Day

_SQL = load("imports")
_HOLD = load("retention")["wait_for_drains"]
_TABLES = ("daily_events", *(table.name for table in DAILY))


class Preview(NamedTuple):
    """The days that an export brings, and how many are left out: the site has days of its own by then."""

    days: list[Day]
    left_out: int

    @property
    def page_views(self) -> int:
        return sum(day.page_views for day in self.days)


def preview(settings: Settings, path: Path, site_id: str, at: datetime) -> Preview:
    """Look at the whole file; `at` is now. Raises NotFound, BadRows, ConfigError, or InvalidRequest where no day of it
    can come."""
    days = plausible.read(path)
    with db.connect(settings) as connection:
        return _those_that_fit(connection, days, path, site_id, at)


def run(settings: Settings, path: Path, site_id: str, at: datetime) -> tuple[int, Preview]:
    """Put the days in place. Returns the import's number. Raises what `preview` raises."""
    days = plausible.read(path)
    with (
        db.connect(settings, statement_seconds_max=240) as connection,
        rollup.alone(connection),
        connection.transaction(),
    ):
        connection.execute(_HOLD)
        found = _those_that_fit(connection, days, path, site_id, at)
        first, last = found.days[0].date, found.days[-1].date
        noted = (_noon(first), _noon(last), len(found.days))
        import_id = imports.begin(connection, path, site_id, plausible.SOURCE, *noted)
        types = {name for day in found.days for name in day.events}
        connection.execute(_SQL["know_types"], {"types": sorted(types)})
        for day in found.days:
            _put(connection, site_id, day)
        merged.merge(connection, [(site_id, day.date) for day in found.days])
        closed = {"site_id": site_id, "floor": last + timedelta(days=1), "import_id": import_id}
        connection.execute(_SQL["close_days"], closed)
        imports.finish(connection, import_id)
    return import_id, found


def take_back(settings: Settings, import_id: int) -> int:
    """Take the days of an import out again. Returns how many there were. Raises NotFound."""
    with (
        db.connect(settings, statement_seconds_max=240) as connection,
        rollup.alone(connection),
        connection.transaction(),
    ):
        one = imports.one(connection, import_id)
        connection.execute(_HOLD)
        gone = _take_out(connection, one)
        imports.undone(connection, import_id)
    return gone


def _take_out(connection: Connection, one: Import) -> int:
    site_id, first, last = one.site_id, one.first_at.date(), one.last_at.date()
    gone = 0
    for table in _TABLES:
        query = sql.SQL("DELETE FROM {} WHERE site_id = %s AND date BETWEEN %s AND %s").format(sql.Identifier(table))
        removed = connection.execute(query, (site_id, first, last)).rowcount
        gone = removed if table == "daily_stats" else gone
    merged.merge(connection, [(site_id, first + timedelta(days=n)) for n in range((last - first).days + 1)])
    connection.execute(_SQL["open_days"], one._asdict() | {"floor": last + timedelta(days=1)})
    return gone


def _those_that_fit(connection: Connection, days: list[Day], path: Path, site_id: str, at: datetime) -> Preview:
    """Those before the site's own, the first of which is today's at the latest: a closed day takes no events. Raises
    NotFound, InvalidRequest."""
    imports.must_exist(connection, site_id)
    if not days:
        raise InvalidRequest(f"{path} holds no days.")
    own = connection.execute(_SQL["first_own_day"], {"site_id": site_id, "at": at}).fetchall()[0][0]
    wanted = [day for day in days if day.date < own]
    if not wanted:
        raise InvalidRequest(f"Every day of {path} lies on or after {own}, since when the site has its own figures.")
    span = {"site_id": site_id, "first": wanted[0].date, "last": wanted[-1].date}
    there, first = connection.execute(_SQL["days_there"], span).fetchall()[0]
    if there:
        raise InvalidRequest(f"The site has figures of {there} of these days already, the first is {first}.")
    if among := connection.execute(_SQL["imported_there"], span).fetchone():
        raise InvalidRequest(f"These days lie among those of import {among[0]}: take that one back first.")
    return Preview(wanted, len(days) - len(wanted))


def _put(connection: Connection, site_id: str, day: Day) -> None:
    base: dict[str, Any] = {"site_id": site_id, "date": day.date}
    everybody = day.sketch_of(day.visitors)
    stats = {"unique_users": day.visitors, "page_views": day.page_views, "paths": Jsonb(day.paths), "sketch": everybody}
    connection.execute(_SQL["put_stats"], base | stats)
    own = sum(events for events, _ in day.events.values())
    sessions = {
        "sessions": day.sessions,
        "bounces": day.bounces,
        "page_views": day.page_views,
        "length_ms": day.length_ms,
    }
    more = {"events": day.page_views + own, "histogram": day.length_histogram}
    connection.execute(_SQL["put_sessions"], base | sessions | more)
    types = {name: (events, min(visitors, day.visitors)) for name, (events, visitors) in day.events.items()}
    for name, (events, visitors) in types.items():
        figures = {"event_type": name, "events": events, "sessions": visitors, "sketch": day.sketch_of(visitors)}
        connection.execute(_SQL["put_events"], base | figures)
    if day.page_views:
        views = {"event_type": "page_view", "events": day.page_views, "sessions": day.sessions, "sketch": everybody}
        connection.execute(_SQL["put_events"], base | views)
    _put_dimensions(connection, base, day)


def _put_dimensions(connection: Connection, base: dict[str, Any], day: Day) -> None:
    rows = [(name, value, *counts) for (name, value), counts in day.dimensions.items()]
    columns = zip(*rows, strict=True) if rows else [[]] * 4
    names = ("dimensions", "values", "page_views", "sessions")
    connection.execute(_SQL["put_dimensions"], base | dict(zip(names, map(list, columns), strict=True)))


def _noon(day: date) -> datetime:
    """A moment that is on this day wherever the server believes to be."""
    return datetime.combine(day, time(12), UTC)
