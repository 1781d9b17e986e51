"""The native dialect: `{"events": [...], "sent_at"?, "write_key"?, "site_id"?}`, or one bare event, or a bare list.

In: the decoded body. Out: canonical events and refusals. Unknown fields are kept in the event's metadata.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta
from msgspec.structs import astuple

from ingest import rules
from ingest.rules import Context, Parsed, Rejection
from schema import limits
from schema.errors import InvalidBody, InvalidEvent, TooLarge
from schema.event import Event

Code = Annotated[str, Meta(min_length=1, max_length=100)]
Text = Annotated[str, Meta(max_length=500)]
Address = Annotated[str, Meta(max_length=4096)]


class NativeEvent(msgspec.Struct, kw_only=True, gc=False):
    """One event as a browser sends it; what OpenAPI documents. In the order of schema.event.Event."""

    event_id: UUID | None = None
    event_type: Code
    client_timestamp: str | float | None = None
    session_id: UUID
    anonymous_id: UUID
    user_id: Text | None = None
    trip_id: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    recommendation_request_id: UUID | None = None
    source: Code | None = None
    position: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    score: float | None = None
    page_url: Address | None = None
    path: Address | None = None
    referrer: Address | None = None
    device_type: Code | None = None
    user_agent: Text | None = None
    screen: Code | None = None
    owner_code: Text | None = None
    share_code: Text | None = None
    contact_id: Text | None = None
    click_target: Text | None = None
    click_category: Text | None = None
    page_type: Text | None = None
    metadata: dict[str, Any] | None = None
    schema_version: Annotated[int, Meta(ge=1, le=32_767)] | None = None
    user_code: Text | None = None


class _Exact(NativeEvent, forbid_unknown_fields=True, gc=False):
    """An event without any field that would have to be kept in its metadata."""


class Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A batch that is as documented: nearly all are."""

    events: list[_Exact]
    sent_at: str | float | None = None
    write_key: str | None = None
    site_id: str | None = None


_envelope, _bare = msgspec.json.Decoder(Envelope), msgspec.json.Decoder(_Exact)
_COMMON = len(NativeEvent.__struct_fields__) - 1  # all but user_code, in the order of schema.event.Event
_FIELDS = frozenset(NativeEvent.__struct_fields__)


def items(root: Any, single: bool) -> list[Any]:
    """The events in a decoded body, unread. Raises InvalidBody for what is no batch."""
    if isinstance(root, list):
        return root
    if isinstance(root, dict):
        events = root.get("events")
        if isinstance(events, list):
            return events
        if single and "events" not in root:
            return [{key: value for key, value in root.items() if key not in ("write_key", "sent_at", "site_id")}]
    raise InvalidBody


def read_exact(raw: bytes, single: bool) -> Envelope | None:
    """The body in one step, or None where it must be read event by event: to say what is wrong with one, to keep what
    is unknown, or to make an id of its content."""
    try:
        if b"\\u0000" in raw:
            return None
        envelope = Envelope([_bare.decode(raw)]) if single and b'"events"' not in raw else _envelope.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return envelope if all(wire.event_id is not None for wire in envelope.events) else None


def parse_exact(envelope: Envelope, context: Context) -> Parsed | None:
    """The same as `parse`; None where that has to say what is refused."""
    if len(envelope.events) > context.settings.batch_events_max:
        return None
    ahead = rules.skew(envelope.sent_at, context)
    try:
        return Parsed([_event(wire, ahead, context) for wire in envelope.events], [])
    except InvalidEvent:
        return None


def parse(found: list[Any], sent_at: Any, context: Context, may_hold_nul: bool) -> Parsed:
    """Read each event by itself: a bad one is refused, its neighbours are not. Raises TooLarge over the limit."""
    if len(found) > context.settings.batch_events_max:
        limit = context.settings.batch_events_max
        raise TooLarge(f"The batch has {len(found)} events; at most {limit} are accepted at once.")
    ahead = rules.skew(sent_at, context)
    events, rejected = [], []
    for index, item in enumerate(found):
        try:
            event = _read(item, index, ahead, context)
            if may_hold_nul:
                limits.refuse_nul(astuple(event), event.metadata)
            events.append(event)
        except InvalidEvent as refusal:
            rejected.append(Rejection(index, refusal.code, refusal.message, _type_of(item, context)))
        except msgspec.ValidationError as error:
            rejected.append(Rejection(index, "invalid_field", _told(error, item), _type_of(item, context)))
    return Parsed(events, rejected)


def _read(item: Any, index: int, ahead: int, context: Context) -> Event:
    wire = msgspec.convert(item, NativeEvent)
    if item.keys() - _FIELDS:
        wire.metadata = rules.with_unknown(wire, item)
    wire.event_id = wire.event_id or rules.content_id(context, item, index, wire.client_timestamp)
    return _event(wire, ahead, context)


def _event(wire: NativeEvent, ahead: int, context: Context) -> Event:
    """By position: naming 27 fields took two thirds of the time of reading an event."""
    if context.rule.strict:
        rules.check_type(wire.event_type, wire.source, context)
    event = Event(*astuple(wire)[:_COMMON])
    event.occurred_at = rules.occurred_at(wire.client_timestamp, ahead, context)
    event.path, event.utm = rules.page(wire.page_url, wire.path)
    metadata = wire.metadata
    if wire.owner_code is not None or wire.user_code is not None:
        event.owner_code = wire.owner_code or wire.user_code
        if wire.user_code and wire.user_code != event.owner_code:
            metadata = limits.keep(dict(metadata or {}), "user_code", wire.user_code)
    event.metadata = limits.pack_metadata(wire.event_type, metadata, context.settings)
    return event


def _told(error: msgspec.ValidationError, item: Any) -> str:
    return limits.told(error) if isinstance(item, dict) else "An event must be a JSON object."


def _type_of(item: Any, context: Context) -> str:
    return rules.refused_type(item.get("event_type") if isinstance(item, dict) else None, context)
