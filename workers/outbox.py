"""Moves what applications emitted in their transactions into the queue. In: rows of event_outbox. Out: batches,
promised like any other, and what became of each row.

An event keeps its row's id. A crash between append and mark leaves a lease of 30 s, after which the row is moved
again; it is accepted twice then, and the ledger calls the second a duplicate. Postgres checks each row by itself: what
can be no event is tried three times and then kept as failed. An outage of Redis costs no row a try.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from redis import Redis

from schema import addresses, db, stream
from schema.db import Connection
from schema.event import Batch, Event, new_id, now
from schema.settings import Settings
from schema.sql import load

_SQL = load("outbox")
_ROWS_MAX = 100
_SECONDS_MAX = 10  # of the 30 that the lease lasts; other chores wait meanwhile


class Row(NamedTuple):
    """One emitted event. `refusal` says why it can be none; `metadata` is JSON, with entity, data and category."""

    event_id: UUID
    site_id: str
    event_type: str
    category: str | None
    user_id: str | None
    created_at: int
    metadata: str | None
    refusal: str | None


class Moved(NamedTuple):
    """How many rows became events, and how many could not."""

    moved: int
    refused: int


def move(settings: Settings) -> None:
    """The chore: a hundred at a time until nothing is due, and what was done a week ago is forgotten."""
    until = time.monotonic() + _SECONDS_MAX
    with db.connect(settings) as connection, stream.connect(settings.streams_url) as redis:
        while time.monotonic() < until and sum(run_once(connection, redis, settings)) == _ROWS_MAX:
            pass
        connection.execute(_SQL["forget_processed"])


def run_once(connection: Connection, redis: Redis, settings: Settings) -> Moved:
    """Move at most a hundred. While Redis is nearly full, the rows wait where they are."""
    if stream.memory_share(redis) >= settings.redis_share_max:
        return Moved(0, 0)
    limits = {"limit": _ROWS_MAX, "days": settings.accept_window_days}
    taken = connection.execute(_SQL["take_due"], limits | {"metadata_bytes_max": settings.metadata_bytes_max})
    rows = [Row(*row) for row in taken]
    good = [row for row in rows if row.refusal is None]
    if good:
        lane = stream.lane_of(good[0].event_id.bytes, settings.lanes)
        stream.append(redis, lane, *_batches(good, now()))
    if rows:
        _mark(connection, rows)
    return Moved(len(good), len(rows) - len(good))


def _batches(rows: Sequence[Row], received_at: int) -> list[Batch]:
    """One for each site and category. Each append has a batch of its own: a receipt counts what it accepted once."""
    together: defaultdict[tuple[str, str | None], list[Row]] = defaultdict(list)
    for row in rows:
        together[row.site_id, row.category].append(row)
    return [
        Batch(
            site_id=site_id,
            batch_id=new_id(received_at),
            received_at=received_at,
            events=[_event(row, received_at) for row in group],
            category=category,
        )
        for (site_id, category), group in together.items()
    ]


def _event(row: Row, received_at: int) -> Event:
    return Event(
        event_id=row.event_id,
        event_type=row.event_type,
        occurred_at=min(row.created_at, received_at),
        claimed_user=row.user_id or None,
        metadata=addresses.cut_text(row.metadata),
    )


def _mark(connection: Connection, rows: Sequence[Row]) -> None:
    columns = {
        "event_ids": [row.event_id for row in rows],
        "statuses": ["failed" if row.refusal else "processed" for row in rows],
        "errors": [row.refusal for row in rows],
    }
    connection.execute(_SQL["mark"], columns)
