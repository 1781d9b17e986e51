"""Rows in Postgres' binary COPY format. In: events with their ids resolved. Out: a filled `stage`.

Binary, because text took 9 µs a row where binary takes 3.3: times go as int64 microseconds since 2000, jsonb as its
version byte and text, cidr as its packed form, and no Python object is made on the way
(https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format"; the types' receive functions define the rest).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from msgspec.structs import astuple

from schema.db import Connection
from schema.event import COLUMNS, EVENT_FIELDS, MICROSECOND, TEXT_FIELDS
from schema.sql import load
from workers.resolve import Dictionaries, Staged, split

_COPY = f"COPY stage ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)"
_SINCE_2000 = 946_684_800 * MICROSECOND
_TYPE, _TIME, _SESSION, _PAGE, _DEVICE, _AGENT, _UTM, _METADATA = (
    EVENT_FIELDS.index(f)
    for f in ("event_type", "occurred_at", "session_id", "page_url", "device_type", "user_agent", "utm", "metadata")
)
_TEXTS = [EVENT_FIELDS.index(f) for f in TEXT_FIELDS]
# Types whose binary form we make ourselves, by the type whose binary form psycopg should use for the result.
_AS = {"timestamptz": "int8", "jsonb": "bytea", "cidr": "bytea", "event_category": "text"}


def make_tables(connection: Connection) -> None:
    """Make `incoming` and `stage`, for as long as the connection lives."""
    for name in ("make_incoming", "make_stage"):
        connection.execute(load("drain")[name])


def fill_incoming(connection: Connection, keys: Iterable[tuple[str, UUID]]) -> None:
    """Copy (site id, event id) pairs into `incoming`."""
    with connection.cursor() as cursor, cursor.copy("COPY incoming FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["text", "uuid"])
        for key in keys:
            copy.write_row(key)


def fill_stage(
    connection: Connection,
    staged: Sequence[Staged],
    dictionaries: Dictionaries,
    users: Mapping[int, int],
    sessions: Mapping[int, UUID],
    tenures: Mapping[int, int],
) -> None:
    """Copy `staged` into `stage`. `users`, `sessions` and `tenures` are by index in `staged`.

    Raises DataError, as Postgres would for text, where a value has no binary form.
    """
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        types = dictionaries.stage_types
        copy.set_types([_AS.get(types[column], types[column]) for column in COLUMNS])
        try:
            for row in _rows(staged, dictionaries, users, sessions, tenures):
                copy.write_row(row)
        except (OverflowError, ValueError) as error:
            raise psycopg.DataError(str(error)) from None


def _rows(
    staged: Sequence[Staged],
    dictionaries: Dictionaries,
    users: Mapping[int, int],
    sessions: Mapping[int, UUID],
    tenures: Mapping[int, int],
) -> Iterator[tuple[Any, ...]]:
    for index, (event, batch) in enumerate(staged):
        agent = dictionaries.agents.get(event.user_agent or batch.user_agent or "")
        own = list(astuple(event))
        own[_TYPE], category = dictionaries.types[event.event_type]
        own[_TIME] = event.occurred_at - _SINCE_2000
        if not (_fits(event.position, 31) and _fits(event.schema_version, 15)):
            raise OverflowError("position or schema_version is out of range")
        own[_PAGE], query = split(event.page_url)
        if agent is not None and not event.device_type:
            own[_DEVICE] = agent.device_type
        texts = dictionaries.texts[batch.site_id]
        for place in _TEXTS:
            own[place] = texts.get(own[place])
        own[_AGENT] = agent.user_agent_id if agent else None
        if event.session_id is None:
            own[_SESSION] = sessions[index]
        metadata = event.metadata
        if event.event_type in dictionaries.unregistered:
            metadata = _with_type(metadata, event.event_type)
        if metadata is not None:
            own[_METADATA] = b"\x01" + metadata.encode()
        if event.utm is not None:
            own[_UTM] = b"\x01" + event.utm.encode()
        received_at = batch.received_at - _SINCE_2000
        shared = (batch.site_id, batch.batch_id, received_at, _cidr(batch.ip_prefix), batch.country)
        is_bot = agent is not None and agent.is_bot
        role = batch.verified.role if batch.verified is not None else None
        yield (*own, *shared, query, users.get(index), category, is_bot, role, tenures.get(index))


def _with_type(metadata: str | None, event_type: str) -> str:
    """Metadata that says which type the event had; as text, because its numbers must stay as they are."""
    named = msgspec.json.encode({"event_type": event_type}).decode()
    return named if metadata in (None, "{}") else f"{named[:-1]},{metadata[1:]}"


def _fits(number: int | None, bits: int) -> bool:
    """psycopg's binary int4 and int2 cut off what does not fit, without a word: 2**40 was stored as 0."""
    return number is None or -1 <= number >> bits <= 0


@lru_cache(maxsize=4096)
def _cidr(prefix: str | None) -> bytes | None:
    """A network as cidr_recv wants it: family (2 or 3), bits, is_cidr, address length, address."""
    if prefix is None:
        return None
    network = ip_network(prefix)
    address = network.network_address.packed
    return bytes([2 if network.version == 4 else 3, network.prefixlen, 1, len(address)]) + address
