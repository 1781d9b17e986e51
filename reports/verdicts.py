"""What became of each event of a batch. In: a batch's id, or a moment since when. Out: its receipt with one verdict an
event: stored, duplicate, bot, dead, discarded, refused, or queued while it waits.

Reads only. A batch that is drained while it is being looked for is found on the second look into the receipts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import namedtuple_row
from redis import Redis

from schema import stream
from schema.db import Connection
from schema.entry import Entry
from schema.event import MICROSECOND, Batch
from schema.settings import Settings
from schema.sql import load

_SQL = load("verdicts")
_FIRST_LOOK, _EVER, _NEAR = timedelta(hours=1), timedelta(days=4000), timedelta(seconds=5)


Letters = dict[int, tuple[str, str]]
"""What became of one batch's letters, and which event each was in the end, by its place."""


class Verdict(NamedTuple):
    """One event. `at` is its place in the request, of a stored one only where the receipt had to say something of it:
    rows do not keep it. `reason`: why it is a bot, dead or refused, or what does not fit its schema."""

    at: int | None
    event_id: str | None
    event_type: str | None
    verdict: str
    reason: str | None = None
    occurred_at: datetime | None = None
    visitor: str | None = None
    path: str | None = None


class Verdicts(NamedTuple):
    """One batch. `state`: stored, or queued. The five counts are 0 while it is queued."""

    batch_id: UUID
    site_id: str
    state: str
    received_at: datetime
    accepted: int
    stored: int
    duplicate: int
    dead: int
    discarded: int
    events: list[Verdict]


def of_batch(
    connection: Connection, redis: Redis, settings: Settings, batch_id: UUID, site_id: str | None
) -> Verdicts | None:
    """The batch, if it is of that site, or of any where that is None; None for one that is not known (any more)."""
    if (found := _drained(connection, batch_id, site_id)) is not None:
        return found
    if batch_id.version != 7:  # whose first 48 bits are the millisecond at which it was received
        return None
    waiting = stream.find(redis, stream.known_lanes(redis, settings.lanes), batch_id, batch_id.int >> 80)
    if (found := _drained(connection, batch_id, site_id)) is not None:
        return found
    return _queued(waiting) if waiting and site_id in (None, waiting.site_id) else None


def newest(connection: Connection, first: UUID, site_id: str | None, limit: int) -> list[Verdicts]:
    """The newest drained batches from the id `first` on, oldest first."""
    return _told(connection, _rows(connection, "newest", {"from_id": first, "site_id": site_id, "limit": limit}))


def since(connection: Connection, first: UUID, site_id: str | None, seen: Iterable[UUID], limit: int) -> list[Verdicts]:
    """The first drained batches from the id `first` on which are not among `seen`, in the order of their ids."""
    asked = {"from_id": first, "site_id": site_id, "seen": list(seen), "limit": limit}
    return _told(connection, _rows(connection, "since", asked))


def ids_since(connection: Connection, first: UUID, site_id: str | None, limit: int) -> list[UUID]:
    """The newest ids of batches from `first` on."""
    rows = _rows(connection, "ids_since", {"from_id": first, "site_id": site_id, "limit": limit})
    return [row.batch_id for row in rows]


def _drained(connection: Connection, batch_id: UUID, site_id: str | None) -> Verdicts | None:
    found = _told(connection, _rows(connection, "receipt", {"batch_id": batch_id, "site_id": site_id}))
    return found[0] if found else None


def _told(connection: Connection, receipts: list[Any]) -> list[Verdicts]:
    ids = [receipt.batch_id for receipt in receipts]
    stored = _stored(connection, receipts)
    letters: defaultdict[UUID, Letters] = defaultdict(dict)
    if any(verdict["verdict"] == "dead" for receipt in receipts for verdict in receipt.verdicts or ()):
        for row in _rows(connection, "letters", {"batch_ids": ids}):
            letters[row.batch_id][row.place] = (row.state, str(row.event_id))
    return [_verdicts(receipt, stored[receipt.batch_id], letters[receipt.batch_id]) for receipt in receipts]


