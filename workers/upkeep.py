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
        # One at a time: two that meet an emptied Redis would both give it what it lacks.
        connection.execute("SELECT pg_advisory_lock(hashtext('tripstream.mirror'))")
        for site_id in sites.ids(connection):
            before = connection.execute(_SQL["mirrored"], {"site_id": site_id}).fetchone()
            accepted = stream.heal_accepted(redis, site_id, before[0] if before else 0)
            connection.execute(_SQL["mirror"], {"site_id": site_id, "accepted": accepted})


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
        connection.execute(_SQL["request_months_ahead"])
