"""Does everything add up, and can everything derived be rebuilt? In: Redis and Postgres as they are. Out: what does
not agree, in words; nothing is changed but rollups that were due anyway.

The lanes' locks are held, so no drain moves a figure between the two sides; accepting goes on, because what was
accepted and what is queued are read in one MULTI.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from psycopg.rows import dict_row
from redis import Redis

from schema import db, stream
from schema.db import Connection
from schema.settings import Settings
from schema.sql import load
from workers import derive, mover, rollup
from workers.drain import lane_lock

_SQL = load("verify")


class Site(NamedTuple):
    """Promise 3 for one site: accepted = stored + duplicate + dead + discarded + queued."""

    site_id: str
    accepted: int
    stored: int
    duplicate: int
    dead: int
    discarded: int
    queued: int

    @property
    def residual(self) -> int:
        """Accepted events of which nothing is known (below zero: events that nobody promised)."""
        return self.accepted - self.stored - self.duplicate - self.dead - self.discarded - self.queued


class Report(NamedTuple):
    """`sites` are the figures, `problems` what does not agree."""

    sites: list[Site]
    problems: list[str]


def verify(settings: Settings, progress: derive.Progress) -> Report:
    """Compare both sides and every derived table. Waits for drains under way to end."""
    with standstill(settings) as (connection, redis, lanes):
        mover.run_once(connection)
        rollup.run_once(connection, lambda done, total: progress("due rollups", done, total))
        with connection.cursor(row_factory=dict_row) as cursor:
            totals = cursor.execute(_SQL["totals"]).fetchall()
        accepted, queued = _promised(connection, redis, lanes, [row["site_id"] for row in totals])
        sites: list[Site] = []
        problems: list[str] = []
        for row in totals:
            site = _site(row, accepted, queued)
            sites.append(site)
            problems += _disagreements(site, row)
        problems += [f"event {e} of site {s} is stored {n} times" for s, e, n in connection.execute(_SQL["doubled"])]
        problems += mover.unlike(connection)
        unknown = connection.execute(_SQL["unknown_ids"], {"days": settings.dedupe_window_days})
        problems += [f"event {e} of site {s} is not in the dedupe ledger" for s, e in unknown]
        with derive.derived(connection, progress):
            for table in derive.DERIVED:
                problems += derive.differences(connection, table)
        return Report(sites, problems)


def rebuild(settings: Settings, progress: derive.Progress) -> None:
    """Replace every derived table by its recomputation from events, in one transaction, after every event has its
    visitor's user."""
    with standstill(settings, role="owner") as (connection, _, _):
        mover.reattribute(connection)
        _rebuild(connection, progress)


def _rebuild(connection: Connection, progress: derive.Progress) -> None:
    with derive.derived(connection, progress):
        connection.execute("DELETE FROM public.dirty_hours")
        connection.execute("DELETE FROM public.dirty_days")
        connection.execute("DELETE FROM public.dirty_recommendation_days")
        for done, table in enumerate(derive.DERIVED):
            progress("replacing", done, len(derive.DERIVED))
            derive.replace(connection, table)
        progress("replacing", len(derive.DERIVED), len(derive.DERIVED))


@contextmanager
def standstill(
    settings: Settings, role: db.Role = "tripstream_writer"
) -> Iterator[tuple[Connection, Redis, Sequence[int]]]:
    """A connection that holds every lane's lock, and the rollup's: nothing moves meanwhile, or a rollup would take the
    marks that a rebuild is about to. Drains are asked to make way."""
    with ExitStack() as stack:
        connection = stack.enter_context(db.connect(settings, role, statement_seconds_max=0))
        connection.prepare_threshold = None  # a prepared query would go on meaning the tables that shadows hide
        redis = stack.enter_context(stream.connect(settings.streams_url, seconds_max=60.0))
        lanes = stream.known_lanes(redis, settings.lanes)
        for lane in [*lanes, REPLAYS]:
            stream.pause(redis, seconds=5)
            stack.enter_context(lane_lock(connection, lane, wait=True))
        stack.enter_context(rollup.alone(connection))
        yield connection, redis, lanes


REPLAYS = -1
"""The lane that replays of dead letters count as."""


def _promised(
    connection: Connection, redis: Redis, lanes: Sequence[int], sites: Sequence[str]
) -> tuple[dict[str, int], Counter[str]]:
    """Accepted and still queued events per site. An entry whose batch has a receipt is not queued any more."""
    accepted, tails = stream.snapshot(redis, lanes, sites)
    queued: Counter[str] = Counter()
    for lane, tail in tails.items():
        entries = list(stream.waiting(redis, lane, tail))
        ids = [entry.batch_id for entry in entries]
        done = {row[0] for row in connection.execute(_SQL["drained_already"], {"batch_ids": ids})}
        for entry in entries:
            if entry.batch_id not in done:
                queued[entry.site_id] += entry.events
    return accepted, queued


def _site(row: dict[str, Any], accepted: dict[str, int], queued: Counter[str]) -> Site:
    return Site(
        site_id=row["site_id"],
        accepted=max(accepted.get(row["site_id"], 0), row["mirrored"]),
        stored=row["stored"],
        duplicate=row["duplicate"],
        dead=row["dead"],
        discarded=row["discarded"],
        queued=queued[row["site_id"]],
    )


def _disagreements(site: Site, row: dict[str, Any]) -> Iterator[str]:
    if site.residual:
        kind = "accepted events are nowhere" if site.residual > 0 else "events were never accepted"
        yield f"site {site.site_id}: {abs(site.residual)} {kind}"
    pairs = (
        ("stored", row["receipts_stored"], "the receipts"),
        ("duplicate", row["receipts_duplicate"], "the receipts"),
        ("dead", row["receipts_dead"], "the receipts"),
        ("stored", row["event_rows"], "the events table"),
        ("dead", row["dead_rows"], "the dead letters"),
    )
    for name, other, where in pairs:
        if row[name] != other:
            yield f"site {site.site_id}: {name} is {row[name]}, but {where} say {other}"
