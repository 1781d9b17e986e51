"""Everything that is kept of a person, in words. In: who it is. Out: one JSON document, piece by piece.

One REPEATABLE READ transaction: rows are of one moment. What is queued, and live sessions, are
read from Redis after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import msgspec
from psycopg import IsolationLevel
from psycopg.rows import dict_row
from redis import Redis

from schema import db, live, stream
from schema.db import Connection
from schema.entry import Entry
from schema.event import MICROSECOND, as_json, now
from schema.settings import Settings
from schema.sql import load
from workers import people
from workers.mentions import Mentions
from workers.people import Named, Person

_SQL = load("privacy")
_ROWS_AT_ONCE = 1000
_OF_POSTGRES = (
    ("users", "export_users"),
    ("identities", "export_identities"),
    ("identity_changes", "export_changes"),
    ("sessions", "export_sessions"),
    ("events", "export_events"),
    ("recommendation_requests", "export_requests"),
    ("owned_pages", "export_owned"),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encoder = msgspec.json.Encoder(enc_hook=str)


def export(settings: Settings, site_id: str, who: Named) -> Iterator[bytes]:
    """The document. Raises NotFound for a site that is none, InvalidRequest where it is not clear who is meant."""
    with db.connect(settings, statement_seconds_max=0) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            people.require_known(connection, site_id)
            person = people.find(connection, site_id, who)
            head = {"site_id": site_id, "named": {who.kind: who.value}, "exported_at": _moment(now())}
            yield _encoder.encode(head)[:-1]
            for name, query in _OF_POSTGRES:
                yield from _listed(name, _rows(connection, query, person))
            mentions = Mentions(person)
            yield from _listed("dead_letters", _letters(connection, person, mentions))
            yield from _listed("outbox", (r for r in _rows(connection, "outbox", person) if mentions.json(r)))
    with stream.connect(settings.streams_url) as redis:
        yield from _listed("queued", _queued(redis, settings, person, mentions))
        yield from _listed("live_sessions", _live(redis, person))
    yield b"}\n"


def _listed(name: str, rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    yield b',\n"%s":[' % name.encode()
    for number, row in enumerate(rows):
        yield (b",\n" if number else b"\n") + _encoder.encode({k: v for k, v in row.items() if v is not None})
    yield b"]"


def _rows(connection: Connection, query: str, person: Person) -> Iterator[dict[str, Any]]:
    with connection.cursor(name="exported", row_factory=dict_row) as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        text: LiteralString = _SQL[query]
        cursor.execute(text, person.columns())
        yield from cursor


def _letters(connection: Connection, person: Person, mentions: Mentions) -> Iterator[dict[str, Any]]:
    for letter in _rows(connection, "letters", person):
        raw = bytes(letter.pop("raw"))
        if mentions.raw(raw) or mentions.json(letter["shared"]) or mentions.text(letter["reason"]):
            yield letter | {"event": msgspec.Raw(raw) if letter["event_id"] is not None else raw}


def _queued(redis: Redis, settings: Settings, person: Person, mentions: Mentions) -> Iterator[dict[str, Any]]:
    """What waits to be stored, of this site, and says one of the ids."""
    for lane in stream.known_lanes(redis, settings.lanes):
        for entry in stream.waiting(redis, lane, "+"):
            if entry.site_id == person.site_id and entry.payload and mentions.raw(entry.payload):
                yield from _of_entry(entry, mentions)


def _of_entry(entry: Entry, mentions: Mentions) -> Iterator[dict[str, Any]]:
    shared: dict[str, Any] = {"batch_id": entry.batch_id}
    if entry.asked is not None:
        yield shared | {"request": msgspec.structs.asdict(entry.asked)}
    elif entry.batch is None:
        yield shared | {"unreadable": entry.payload}
    else:
        batch = entry.batch
        shared |= {
            "received_at": _moment(batch.received_at),
            "ip_prefix": batch.ip_prefix,
            "user_agent": batch.user_agent,
        }
        for event in batch.events:
            raw = as_json(event)
            if mentions.raw(raw) or batch.verified is not None:
                yield shared | {"event": msgspec.Raw(raw)}
        for unfit in batch.quarantined:
            if mentions.raw(unfit.sent.encode()):
                yield shared | {"quarantined": unfit.sent}


def _live(redis: Redis, person: Person) -> Iterator[dict[str, Any]]:
    for visitor, session, seen_ms in live.found(redis, person.site_id, person.own):
        seen_at = None if seen_ms is None else _moment(seen_ms * (MICROSECOND // 1000))
        yield {"anonymous_id": visitor, "session_id": session, "last_seen_at": seen_at}


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
