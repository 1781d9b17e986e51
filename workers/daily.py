"""One day of one site in figures. In: its events, read once into a temporary table. Out: rows of the daily tables; only
those that differ from what is there are written, because today is computed again every minute.

Everything happens in the rollup's transaction: a crash leaves the rows as they were.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from psycopg import sql

from schema import histogram, sketch
from schema.db import Connection
from schema.sql import load

_SQL = load("daily")
# Settings of the one transaction: with the server's own 8 MB, what a million events need went through files.
_MEMORY = "SET LOCAL work_mem = '64MB'"

# How a table is brought up to date, in one statement: what is right, what is gone, and what is written.
_FRESH = sql.SQL("WITH fresh AS ({query}),")
_GONE = sql.SQL(
    "gone AS (DELETE FROM {table} AS t WHERE site_id = %(site_id)s AND date = %(bucket)s"
    " AND NOT EXISTS (SELECT FROM fresh AS f WHERE {same}))"
)
_WRITTEN = sql.SQL(
    "INSERT INTO {table} AS t (site_id, date, {ours}) SELECT %(site_id)s, %(bucket)s::date, {ours} FROM fresh"
    " ON CONFLICT ({unique}) DO UPDATE SET ({figures}) = ROW ({new}) WHERE ({old}) IS DISTINCT FROM ({new})"
)


class Table(NamedTuple):
    """A table of figures by site and day, or Monday: the query that gives its rows, what names a row within its day,
    and the rest. `unique` is the index that makes it so, where it is not on the key itself."""

    name: str
    query: str
    key: tuple[str, ...]
    figures: tuple[str, ...]
    unique: sql.SQL | None = None


DAILY = (
    Table("daily_stats", "stats", (), ("path_stats", "visitors", "unique_users", "total_views")),
    Table(
        "daily_user_stats",
        "user_stats",
        ("owner_code",),
        ("unique_share_codes", "total_sessions", "total_page_views", "total_clicks"),
    ),
    Table(
        "daily_group_stats",
        "group_stats",
        ("owner_code", "share_code"),
        ("total_sessions", "total_page_views", "total_clicks"),
    ),
    Table(
        "daily_click_targets",
        "click_targets",
        ("owner_code", "share_code", "click_target", "click_category"),
        ("click_count",),
    ),
    Table("daily_page_stats", "page_stats", ("owner_code", "share_code", "page_type"), ("view_count",)),
    Table(
        "daily_dimensions",
        "dimensions",
        ("dimension", "value"),
        ("events", "page_views", "sessions"),
        sql.SQL("site_id, dimension, date, (md5(value)::uuid)"),
    ),
    Table(
        "daily_trips",
        "trips",
        (),
        (
            "trip_ids",
            "impressions",
            "clicks",
            "saves",
            "whatsapp_contacts",
            "phone_contacts",
            "booking_starts",
            "dwell_ms",
            "dwells",
            "trips",
        ),
    ),
    Table("daily_walks", "walks", (), ("session_ids", "began", "starts", "sessions")),
    Table("daily_steps", "steps", ("event_type_id",), ("walks", "after_ms", "after_us", "events")),
    Table(
        "daily_sessions",
        "sessions",
        (),
        ("length_ms_histogram", "sessions", "bounces", "page_views", "length_ms", "events"),
    ),
)


def prepare(connection: Connection) -> None:
    """What a transaction needs before its first day."""
    connection.execute(_MEMORY)
    connection.execute(_SQL["make_day_events"])
    connection.execute(_SQL["make_day_visits"])


def compute(connection: Connection, day: dict[str, Any]) -> list[dict[str, Any]]:
    """Bring every daily table to what the day's events say now. Returns the figures of its event types."""
    connection.execute(_SQL["empty_day"])
    connection.execute(_SQL["fill_day_events"], day)
    connection.execute(_SQL["fill_day_visits"])
    types = []
    visitors: set[str] = set()
    for event_type_id, events, sessions, seen in connection.execute(_SQL["types"]).fetchall():
        figures = {"event_type_id": event_type_id, "events": events, "sessions": sessions}
        types.append(figures | {"visitors": sketch.of(seen)})
        visitors.update(seen)
    everyone = {"unique_users": len(visitors), "visitors": sketch.merge(one["visitors"] for one in types)}
    values = day | everyone | _walked(connection, day["starts"]) | {"edges": list(histogram.EDGES)}
    for table in DAILY:
        replace(connection, table, _SQL[table.query], values)
    return types


def replace(connection: Connection, table: Table, query: LiteralString, values: dict[str, Any]) -> None:
    """Bring the rows of one site and date, %(site_id)s and %(bucket)s, to what a query gives."""
    connection.execute(_replacing(table, query), values)


def _walked(connection: Connection, starts: datetime) -> dict[str, Any]:
    """What daily_walks and daily_steps say of the day, by the names that their queries have for it."""
    from workers import walks  # brings numpy: only a rollup that has work pays for it

    rows = connection.execute(_SQL["walked"], binary=True).fetchall()
    return walks.of_day(rows, starts)._asdict()


def _replacing(table: Table, query: LiteralString) -> sql.Composed:
    """Rows that are right stay as they are: today is computed every minute, and most of its rows are what they were."""
    same = [sql.SQL("f.{0} = t.{0}").format(sql.Identifier(one)) for one in table.key]
    figures = [sql.Identifier(one) for one in table.figures]
    names: dict[str, sql.Composable] = {
        "query": sql.SQL(query),
        "table": sql.Identifier(table.name),
        "same": sql.SQL(" AND ").join(same) if same else sql.SQL("true"),
        "ours": sql.SQL(", ").join([*map(sql.Identifier, table.key), *figures]),
        "unique": table.unique or sql.SQL(", ").join(map(sql.Identifier, ("site_id", "date", *table.key))),
        "figures": sql.SQL(", ").join(figures),
        "new": sql.SQL(", ").join(sql.SQL("excluded.{}").format(one) for one in figures),
        "old": sql.SQL(", ").join(sql.SQL("t.{}").format(one) for one in figures),
    }
    return sql.SQL(" ").join(part.format(**names) for part in (_FRESH, _GONE, _WRITTEN))
