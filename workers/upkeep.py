"""Small chores that keep the system as it should be. In: settings. Out: mirrored figures, pruned keys, partitions.

Each is harmless twice and bounded, so a chore that was killed is simply done again at its next tick.
"""

from __future__ import annotations

from schema import db, live, sites, stream
from schema.event import now
from schema.settings import Settings
from schema.sql import load

_SQL = load("clock")
_BITES_MAX = 100


def mirror(settings: Settings) -> None:
    """Copy the accepted figures to Postgres and publish the registry, which heals a Redis that was emptied."""
    with db.connect(settings) as connection, stream.connect(settings.streams_url) as redis:
        sites.publish(settings, redis)
        known = sites.ids(connection)
        for site_id, accepted in stream.accepted(redis, known).items():
            row = connection.execute(_SQL["mirror"], {"site_id": site_id, "accepted": accepted}).fetchone()
            before = int(row[0]) if row else 0
            if accepted < before:  # Redis was lost and counts from nothing: go on from what was mirrored
                stream.add_accepted(redis, site_id, before)


def prune(settings: Settings) -> None:
    """Forget lapsed sessions in Redis, event ids beyond the dedupe window, and old ticks."""
    with db.connect(settings) as connection, stream.connect(settings.streams_url) as redis:
        live.prune(redis, sites.ids(connection), now() // 1000 - settings.session_memory_seconds * 1000)
        for _ in range(_BITES_MAX):
            bite = connection.execute(_SQL["forget_event_ids"], {"days": settings.dedupe_window_days})
            if bite.rowcount == 0:
                break
        connection.execute(_SQL["forget_ticks"])


def partitions(settings: Settings) -> None:
    """Make the months that are coming, so that no drain has to."""
    with db.connect(settings) as connection:
        connection.execute(_SQL["months_ahead"])
