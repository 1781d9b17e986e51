"""Promise 3 as a page can show it: accepted = stored + duplicate + dead + discarded + queued, per site. In: Redis, then
Postgres. Out: both sides, without holding anything up.

Drains go on meanwhile, so a difference is looked at again; one that stays is for `tripstream verify`, which holds the
lanes' locks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from psycopg.rows import namedtuple_row
from redis import Redis

from schema import stream
from schema.db import Connection
from schema.entry import Entry
from schema.settings import Settings
from schema.sql import load

LOOKS = 4
BATCHES_MAX = 5000  # in the queue, beyond which they are not counted by site: reading them takes seconds
_BATCHES_AT_ONCE = 100
_SQL = load("health")


class Books(NamedTuple):
    """One site. `queued` and `difference` are None while too many batches wait to count them."""

    site_id: str
    accepted: int
    stored: int
    duplicate: int
    dead: int
    discarded: int
    queued: int | None
    difference: int | None


def books(connection: Connection, redis: Redis, settings: Settings, site_id: str | None) -> list[Books]:
    """Of one site, or of every one that the connection sees. The connection must see each statement's own moment."""
    for _ in range(LOOKS):
        found = _look(connection, redis, settings, site_id)
        if not any(one.difference for one in found):
            break
    return found


def _look(connection: Connection, redis: Redis, settings: Settings, site_id: str | None) -> list[Books]:
    sites = [site_id] if site_id is not None else [row[0] for row in connection.execute(_SQL["sites"])]
    lanes = stream.known_lanes(redis, settings.lanes)
    few = sum(lane.batches for lane in stream.backlog(redis, lanes)) <= BATCHES_MAX
    accepted, tails = stream.snapshot(redis, lanes, sites)
    waiting = [one for lane, tail in tails.items() for one in _waiting(redis, lane, tail)] if few else []
    rows = _rows(connection, waiting, site_id)
    queued = _queued(waiting, rows[0].receipts if rows else []) if few else None
    return [_books(row, accepted.get(row.site_id, 0), queued) for row in rows]


def _waiting(redis: Redis, lane: int, until: str) -> Iterator[Entry]:
    """Without what is in them: a thousand may hold a GB."""
    for one in stream.waiting(redis, lane, until, _BATCHES_AT_ONCE):
        yield one._replace(batch=None, payload=b"", asked=None)


def _rows(connection: Connection, waiting: Sequence[Entry], site_id: str | None) -> list[Any]:
    values = {"batch_ids": [entry.batch_id for entry in waiting], "site_id": site_id}
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(_SQL["books"], values).fetchall()


def _queued(waiting: Sequence[Entry], receipts: Sequence[Any]) -> Counter[str]:
    """Events that wait. An entry whose batch has a receipt does not wait any more."""
    done, queued = set(receipts), Counter[str]()
    for entry in waiting:
        if entry.batch_id not in done:
            queued[entry.site_id] += entry.events
    return queued


def _books(row: Any, accepted: int, queued: Counter[str] | None) -> Books:
    promised = max(accepted, row.mirrored)
    settled = (row.stored, row.duplicate, row.dead, row.discarded)
    waits = None if queued is None else queued[row.site_id]
    return Books(row.site_id, promised, *settled, waits, None if waits is None else promised - sum(settled) - waits)