def _stored(connection: Connection, receipts: list[Any]) -> dict[UUID, dict[str, Any]]:
    """The rows of these batches by event id. Nearly always an event happened within an hour of its receipt; only
    where some are missing, whatever came before is looked at too."""
    found: defaultdict[UUID, dict[str, Any]] = defaultdict(dict)
    for reach in (_FIRST_LOOK, _EVER):
        for near in _near(r for r in receipts if len(found[r.batch_id]) < r.stored):
            first, last = near[0].received_at, near[-1].received_at
            asked = {"batch_ids": [r.batch_id for r in near], "first": first, "last": last, "since": first - reach}
            for row in _rows(connection, "stored_events", asked):
                found[row.batch_id][str(row.event_id)] = row
    return found


def _near(receipts: Iterable[Any]) -> list[list[Any]]:
    """Receipts that came one soon after the other, together: between two that are hours apart lies everybody else's."""
    found: list[list[Any]] = []
    for receipt in sorted(receipts, key=lambda r: r.received_at):
        if found and receipt.received_at - found[-1][-1].received_at < _NEAR:
            found[-1].append(receipt)
        else:
            found.append([receipt])
    return found


def _verdicts(receipt: Any, stored: dict[str, Any], letters: Letters) -> Verdicts:
    """The receipt's verdicts, brought up to date by what was replayed since, then the rows that it says nothing of."""
    rows = dict(stored)
    events = []
    for said in receipt.verdicts or ():
        at, event_id, verdict, reason = said["index"], said.get("event_id"), said["verdict"], said.get("reason")
        state, event_id = letters.get(at, (None, event_id)) if verdict == "dead" else (None, event_id)
        if (verdict == "stored" or state == "replayed") and (row := rows.pop(event_id, None)) is not None:
            events.append(_of_row(row, at, None if state else reason))
        elif state in ("duplicate", "discarded"):
            why = reason if state == "discarded" else None
            events.append(Verdict(at, event_id, said.get("event_type"), state, why))
        else:
            events.append(Verdict(at, event_id, said.get("event_type"), verdict, reason))
    events += [_of_row(row, None, None) for row in rows.values()]
    events.sort(key=lambda event: (event.at is None, event.at or 0))
    counts = (receipt.accepted, receipt.stored, receipt.duplicate, receipt.dead, receipt.discarded)
    return Verdicts(receipt.batch_id, receipt.site_id, "stored", receipt.received_at, *counts, events)


def _of_row(row: Any, at: int | None, reason: str | None) -> Verdict:
    verdict, why = ("bot", row.bot_reason) if row.is_bot else ("stored", reason)
    return Verdict(at, str(row.event_id), row.event_type, verdict, why, row.occurred_at, row.visitor, row.path)


def _queued(waiting: Entry) -> Verdicts:
    events = [] if waiting.batch is None else _waiting(waiting.batch)
    received_ms = int(waiting.entry_id.split("-")[0])
    received_at = _moment(waiting.batch.received_at if waiting.batch else received_ms * 1000)
    return Verdicts(waiting.batch_id, waiting.site_id, "queued", received_at, waiting.events, 0, 0, 0, 0, events)


def _waiting(batch: Batch) -> list[Verdict]:
    places = batch.places
    events = [
        Verdict(
            at, str(e.event_id), e.event_type, "queued", None, _moment(e.occurred_at),
            str(e.anonymous_id) if e.anonymous_id else e.claimed_user, e.path,
        )
        for at, e in zip(places, batch.events, strict=False)
    ]  # fmt: skip
    events += [Verdict(q.at, str(q.event_id), None, "queued", f"{q.code}: {q.message}") for q in batch.quarantined]
    events += [Verdict(r.at, None, r.event_type, "refused", f"{r.code}: {r.message}") for r in batch.refused]
    return sorted(events, key=lambda event: event.at or 0)


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / MICROSECOND, tz=UTC)


def _rows(connection: Connection, name: str, values: dict[str, Any]) -> list[Any]:
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(_SQL[name], values).fetchall()
