"""The canonical event and the batch that carries it from accept to drain. The one field list there is.

In: what a dialect understood of a wire format. Out: `Batch.pack()`, the bytes of one stream entry, and
`COLUMNS`, the events table's columns in COPY order. A packed batch is complete: ids, times and truncated
addresses are fixed before it is queued, so a drain that runs twice writes the same rows twice.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Sequence
from random import getrandbits  # seeded anew after a fork; os.urandom is a system call, 4 µs of every request
from typing import Any
from uuid import UUID

import msgspec

NAMESPACE = UUID("5f6a5a0e-6d0b-5c1e-9b3c-2f1d6f1a7c11")
MICROSECOND = 1_000_000
CATEGORIES = ("interaction", "transaction", "user_activity", "content")


class Event(msgspec.Struct, array_like=True, gc=False):
    """One event, as every dialect ends and every drain begins. Times are integer microseconds since 1970, UTC.

    `metadata` and `utm` are JSON text: they are validated once, at accept, and only Postgres reads them again.
    The order is that of ingest/dialects/native.py, whose events become these by position.
    """

    event_id: UUID
    event_type: str
    occurred_at: int
    session_id: UUID | None = None
    anonymous_id: UUID | None = None
    claimed_user: str | None = None
    trip_id: int | None = None
    recommendation_request_id: UUID | None = None
    source: str | None = None
    position: int | None = None
    score: float | None = None
    page_url: str | None = None
    path: str | None = None
    referrer: str | None = None
    device_type: str | None = None
    user_agent: str | None = None
    screen: str | None = None
    owner_code: str | None = None
    share_code: str | None = None
    contact_id: str | None = None
    click_target: str | None = None
    click_category: str | None = None
    page_type: str | None = None
    metadata: str | None = None
    schema_version: int | None = None
    utm: str | None = None
    auth_user_id: str | None = None


class Quarantined(msgspec.Struct, array_like=True, gc=False):
    """What came for an event and is none, from a client that would drop its whole batch if it were refused. It counts
    as accepted, and the drain keeps it as a dead letter. `sent` is JSON, `at` its place in the request."""

    event_id: UUID
    code: str
    message: str
    sent: str
    at: int = 0


class Refused(msgspec.Struct, array_like=True, gc=False):
    """An event that the answer refused: not accepted, and in the receipt only so that it can be looked up. `at` is its
    place in the request."""

    at: int
    code: str
    message: str
    event_type: str


class Verified(msgspec.Struct, array_like=True, gc=False):
    """The claims of a verified token, which is all of it that travels."""

    user_id: str
    email: str | None = None
    role: str | None = None


class Batch(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """What one request brought: its events and what they have in common. One stream entry, one receipt."""

    site_id: str
    batch_id: UUID
    received_at: int
    events: list[Event]
    ip_prefix: str | None = None
    country: str | None = None
    user_agent: str | None = None
    quarantined: list[Quarantined] = []
    verified: Verified | None = None
    category: str | None = None  # of its events' types, where nobody registered them before
    refused: list[Refused] = []

    @property
    def accepted(self) -> int:
        """How many events are promised with it."""
        return len(self.events) + len(self.quarantined)

    @property
    def places(self) -> Sequence[int]:
        """The place in the request of each event, and then of each that is quarantined: events have the places that no
        other has."""
        if not self.refused and not self.quarantined:
            return range(len(self.events))
        unfit = [q.at for q in self.quarantined]
        others = {*unfit, *(r.at for r in self.refused)}
        free = (at for at in itertools.count() if at not in others)
        return [*itertools.islice(free, len(self.events)), *unfit]

    def pack(self) -> bytes:
        """The entry's payload: MessagePack arrays, ids as 16 bytes."""
        return _ENCODER.encode(self)

    @staticmethod
    def unpack(payload: bytes) -> Batch:
        """The reverse of pack. Raises msgspec.DecodeError on anything else."""
        return _DECODER.decode(payload)


_ENCODER = msgspec.msgpack.Encoder(uuid_format="bytes")
_DECODER = msgspec.msgpack.Decoder(Batch)

# Event fields that a row holds as an id: the drain looks them up.
TEXT_FIELDS = ("source", "page_url", "path", "referrer", "device_type", "screen")
_RESOLVED = {field: f"{field}_id" for field in ("event_type", "user_agent", *TEXT_FIELDS)} | {"page_url": "page_id"}
_SHARED = ("site_id", "batch_id", "received_at", "ip_prefix", "country")
_DRAINED = ("page_query", "user_id", "category", "is_bot", "user_role", "user_tenure_days")

EVENT_FIELDS: tuple[str, ...] = Event.__struct_fields__
COLUMNS: tuple[str, ...] = (*(_RESOLVED.get(f, f) for f in EVENT_FIELDS), *_SHARED, *_DRAINED)


def now() -> int:
    """Microseconds since 1970, UTC. The clock that callers pass in unless a test passes its own."""
    return time.time_ns() // 1000


def new_id(at: int) -> UUID:
    """A UUIDv7 (RFC 9562) for the microsecond `at`: ids made in order keep their index pages together."""
    random = getrandbits(80)
    value = ((at // 1000) & 0xFFFF_FFFF_FFFF) << 80 | random & ~(0xF000 << 64) | 0x7000 << 64
    return UUID(int=value & ~(0xC << 60) | 0x8 << 60)


def derived_id(site_id: str, *parts: bytes | str) -> UUID:
    """A UUIDv5 (RFC 9562) of `parts` in the site's namespace: the same input is the same id, for ever."""
    name = b"\x1f".join([site_id.encode(), *(p.encode() if isinstance(p, str) else p for p in parts)])
    digest = hashlib.sha1(NAMESPACE.bytes + name, usedforsecurity=False).digest()
    return UUID(bytes=digest[:16], version=5)


def without_nul(text: str) -> str:
    """What Postgres can hold of it: text and jsonb refuse U+0000."""
    return text.replace("\0", "\ufffd")


def as_json(event: Event) -> bytes:
    """The event as a JSON object with field names, for people: dead letters are shown and patched in this form."""
    fields = {f: value for f in EVENT_FIELDS if (value := getattr(event, f)) is not None}
    return msgspec.json.encode(fields)


def from_json(raw: bytes) -> Event:
    """The reverse of as_json. Raises msgspec.ValidationError naming the field that does not fit."""
    fields: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    if unknown := fields.keys() - set(EVENT_FIELDS):
        raise msgspec.ValidationError(f"no such field: {', '.join(sorted(unknown))}")
    if missing := [f for f in ("event_id", "event_type", "occurred_at") if fields.get(f) is None]:
        raise msgspec.ValidationError(f"no {', '.join(missing)}")
    return msgspec.convert([fields.get(f) for f in EVENT_FIELDS], Event)
