"""Moves what applications emitted in their transactions into the queue. In: rows of event_outbox. Out: batches,
promised like any other, and what became of each row.

An event keeps its row's id. A crash between append and mark leaves a lease of 30 s, after which the row is moved
again; it is accepted twice then, and the ledger calls the second a duplicate. Each row is checked by itself, by the
rules of schema/emitted.py: what can be no event, or cannot even be read, is tried three times and then kept as failed.
An outage of Redis costs no row a try.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import msgspec
import psycopg
from redis import Redis

from schema import db, emitted, limits, stream
from schema.db import Connection
from schema.emitted import Emitted
from schema.errors import InvalidEvent
from schema.event import MICROSECOND, Batch, Event, new_id, now
from schema.settings import Settings
from schema.sql import load

_SQL = load("outbox")
_ROWS_MAX = 100
_SECONDS_MAX = 10  # of the 30 that the lease lasts; other chores wait meanwhile
_DAY = 86_400 * MICROSECOND
_TIMES_MAX = 8  # as Postgres keeps JSON, and as it writes it, it is up to six times as large as without spaces
_REST_BYTES_MAX = 64 << 10  # what is not metadata
_ERROR_MAX = 500
_decode = msgspec.json.Decoder(Emitted, float_hook=Decimal).decode  # a price stays what it was
# What a row can be the reason of. Not a lack of memory, nor of time while it is alone: of those no row should fail.
_OF_A_ROW = (
    psycopg.DataError,
    psycopg.InternalError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
)


class Row(NamedTuple):
    """One emitted event that is small enough to be one; `emitted` is its JSON. `strict` is null where there is no such
    site, `created_at` where it is infinite."""

    event_id: UUID
    site_id: str
    strict: bool | None
    emitted: str
    registered: bool
    created_at: int | None


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
    event_ids = [event_id for (event_id,) in connection.execute(_SQL["lease"], {"limit": _ROWS_MAX})]
    rows, refusals = _read(connection, event_ids, settings)
    batches: dict[tuple[str, str | None], Batch] = {}
    received_at = now()
    for row in rows:
        try:
            category, event = _event(row, received_at, settings)
        except InvalidEvent as refusal:
            refusals[row.event_id] = f"{refusal.code}: {refusal.message}"
        else:
            _batch(batches, row.site_id, category, received_at).events.append(event)
    if batches:
        stream.append(redis, stream.lane_of(event_ids[0].bytes, settings.lanes), *batches.values())
    _mark(connection, event_ids, refusals)
    return Moved(len(event_ids) - len(refusals), len(refusals))


def _read(connection: Connection, event_ids: Sequence[UUID], settings: Settings) -> tuple[list[Row], dict[UUID, str]]:
    """Rows that may be events, and why the others are none. Where Postgres cannot read them together, each half is read
    by itself, so that one row fails alone."""
    if not event_ids:
        return [], {}
    wanted = {"event_ids": event_ids, "bytes_max": _TIMES_MAX * settings.metadata_bytes_max + _REST_BYTES_MAX}
    try:
        rows = [Row(*row) for row in connection.execute(_SQL["read"], wanted)]
    except (*_OF_A_ROW, psycopg.errors.QueryCanceled) as error:
        if len(event_ids) == 1:
            if isinstance(error, psycopg.errors.QueryCanceled):
                raise
            return [], {event_ids[0]: db.first_line(error)}
        middle = len(event_ids) // 2
        (rows, refusals), (others, more) = (_read(connection, half, settings) for half in
                                            (event_ids[:middle], event_ids[middle:]))  # fmt: skip
        return rows + others, refusals | more
    large = set(event_ids) - {row.event_id for row in rows}
    return rows, dict.fromkeys(large, f"metadata_too_large: {limits.TOO_LARGE.format(settings.metadata_bytes_max)}")


def _event(row: Row, received_at: int, settings: Settings) -> tuple[str | None, Event]:
    """The event and its type's category. Raises InvalidEvent."""
    if row.strict is None:
        raise InvalidEvent("unknown_site", f"There is no site {row.site_id!r}.")
    if row.created_at is None:
        raise InvalidEvent("invalid_time", "created_at must be finite.")
    if row.created_at < received_at - settings.accept_window_days * _DAY:
        raise InvalidEvent("too_old", f"created_at lies more than {settings.accept_window_days} days back.")
    wire = _wire(row.emitted, settings)
    if row.strict:
        limits.check_type(wire.event_type, {wire.event_type} if row.registered else ())
    at = min(row.created_at, received_at)
    return wire.event_category, emitted.event(wire, wire.metadata or {}, row.event_id, at, settings)


def _wire(raw: str, settings: Settings) -> Emitted:
    try:
        return _decode(raw)
    except msgspec.DecodeError as error:
        raise InvalidEvent("invalid_field", limits.told(error)) from None
    except RecursionError:
        raise InvalidEvent("metadata_too_deep", limits.TOO_DEEP.format(settings.metadata_depth_max)) from None


def _batch(batches: dict[tuple[str, str | None], Batch], site_id: str, category: str | None, received_at: int) -> Batch:
    """The one of this site and category. Each append has batches of its own: a receipt counts what it accepted once."""
    if (site_id, category) not in batches:
        batches[site_id, category] = Batch(
            site_id=site_id, batch_id=new_id(received_at), received_at=received_at, events=[], category=category
        )
    return batches[site_id, category]


def _mark(connection: Connection, event_ids: Sequence[UUID], refusals: Mapping[UUID, str]) -> None:
    if not event_ids:
        return
    columns = {
        "event_ids": event_ids,
        "statuses": ["failed" if event_id in refusals else "processed" for event_id in event_ids],
        "errors": [refusals[event_id][:_ERROR_MAX] if event_id in refusals else None for event_id in event_ids],
    }
    connection.execute(_SQL["mark"], columns)
