"""How the pipeline is doing. In: Redis and Postgres. Out: figures for `tripstream status` and for /metrics.

Reads only; every figure is as of the moment it was asked for.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import dict_row
from redis import Redis

from schema import stream
from schema.db import Connection
from schema.event import new_id, now
from schema.settings import Settings
from schema.sql import load

_SQL = load("status")
_MINUTE_US = 60_000_000


class Freshness(NamedTuple):
    """When something was last stored, the newest hour rolled up, and how many hours and days wait for a rollup."""

    last_drained: datetime | None
    newest_hour: datetime | None
    dirty_hours: int
    dirty_days: int


class Queue(NamedTuple):
    """What waits in Redis. `oldest_seconds` is 0 when nothing does."""

    batches: int
    oldest_seconds: float
    memory_share: float


class Outbox(NamedTuple):
    """What applications emitted and is not moved yet, since when, and what could not be moved in three tries."""

    pending: int
    oldest_seconds: float
    failed: int


def queue(redis: Redis, settings: Settings) -> Queue:
    """Backlog over all lanes, and how full Redis is."""
    lanes = stream.backlog(redis, stream.known_lanes(redis, settings.lanes))
    oldest = min((lane.oldest_ms for lane in lanes if lane.oldest_ms is not None), default=None)
    age = 0.0 if oldest is None else max(time.time() - oldest / 1000, 0.0)
    return Queue(sum(lane.batches for lane in lanes), age, stream.memory_share(redis))


def drained(connection: Connection) -> list[dict[str, Any]]:
    """What became of events, per site and lane."""
    return _dicts(connection, "drained")


def chores(connection: Connection) -> list[dict[str, Any]]:
    """Each chore with its newest due and done tick, its last error of the day, and how long the oldest tick
    since the last done one has waited."""
    return _dicts(connection, "chores")


def dead_by_reason(connection: Connection) -> list[dict[str, Any]]:
    """Open dead letters by event type and reason, most frequent first."""
    return _dicts(connection, "dead_by_reason")


def schema_warnings(connection: Connection) -> list[dict[str, Any]]:
    """What lenient sites stored although it does not fit its schema, by site and type, with the last reason."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(load("schemas")["warnings"]).fetchall()


def freshness(connection: Connection) -> Freshness:
    """How far behind the figures are."""
    return Freshness(*connection.execute(_SQL["freshness"]).fetchall()[0])


def figures_age(connection: Connection) -> float | None:
    """Seconds since the moment as of which reports are complete; None before the first rollup."""
    found: float | None = connection.execute(_SQL["figures_age"]).fetchall()[0][0]
    return found


def rates(connection: Connection) -> tuple[float, float]:
    """Events stored per second, over the last minute and the last hour. Batch ids begin with their time."""
    at = now()
    bounds = {"minute": _floor(at - _MINUTE_US), "hour": _floor(at - 60 * _MINUTE_US)}
    last_minute, last_hour = connection.execute(_SQL["rate"], bounds).fetchall()[0]
    return last_minute / 60, last_hour / 3600


def asked(connection: Connection) -> tuple[int, int]:
    """Requests for recommendations in the last hour, and how many of them had no result."""
    requests, empty = connection.execute(_SQL["asked"]).fetchall()[0]
    return requests, empty


def outbox(connection: Connection) -> Outbox:
    """How the outbox stands."""
    return Outbox(*connection.execute(_SQL["outbox"]).fetchall()[0])


def marked(connection: Connection) -> tuple[int, int]:
    """Identities whose events wait to be moved, and how many of them the mover could not do."""
    waiting, failed = connection.execute(_SQL["marked"]).fetchall()[0]
    return waiting, failed


def unmoved(connection: Connection) -> list[dict[str, Any]]:
    """What the mover could not do, with what was wrong."""
    return _dicts(connection, "unmoved")


def schema_version(connection: Connection) -> tuple[str | None, int]:
    """The migration applied last, and Postgres' own version number."""
    row = connection.execute(_SQL["version"]).fetchone()
    return (row[0], row[1]) if row else (None, 0)


def _floor(at: int) -> UUID:
    """The smallest UUIDv7 of a millisecond: its random bits cleared."""
    return UUID(int=new_id(at).int >> 80 << 80)


def _dicts(connection: Connection, name: str) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name]).fetchall()
