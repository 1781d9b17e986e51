"""The single-event API: POST /ingest-event `{site_id, event_type, path?, user_id?, timestamp?}`.

In: the decoded body. Out: one canonical event, or the reason why not, naming the field. Without a user_id the user is
"anonymous", one for all. Unknown fields are kept in the event's metadata.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.types import Scope

from ingest import rules
from ingest.dialect import Dialect, Done, Headers, kept_id, read_one, refusal_of
from ingest.dialects.native import Address, Code, Text
from ingest.http import Answer, encode
from ingest.rules import Context, Parsed
from schema import limits
from schema.errors import InvalidBody, InvalidEvent
from schema.event import Event

ANONYMOUS = "anonymous"
_KEYS = {b"authorization", b"x-write-key", b"apikey"}


class SingleEvent(msgspec.Struct, kw_only=True):
    """One event, such as a page view. With an `event_id` or a `timestamp`, sending it again does not count twice."""

    site_id: Text | None = None
    event_type: Code
    path: Address | None = None
    user_id: Annotated[str, Meta(max_length=500)] | int | None = None
    timestamp: str | float | None = None
    event_id: Annotated[str, Meta(max_length=500)] | None = None
    metadata: dict[str, Any] | None = None
    write_key: str | None = None


class Queued(msgspec.Struct):
    """The event is safe in the queue. `response_time_ms` since the request was read."""

    success: bool
    queued: bool
    response_time_ms: float


def named(_: Scope, header: Headers, root: Any) -> dict[str, Any]:
    """Whose event it is: a site has to be named, or a key sent. Raises InvalidBody."""
    if not isinstance(root, dict):
        raise InvalidBody('The body is no event: send {"site_id": "...", "event_type": "page_view"}.')
    site_id = root.get("site_id")
    has_key = root.get("write_key") or header.keys() & _KEYS
    if (site_id is None and not has_key) or not isinstance(site_id, str | None) or site_id == "":
        raise InvalidBody("site_id: the site's id is needed, as text.")
    return root


def parse(root: dict[str, Any], context: Context) -> Parsed:
    """The event, or its refusal."""
    return read_one(lambda: _event(root, context), root.get("event_type"), context)


def answer(done: Done) -> Answer:
    """What its clients look at."""
    queued = Queued(success=True, queued=True, response_time_ms=round(done.microseconds / 1000, 2))
    return refusal_of(done) or (202, encode(queued))


def _event(root: dict[str, Any], context: Context) -> Event:
    wire = msgspec.convert(root, SingleEvent)
    if context.rule.strict:
        rules.check_type(wire.event_type, None, context)
    metadata = rules.with_unknown(wire, root)
    event = Event(
        event_id=_id(wire, root, metadata, context),
        event_type=wire.event_type,
        occurred_at=_time(wire.timestamp, context),
        path=wire.path or "/",
        claimed_user=ANONYMOUS if wire.user_id in (None, "") else str(wire.user_id),
        metadata=limits.pack_metadata(wire.event_type, metadata, context.settings),
    )
    limits.refuse_nul((event.event_type, event.path, event.claimed_user), event.metadata)
    return event


def _id(wire: SingleEvent, root: dict[str, Any], metadata: dict[str, Any], context: Context) -> UUID:
    unkeyed = {name: value for name, value in root.items() if name != "write_key"}
    sent = kept_id(context, "event", "event_id", wire.event_id, metadata)
    return sent or rules.content_id(context, unkeyed, 0, wire.timestamp)


def _time(timestamp: str | float | None, context: Context) -> int:
    try:
        return rules.occurred_at(timestamp, 0, context)
    except InvalidEvent as refusal:
        raise InvalidEvent(refusal.code, f"timestamp: {refusal.message}") from None


INGEST_EVENT = Dialect(parse=parse, answer=answer, named=named)
