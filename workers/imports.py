"""History from elsewhere, and taking it back. In: a file and a site. Out: events promised through the queue like any
other and drained by whoever drains, or what would come; an import that is undone leaves nothing of it.

A file is looked at whole before anything of it is queued, and which batches are an import's is noted before they are
queued. An import that was cut short is begun again with the same file: what was stored already is a duplicate.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import dict_row
from redis import Redis

from schema import db, stream
from schema.db import Connection
from schema.errors import InvalidRequest, NotFound
from schema.event import Batch, new_id
from schema.settings import Settings
from schema.sql import load
from workers import derive, umami, verify
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


def preview(settings: Settings, path: Path, site_id: str, now: int) -> Preview:
    """Look at the whole file. Raises NotFound, BadRows, ConfigError, or InvalidRequest for a file without events."""
    with db.connect(settings) as connection:
        must_exist(connection, site_id)
    types: Counter[str] = Counter()
    visitors: set[UUID | None] = set()
    first = last = None
    for event, _ in umami.read(path, site_id, now):
        types[event.event_type] += 1
        visitors.add(event.anonymous_id)
        at = event.occurred_at
        first, last = min(first or at, at), max(last or at, at)
    if first is None or last is None:
        raise InvalidRequest(f"{path} holds no events.")
    return Preview(types.total(), types, len(visitors), umami.seconds(first), umami.seconds(last))


def run(settings: Settings, path: Path, site_id: str, now: int, told: Told = lambda _: None) -> Imported:
    """Import the file. Raises what `preview` raises; InvalidRequest where this file was imported before, or where
    nobody drains, so that there is no room in the queue."""
    found = preview(settings, path, site_id, now)
    with db.connect(settings) as connection, stream.connect(settings.streams_url) as redis:
        import_id = begin(connection, path, site_id, umami.SOURCE, found.first, found.last, found.rows)
        queued = 0
        for batches in _groups(umami.read(path, site_id, now), site_id, now):
            ids = [batch.batch_id for batch in batches]
            connection.execute(_SQL["note_batches"], {"import_id": import_id, "batch_ids": ids})
            _wait_for_room(redis, settings)
            for batch in batches:
                stream.append(redis, stream.lane_of(batch.batch_id.bytes, settings.lanes), batch)
                queued += len(batch.events)
            told(queued)
        finish(connection, import_id)
    return Imported(import_id, queued)


def begin(
    connection: Connection, path: Path, site_id: str, source: str, first: datetime, last: datetime, rows: int
) -> int:
    """Note the import, or find the one that was cut short. Raises InvalidRequest where it was finished."""
    with path.open("rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").digest()
    values = {"site_id": site_id, "source": source, "file_name": path.name, "digest": digest}
    more = {"first_at": first, "last_at": last, "rows": rows}
    import_id, finished = connection.execute(_SQL["begin"], values | more).fetchall()[0]
    if finished is not None:
        raise InvalidRequest(
            f"This file was imported before, as number {import_id}: `tripstream import undo {import_id}` takes it back."
        )
    return int(import_id)


def finish(connection: Connection, import_id: int) -> None:
    """Note that it is complete."""
    connection.execute(_SQL["finish"], {"import_id": import_id})


def must_exist(connection: Connection, site_id: str) -> None:
    """Raises NotFound."""
    if connection.execute(_SQL["site_exists"], {"site_id": site_id}).fetchone() is None:
        raise NotFound(f"There is no site {site_id}: `tripstream site list` shows them.")


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Every import."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["listed"]).fetchall()


def undo(settings: Settings, import_id: int, progress: derive.Progress) -> int:
    """Take an import back: its events, what they made known, and their share of every figure; or its days. Returns how
    many went. Raises NotFound, or InvalidRequest while some of it is still queued. Cut short, it is done again."""
    with verify.standstill(settings, role="owner") as (connection, redis, lanes):
        one = _one(connection, import_id)
        if one["source"] == plausible.SOURCE:
            with connection.transaction():
                days = imported_days.take_out(connection, one)
                connection.execute(_SQL["undone"], {"import_id": import_id})
            return days
        queued = _queued(connection, redis, lanes, import_id)
        if queued:
            raise InvalidRequest(f"{queued} batches of this import are still queued: let them be drained first.")
        with connection.transaction():
            taken, visitors = connection.execute(_SQL["take_events"], one).fetchall()[0]
            connection.execute(_SQL["settle"], {"import_id": import_id, "lane": verify.REPLAYS})
    verify.rebuild(settings, progress)
    with db.connect(settings) as connection, connection.transaction():
        connection.execute(_SQL["forget_visitors"], {"site_id": one["site_id"], "visitors": visitors or []})
        connection.execute(_SQL["undone"], {"import_id": import_id})
    return int(taken)


def _one(connection: Connection, import_id: int) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["one"], {"import_id": import_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no import {import_id} that could be undone: `tripstream import list` shows them.")
    return {"import_id": import_id, **row}


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
