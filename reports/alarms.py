"""Which alarms of docs/alarms.yml would fire now. In: the installation's figures as they are. Out: those that would,
with what they mean and what to do.

Alarms about a growth need a history, which Prometheus keeps: `OF_GROWTH` names them. A test holds both to that file.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple

import psycopg
from redis.exceptions import RedisError

from reports import status
from schema import db, stream
from schema.errors import TripstreamError
from schema.settings import Settings
from schema.sql import load


class Figures(NamedTuple):
    """What alarms look at; None where it could not be asked, of which the alarms of Redis and Postgres speak."""

    redis: status.Queue | None = None
    postgres: bool = False
    chore_seconds: float = 0.0
    figures_seconds: float | None = None
    replica_seconds: float = 0.0
    outbox: status.Outbox | None = None
    identities_failed: int = 0
    kinds_unfit: int = 0


class Alarm(NamedTuple):
    """One rule: the figure, and beyond which value it fires."""

    name: str
    page: bool
    limit: float
    figure: Callable[[Figures], float | None]
    means: str
    remedy: str


ALARMS = (
    Alarm("TripstreamRedisAway", True, 0, lambda f: float(f.redis is None),
          "Redis does not answer: nothing is accepted; senders keep their events.",
          "Start Redis; what it had acknowledged is in its append-only file."),
    Alarm("TripstreamPostgresAway", True, 0, lambda f: float(not f.postgres),
          "Postgres does not answer: events wait in Redis, figures and recommendations are refused.",
          "Start Postgres; drains go on by themselves."),
    Alarm("TripstreamBacklogOld", True, 60, lambda f: f.redis and f.redis.oldest_seconds,
          "The oldest queued batch waits for over a minute: drains are stopped or too slow.",
          "`tripstream status`; then more lanes (TRIPSTREAM_LANES) and drain workers, or `tripstream drain`."),
    Alarm("TripstreamRedisFilling", True, 0.5, lambda f: f.redis and f.redis.memory_share,
          "Redis is more than half full: at 65 % ingestion answers 503.",
          "Let the drain catch up, or raise maxmemory."),
    Alarm("TripstreamChoreLate", True, 900, lambda f: f.chore_seconds,
          "A chore has waited for over a quarter of an hour: no chores worker runs, or it fails again and again.",
          "`tripstream doctor` names it with its last error."),
    Alarm("TripstreamFiguresOld", False, 600, lambda f: f.figures_seconds,
          "Rollups are more than ten minutes behind; counters are not.",
          "`tripstream status`; `tripstream rollup` shows how far it comes."),
    Alarm("TripstreamReplicaOld", False, 30, lambda f: f.replica_seconds,
          "The replica is behind, or away: figures are refused.",
          "See `pg_stat_replication` on the primary; without DATABASE_READ_URL figures come from the primary."),
    Alarm("TripstreamSchemaWarnings", False, 0, lambda f: f.kinds_unfit,
          "Within the hour a lenient site stored what does not fit its schema.",
          "Mend the client, or `tripstream schema add` a version."),
    Alarm("TripstreamOutboxOld", False, 60, lambda f: f.outbox and f.outbox.oldest_seconds,
          "An emitted event has waited in the outbox for over a minute.",
          "A chores worker has to run: `tripstream doctor`."),
    Alarm("TripstreamOutboxFailed", False, 0, lambda f: f.outbox and f.outbox.failed,
          "Applications emitted what is no event.",
          "`SELECT * FROM event_outbox WHERE processing_status = 'failed'` says why."),
    Alarm("TripstreamIdentitiesFailed", False, 0, lambda f: f.identities_failed,
          "Events of a merged visitor still count as somebody else's.",
          "`tripstream status` lists them with the error."),
)  # fmt: skip
OF_GROWTH = (
    *("TripstreamAway", "TripstreamRefusing", "TripstreamDeadLetters", "TripstreamRefusals"),
    "TripstreamRequestsUnlogged",
)


def firing(figures: Figures) -> list[Alarm]:
    """Those beyond their limit, the gravest first."""
    return [alarm for alarm in ALARMS if (alarm.figure(figures) or 0) > alarm.limit]


def figures(settings: Settings) -> Figures:
    """The installation's figures now; what is away is said by its absence."""
    found = Figures(redis=_queue(settings))
    try:
        with db.connect(settings, "tripstream_monitor", statement_seconds_max=2) as connection:
            waits = [row["waiting_seconds"] or 0.0 for row in status.chores(connection)]
            _, unmoved = status.marked(connection)
            row = connection.execute(load("health")["unfit"]).fetchone()
            found = found._replace(
                postgres=True,
                chore_seconds=max(waits, default=0.0),
                figures_seconds=status.figures_age(connection),
                outbox=status.outbox(connection),
                identities_failed=unmoved,
                kinds_unfit=row[0] if row else 0,
            )
    except (TripstreamError, psycopg.Error):
        return found
    return found._replace(replica_seconds=_replica(settings))


def _queue(settings: Settings) -> status.Queue | None:
    try:
        with stream.connect(settings.streams_url, settings.redis_seconds_max) as redis:
            return status.queue(redis, settings)
    except (RedisError, OSError):
        return None


def _replica(settings: Settings) -> float:
    if not settings.database_read_url:
        return 0.0
    try:
        return db.behind(settings)
    except (TripstreamError, psycopg.Error):
        return inf
