"""One entry of a lane, read. In: its fields as Redis gave them. Out: an Entry, whatever is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

import msgspec

from schema.asked import Asked
from schema.event import MICROSECOND, Batch, derived_id

_FORMAT = b"1"
_REQUEST = b"request"
_YEAR_10000 = 253_402_300_800 * MICROSECOND


class Entry(NamedTuple):
    """One stream entry: a batch of events, or an answered request for recommendations. Both are None where the payload
    could not be read; `payload` then says what was there, and is empty where the entry was deleted after its rows were
    stored."""

    entry_id: str
    site_id: str
    batch_id: UUID
    events: int
    batch: Batch | None
    payload: bytes
    asked: Asked | None = None


def read(key: str, entry_id: bytes, fields: Mapping[bytes, bytes] | None) -> Entry:
    """Read one entry; whatever is wrong with it stays inside it. One that was deleted has no payload."""
    header = fields or {}
    payload = header.get(b"d") or (msgspec.msgpack.encode(header) if header else b"")
    if header.get(b"k") == _REQUEST and (asked := _asked(header, payload)) is not None:
        return Entry(entry_id.decode(), asked.site_id, asked.request_id, 0, None, payload, asked)
    batch = _batch(header, payload)
    if batch is not None:
        return Entry(entry_id.decode(), batch.site_id, batch.batch_id, batch.accepted, batch, payload)
    raw_id = header.get(b"b", b"")
    batch_id = UUID(bytes=raw_id) if len(raw_id) == 16 else derived_id(key, entry_id)
    number = header.get(b"n", b"0")
    events = int(number) if number.isdigit() and len(number) < 7 else 0
    site_id = header.get(b"s", b"default").decode(errors="replace").replace("\0", "")
    return Entry(entry_id.decode(), site_id, batch_id, events, None, payload)


def _batch(header: Mapping[bytes, bytes], payload: bytes) -> Batch | None:
    """The entry's batch, if it is one whose receipt Postgres can hold; its events may still be anything."""
    try:
        batch = Batch.unpack(payload) if header.get(b"v") == _FORMAT and b"k" not in header else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return batch if batch and "\0" not in batch.site_id and 0 <= batch.received_at < _YEAR_10000 else None


def _asked(header: Mapping[bytes, bytes], payload: bytes) -> Asked | None:
    """The same for an answered request."""
    try:
        asked = Asked.unpack(payload) if header.get(b"v") == _FORMAT else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return asked if asked and "\0" not in asked.site_id and 0 <= asked.requested_at < _YEAR_10000 else None
