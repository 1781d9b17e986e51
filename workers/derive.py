"""Counters and rollups, computed anew beside the live ones. In: events and requests for recommendations. Out: temporary
tables named like the live ones, which verify compares and rebuild puts in place.

The queries are the drain's and the rollup's own: temporary names come first in the search path, so `stage` is a view
over events and every counter table a shadow. One REPEATABLE READ transaction: nothing is seen half-way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from psycopg import IsolationLevel, sql

from schema.db import Connection
from schema.sql import load
from workers import daily, merged, rollup

Progress = Callable[[str, int, int], None]


class Derived(NamedTuple):
    """A table that follows from events: its key, and the columns that must come out the same, bit for bit."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


_FIGURES = ("events", "sessions", "visitors")
# What follows from days, closed ones too.
_MERGED = tuple(Derived(one.name, ("site_id", "date", *one.key), one.figures) for one in merged.TABLES)
DERIVED = (
    Derived(
        "users",
        ("user_id",),
        ("site_id", "first_seen_at", "last_seen_at", "total_searches", "total_clicks", "total_events"),
    ),
    Derived(
        "sessions",
        ("site_id", "session_id"),
        (
            "user_id",
            "anonymous_id",
            "started_at",
            "last_seen_at",
            "device_type_id",
            "user_agent_id",
            "referrer_id",
            "ip_prefix",
            "country",
            "owner_code",
            "share_code",
            "contact_id",
            "page_view_count",
            "search_count",
            "click_count",
            "save_count",
            "contact_count",
            "event_count",
        ),
    ),
    Derived(
        "trip_interactions",
        ("site_id", "trip_id"),
        (
            "impression_count",
            "click_count",
            "save_count",
            "whatsapp_contact_count",
            "phone_contact_count",
            "booking_start_count",
            "total_dwell_time_ms",
            "dwell_count",
        ),
    ),
    Derived("rollup_hourly", ("site_id", "hour", "event_type_id"), (*_FIGURES, "unique_users")),
    Derived("hourly_stats", ("site_id", "hour"), ("events", "unique_users")),
    Derived("daily_events", ("site_id", "date", "event_type_id"), _FIGURES),
    *(Derived(one.name, ("site_id", "date", *one.key), one.figures) for one in daily.DAILY),
    *_MERGED,
    Derived(
        "recommendation_daily",
        ("site_id", "date"),
        (
            "requests",
            "relaxed_requests",
            "empty_requests",
            "low_score_requests",
            "sessions",
            "response_us_sum",
            "response_us_max",
            "response_us_histogram",
            "top_score_sum",
            "top_score_count",
            "used",
            "searches",
            "by_position",
            "impressions",
            "clicks",
            "contacts",
            "bookings",
        ),
    ),
)
_SHADOWED = (*(table.name for table in DERIVED), "dirty_hours", "dirty_days", "dirty_recommendation_days")
_STEPS = (
    *(load("folding")[step] for step in ("put_users", "put_sessions", "put_trips")),
    *(load("drain")[step] for step in ("store_users", "store_sessions", "describe_sessions", "store_trips")),
    *(load("drain")[step] for step in ("mark_hours", "mark_days")),
    *(load("requests")[step] for step in ("mark_answered", "mark_every_asked")),
)


@contextmanager
def derived(connection: Connection, progress: Progress) -> Iterator[None]:
    """A transaction in which every derived table is shadowed by its recomputation."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            connection.execute("CREATE TEMP VIEW stage AS SELECT * FROM events")
            for name in _SHADOWED:
                live = sql.Identifier("public", name)
                shadow = sql.SQL("CREATE TEMP TABLE {} (LIKE {} INCLUDING ALL) ON COMMIT DROP")
                connection.execute(shadow.format(sql.Identifier(name), live))
            for table in DERIVED:
                if table not in _MERGED:
                    _keep_closed(connection, table)
            merged.merge(connection, connection.execute("SELECT site_id, date FROM daily_stats").fetchall())
            for done, step in enumerate(_STEPS):
                progress("counters", done, len(_STEPS))
                connection.execute(step, {"users": None})
            progress("counters", len(_STEPS), len(_STEPS))
            rollup.roll(connection, lambda done, total: progress("rollups", done, total))
            yield
            connection.execute("DROP VIEW pg_temp.stage")
    finally:
        if not connection.broken:
            connection.isolation_level = None


def differences(connection: Connection, table: Derived, most: int = 5) -> list[str]:
    """Rows of a live table that differ from the shadow's, in words, at most `most` of them."""
    key, columns = (sql.SQL(", ").join(map(sql.Identifier, names)) for names in (table.key, table.columns))
    query = sql.SQL(
        "SELECT {key}, to_jsonb(l) - 'visitors', to_jsonb(s) - 'visitors'"
        " FROM (SELECT {key}, {columns} FROM {live}) AS l FULL JOIN (SELECT {key}, {columns} FROM {shadow}) AS s"
        " USING ({key}) WHERE l IS DISTINCT FROM s ORDER BY {key} LIMIT {most}"
    ).format(
        key=key,
        columns=columns,
        most=sql.Literal(most),
        live=sql.Identifier("public", table.name),
        shadow=sql.Identifier("pg_temp", table.name),
    )
    found = []
    for *values, stored, recomputed in connection.execute(query):
        where = ", ".join(f"{k}={v}" for k, v in zip(table.key, values, strict=True))
        found.append(f"{table.name} {where}: {_unlike(stored, recomputed)}")
    return found


def replace(connection: Connection, table: Derived) -> None:
    """Put the shadow's rows in place of the live ones; owner only."""
    live, shadow = sql.Identifier("public", table.name), sql.Identifier("pg_temp", table.name)
    names = _names(connection, table)
    connection.execute(sql.SQL("TRUNCATE {}").format(live))
    connection.execute(
        sql.SQL("INSERT INTO {live} ({names}) SELECT {names} FROM {shadow}").format(
            live=live, shadow=shadow, names=names
        )
    )


def _keep_closed(connection: Connection, table: Derived) -> None:
    """What was computed of closed hours and days stays: their events are gone."""
    for bucket, closed in (("hour", "closed_hour"), ("date", "closed")):
        if bucket in table.key:
            kept = sql.SQL(
                "INSERT INTO {shadow} ({names}) SELECT {names} FROM {live} AS l"
                " WHERE {bucket} < (SELECT {closed} FROM floors AS f WHERE f.site_id = l.site_id)"
            )
            connection.execute(
                kept.format(
                    shadow=sql.Identifier("pg_temp", table.name),
                    live=sql.Identifier("public", table.name),
                    names=_names(connection, table),
                    bucket=sql.Identifier(bucket),
                    closed=sql.Identifier(closed),
                )
            )


def _names(connection: Connection, table: Derived) -> sql.Composed:
    """The columns that are stored as they are given."""
    columns = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' ORDER BY attnum",
        (f"public.{table.name}",),
    ).fetchall()
    return sql.SQL(", ").join(sql.Identifier(row[0]) for row in columns)


def _unlike(stored: dict[str, object] | None, recomputed: dict[str, object] | None) -> str:
    if stored is None or recomputed is None:
        return "is missing" if stored is None else "should not be there"
    unlike = [
        f"{k}: the bytes differ" if str(v).startswith("\\x") else f"{k} is {v}, should be {recomputed[k]}"
        for k, v in stored.items()
        if v != recomputed[k]
    ]
    return "; ".join(unlike) or "visitors' sketch differs"
