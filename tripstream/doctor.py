"""Is everything as it should be? In: settings. Out: findings, each with what to do about it.

Looks only; what cannot be looked at is a finding too.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from recommender import building
from reports import status
from schema import db, migrate, stream
from schema.db import Connection
from schema.errors import TripstreamError
from schema.registry import KEY
from schema.settings import Settings
from schema.sql import load
from workers import agents, months
from workers.clock import CHORES, Chore

_FREE_BYTES_MIN = 2 << 30
_CLOCK_SKEW_SECONDS_MAX = 2.0
_CHORE_SECONDS_LATE = 300
_SNAPSHOT_HOURS_MAX = 25
_RETENTION_DAYS_LATE = 3
_SQL = load("clock")


class Finding(NamedTuple):
    """One check. `good`: True, False, or None for a warning."""

    what: str
    good: bool | None
    found: str
    advice: str


def examine(settings: Settings) -> list[Finding]:
    """Every check, in the order in which to mend what is broken."""
    servers = [*_guarded("Postgres", _postgres, settings), *_guarded("Redis", _redis, settings)]
    if settings.database_read_url:
        servers += _guarded("replica", _replica, settings)
    return [*servers, *_snapshot(settings), *_disk(settings)]


def _guarded(what: str, checks: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    try:
        yield from checks(settings)
    except (TripstreamError, psycopg.Error, RedisError, OSError) as error:
        url = {"Postgres": "DATABASE_URL", "replica": "DATABASE_READ_URL"}.get(what, "REDIS_URL")
        yield Finding(what, False, str(error).split("\n", 1)[0], f"start it with `make up`, or correct {url}")


def _replica(settings: Settings) -> Iterator[Finding]:
    seconds = db.behind(settings)
    advice = "figures are refused meanwhile; see pg_stat_replication on the primary, and is `tripstream clock` running?"
    yield Finding("replica", seconds <= settings.replica_seconds_max, f"{seconds:.0f} s behind", advice)


def _postgres(settings: Settings) -> Iterator[Finding]:
    with db.connect(settings) as connection:
        version = connection.info.server_version // 10000
        yield Finding("Postgres version", version >= 15, str(version), "use Postgres 15 or newer; 18 is tested")
        for name, wanted in (("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "on")):
            value = _value(connection, "SELECT current_setting(%s)", name)
            advice = f"set {name} = {wanted} in postgresql.conf, or a power cut loses what was acknowledged"
            yield Finding(f"Postgres {name}", value == wanted, value, advice)
        applied, _ = _schema_version(connection)
        newest = migrate.head()
        yield Finding("schema", applied == newest, f"at {applied}, newest {newest}", "run `tripstream migrate`")
        if applied == newest:
            yield from _pipeline(connection)


def _pipeline(connection: Connection) -> Iterator[Finding]:
    yield from _partitions(connection)
    advice = "is the clock running? `tripstream status` shows the last run of the chore `partitions`"
    requests = _value(
        connection,
        "SELECT to_regclass('recommendation_requests_'"
        " || to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYY_MM')) IS NOT NULL",
    )
    there = requests == "True"
    yield Finding("next month's requests", there or None, "partition there" if there else "partition missing", advice)
    ticks = {row["chore"]: row for row in status.chores(connection)}
    for chore in CHORES:
        yield _chore(chore, ticks.get(chore.name))
    outdated = agents.outdated(connection)
    advice = (
        "run `tripstream reclassify --dry-run`, then `tripstream reclassify`: the rules of bots are newer than rows"
    )
    yield Finding("user agents", None if outdated else True, f"{outdated} judged by older rules", advice)
    dead = sum(row["events"] for row in status.dead_by_reason(connection))
    yield Finding("dead letters", None if dead else True, str(dead), "see `tripstream deadletters list`")


def _partitions(connection: Connection) -> Iterator[Finding]:
    """Months are there before anyone needs them; nothing hides in a default one, or beside the table."""
    missing = [name for (name,) in connection.execute(_SQL["missing_months"])]
    advice = "is the clock running? `tripstream status` shows the last run of the chore `partitions`"
    found = ", ".join(missing) + " missing" if missing else "this month and the next two are there"
    yield Finding("partitions", False if any(_is_now(name) for name in missing) else not missing or None, found, advice)
    defaults = [name for (name,) in connection.execute(_SQL["default_partitions"])]
    advice = "move its rows into months and drop it: with it, no month can be made or dropped without locking all"
    yield Finding("default partitions", not defaults, ", ".join(defaults) or "none", advice)
    loose = months.loose(connection)
    advice = (
        "the next `tripstream retention` drops those that are empty; others were detached by hand: archive and drop"
    )
    yield Finding("detached months", None if loose else True, ", ".join(loose) or "none", advice)
    at = datetime.now(UTC)
    late = [month.name for month in months.past(connection, at - timedelta(days=_RETENTION_DAYS_LATE))]
    advice = "`tripstream retention` drops them; does the chore `retention` fail? `tripstream status` shows why"
    yield Finding("retention", None if late else True, f"{len(late)} months are past their limit", advice)


def _is_now(month: str) -> bool:
    return month.endswith(datetime.now(UTC).strftime("%Y_%m"))


def _chore(chore: Chore, ticks: dict[str, Any] | None) -> Finding:
    """Late is what has waited for longer than a period; before its first run it is only new."""
    waiting = ticks and ticks["waiting_seconds"]
    late = bool(waiting and waiting > chore.every.total_seconds() + _CHORE_SECONDS_LATE)
    done = ticks and ticks["done"]
    found = f"last done {done}" if done else "not done yet"
    if ticks and ticks["error"]:
        found += f", last error: {ticks['error']}"
    advice = "is `tripstream worker chores` running? See its log"
    return Finding(f"chore {chore.name}", False if late else True if done else None, found, advice)


def _redis(settings: Settings) -> Iterator[Finding]:
    for name, url in _redis_urls(settings):
        with stream.connect(url) as redis:
            yield from _redis_server(name, redis)
    with stream.connect(settings.streams_url) as redis:
        yield from _liveness(redis, settings)


def _redis_urls(settings: Settings) -> list[tuple[str, str]]:
    urls = [("Redis", settings.redis_url)]
    if settings.stream_redis_url and settings.stream_redis_url != settings.redis_url:
        urls.append(("stream Redis", settings.stream_redis_url))
    return urls


def _redis_server(name: str, redis: Redis) -> Iterator[Finding]:
    info: Any = redis.info()
    version = str(info.get("valkey_version") or info["redis_version"])
    good = tuple(int(part) for part in version.split(".")[:2]) >= (6, 2)
    yield Finding(f"{name} version", good, version, "use Redis 6.2 or Valkey 7.2, or newer")
    policy = str(info.get("maxmemory_policy"))
    advice = "CONFIG SET maxmemory-policy noeviction, or Redis deletes queued events when it is full"
    yield Finding(f"{name} eviction", policy == "noeviction", policy, advice)
    try:
        found: Any = redis.config_get("append*")
    except RedisError:
        found = {}
    log, fsync = found.get("appendonly", "unknown"), found.get("appendfsync", "unknown")
    advice = "CONFIG SET appendonly yes and appendfsync always: with everysec a power cut may lose two seconds"
    durable = True if (log, fsync) == ("yes", "always") else False if log == "no" else None
    yield Finding(f"{name} durability", durable, f"appendonly {log}, appendfsync {fsync}", advice)
    limit = int(info.get("maxmemory", 0))
    share = int(info["used_memory"]) / limit if limit else 0.0
    text = f"{share:.0%} of {limit >> 20} MiB" if limit else "no maxmemory set"
    advice = "set maxmemory, so that ingestion answers 503 before the machine runs out of memory"
    if limit:
        advice = "drain faster (TRIPSTREAM_LANES), raise maxmemory, or see what holds the drain up: `tripstream status`"
    yield Finding(f"{name} memory", None if not limit else share < 0.5, text, advice)
    seconds, micros = redis.time()
    skew = abs(time.time() - (seconds + micros / 1e6))
    advice = "synchronise the clocks of both machines (NTP)"
    yield Finding(f"{name} clock", skew < _CLOCK_SKEW_SECONDS_MAX, f"{skew:.3f} s apart", advice)


def _liveness(redis: Redis, settings: Settings) -> Iterator[Finding]:
    published = bool(redis.exists(KEY))
    yield Finding("registry", published, "published" if published else "missing", "run `tripstream migrate`")
    ticking = stream.is_ticking(redis)
    yield Finding("clock", ticking, "ticking" if ticking else "silent", "start `tripstream clock`")
    for lane in stream.known_lanes(redis, settings.lanes):
        alive = stream.is_draining(redis, lane)
        advice = "start `tripstream worker drain` (one a lane), or `tripstream drain`"
        yield Finding(f"drain of lane {lane}", alive, "alive" if alive else "silent", advice)
    queue = status.queue(redis, settings)
    text = f"{queue.batches} batches, oldest {queue.oldest_seconds:.1f} s"
    advice = "drains are too slow or stuck: see their log, `tripstream status`, and raise TRIPSTREAM_LANES"
    yield Finding("backlog", queue.oldest_seconds < settings.backlog_alarm_seconds, text, advice)


def _disk(settings: Settings) -> Iterator[Finding]:
    if settings.state.exists():
        free = shutil.disk_usage(settings.state).free
        advice = "free disk space: Postgres and Valkey stop accepting writes when it is full"
        yield Finding("free disk", free > _FREE_BYTES_MIN, f"{free >> 30} GiB at {settings.state}", advice)


def _snapshot(settings: Settings) -> Iterator[Finding]:
    """The file is made anew each day, and whenever much has changed."""
    path = building.path(settings)
    hours = (time.time() - path.stat().st_mtime) / 3600 if path.exists() else None
    found = f"none at {path}" if hours is None else f"made {hours:.1f} h ago, {path}"
    advice = (
        "is the chore `snapshot` running with this TRIPSTREAM_STATE? Until then each web process here reads the whole "
        "catalogue by itself"
    )
    yield Finding("catalogue snapshot", (hours is not None and hours < _SNAPSHOT_HOURS_MAX) or None, found, advice)


def _schema_version(connection: Connection) -> tuple[str | None, int]:
    try:
        return status.schema_version(connection)
    except psycopg.errors.UndefinedTable:
        return None, 0


def _value(connection: Connection, query: Any, *parameters: Any) -> str:
    row = connection.execute(query, parameters).fetchone()
    return str(row[0]) if row else ""
