"""Umami's events, and taking them back. In: a file and a site. Out: events promised through the queue like any
other and drained by whoever drains, or what would come; an import that is undone leaves nothing of it.

A file is looked at whole before anything of it is queued, and which batches are an import's is noted before they are
queued. An import that was cut short is begun again with the same file: what was stored already is a duplicate.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from redis import Redis

from schema import db, stream
from schema.db import Connection
from schema.errors import InvalidRequest
from schema.event import MICROSECOND, Batch, new_id
from schema.settings import Settings
from schema.sql import load
from workers import derive, imports, umami, verify
from workers.imports import Import
from workers.umami import Read

_SQL = load("imports")
_BATCH_EVENTS = 100
_AT_ONCE = 50  # batches: five thousand events are noted, and queued, together
_ROOM_SECONDS_MAX = 120.0
Told = Callable[[int], None]


class Preview(NamedTuple):
    """What a file holds: events by type, visitors, and the first and last of its moments."""

    rows: int
    types: Counter[str]
    visitors: int
    first: datetime
    last: datetime


class Imported(NamedTuple):
    """An import and how many events were queued for it."""

    import_id: int
    events: int


def preview(settings: Settings, path: Path, site_id: str, now: int, since: datetime | None = None) -> Preview:
    """Look at the whole file, without what was before `since`. Raises NotFound, BadRows, ConfigError, or InvalidRequest
    where there is nothing, or something of days that are closed."""
    with db.connect(settings) as connection:
        imports.must_exist(connection, site_id)
        floor = connection.execute(_SQL["floor"], {"site_id": site_id}).fetchone()
    types: Counter[str] = Counter()
    visitors: set[UUID | None] = set()
    first = last = None
    for event, _ in _since(since, umami.read(path, site_id, now)):
        types[event.event_type] += 1
        visitors.add(event.anonymous_id)
        at = event.occurred_at
        first, last = min(first or at, at), max(last or at, at)
    if first is None or last is None:
        raise InvalidRequest(f"{path} holds no events{f' since {since:%Y-%m-%d}' if since else ''}.")
    if floor and umami.seconds(first) < floor[0]:
        raise InvalidRequest(f"The site's days before {floor[1]} are closed: leave them out with --since {floor[1]}.")
    return Preview(types.total(), types, len(visitors), umami.seconds(first), umami.seconds(last))


def run(
    settings: Settings,
    path: Path,
    site_id: str,
    now: int,
    since: datetime | None = None,
    told: Told = lambda _: None,
) -> Imported:
    """Import the file. Raises what `preview` raises; InvalidRequest where this file was imported before, or where
    nobody drains, so that there is no room in the queue."""
    found = preview(settings, path, site_id, now, since)
    with db.connect(settings) as connection, stream.connect(settings.streams_url) as redis:
        import_id = imports.begin(connection, path, site_id, umami.SOURCE, found.first, found.last, found.rows)
        queued = 0
        with imports.alone(connection, import_id):
            for batches in _groups(_since(since, umami.read(path, site_id, now)), site_id, now):
                ids = [batch.batch_id for batch in batches]
                connection.execute(_SQL["note_batches"], {"import_id": import_id, "batch_ids": ids})
                _wait_for_room(redis, settings)
                for batch in batches:
                    stream.append(redis, stream.lane_of(batch.batch_id.bytes, settings.lanes), batch)
                    queued += len(batch.events)
                told(queued)
            imports.finish(connection, import_id)
    return Imported(import_id, queued)


def take_back(settings: Settings, import_id: int, progress: derive.Progress) -> int:
    """Take an import back: its events, what they made known, and their share of every figure. Returns how many events
    went. Raises NotFound, or InvalidRequest while some of it is queued or where retention folded it into sums. Cut
    short, it is done again."""
    with db.connect(settings) as held, imports.alone(held, import_id) as one:
        taken = _taken_out(settings, one)
        verify.rebuild(settings, progress)
        with held.transaction():
            held.execute(_SQL["forget_visitors"], one._asdict())
            imports.undone(held, import_id)
    return taken


def _taken_out(settings: Settings, one: Import) -> int:
    """How many events went."""
    with verify.standstill(settings, role="owner") as (connection, redis, lanes):
        if queued := _queued(connection, redis, lanes, one.import_id):
            raise InvalidRequest(f"{queued} batches of this import are still queued: let them be drained first.")
        if connection.execute(_SQL["is_folded"], one._asdict()).fetchone() is not None:  # a row without columns is ()
            raise InvalidRequest(
                "Retention dropped rows of this import and kept their sums, which cannot be told apart."
            )
        with connection.transaction():
            ((taken,),) = connection.execute(_SQL["take_events"], one._asdict()).fetchall()
            connection.execute(_SQL["settle"], {"import_id": one.import_id, "lane": verify.REPLAYS})
    return int(taken)


def _since(since: datetime | None, rows: Iterable[Read]) -> Iterator[Read]:
    at = None if since is None else int(since.replace(tzinfo=UTC).timestamp()) * MICROSECOND
    return (row for row in rows if at is None or row.event.occurred_at >= at)


def _queued(connection: Connection, redis: Redis, lanes: Iterable[int], import_id: int) -> int:
    """How many of its batches wait in Redis; those that were noted and never queued do not."""
    missing = {row[0] for row in connection.execute(_SQL["undrained"], {"import_id": import_id})}
    if not missing:
        return 0
    _, tails = stream.snapshot(redis, [*lanes], [])
    waiting = {entry.batch_id for lane, tail in tails.items() for entry in stream.waiting(redis, lane, tail)}
    return len(missing & waiting)


def _groups(rows: Iterable[Read], site_id: str, now: int) -> Iterator[list[Batch]]:
    """Batches, some at a time; the events of one share their country."""
    filling: defaultdict[str | None, list[Any]] = defaultdict(list)
    full: list[Batch] = []

    def packed(country: str | None) -> Batch:
        events = filling.pop(country)
        return Batch(site_id=site_id, batch_id=new_id(now), received_at=now, events=events, country=country)

    for event, country in rows:
        filling[country].append(event)
        if len(filling[country]) >= _BATCH_EVENTS:
            full.append(packed(country))
        if len(full) >= _AT_ONCE:
            yield full
            full = []
    full += [packed(country) for country in list(filling)]
    if full:
        yield full


def _wait_for_room(redis: Redis, settings: Settings) -> None:
    """The queue is everybody's: an import takes half of what browsers may."""
    deadline = time.monotonic() + _ROOM_SECONDS_MAX
    while stream.memory_share(redis) > settings.redis_share_max / 2:
        if time.monotonic() > deadline:
            raise InvalidRequest("The queue is full and nobody drains it: start the workers, and import again.")
        time.sleep(0.2)
