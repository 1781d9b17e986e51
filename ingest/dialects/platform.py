"""Platform events: POST /rpc/emit_platform_event, as the SQL function of that name takes and answers them.

In: the decoded body, its names with or without `p_`. Out: one canonical event without a visitor, and the category that
its type gets if nobody registered it. Entity, data and unknown fields are kept in the metadata, as workers/outbox.py
keeps those of events that are emitted in SQL.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ingest import rules
from ingest.dialect import Dialect, Done, kept_id
from ingest.dialects.native import Code
from ingest.endpoint import decode
from ingest.http import Answer, encode
from ingest.rules import Context, Parsed, Rejection
from schema.errors import InvalidBody, InvalidEvent
from schema.event import Event, new_id

Name = Annotated[str, Meta(max_length=500)] | int


class PlatformEvent(msgspec.Struct, kw_only=True):
    """What an application did. With an `event_id`, sending it again does not count twice."""

    event_type: Code
    event_category: Literal["interaction", "transaction", "user_activity", "content"] | None = None
    user_id: Name | None = None
    entity_type: Name | None = None
    entity_id: Name | None = None
    event_data: Any = None
    metadata: dict[str, Any] | None = None
    event_id: Name | None = None
    site_id: str | None = None
    write_key: str | None = None


_FIELDS = frozenset(PlatformEvent.__struct_fields__)
_KEPT = ("entity_type", "entity_id", "event_data", "event_category")


def read(raw: bytes) -> Any:
    """The body, its names without `p_`. Raises InvalidBody."""
    root = decode(raw)
    if not isinstance(root, dict):
        raise InvalidBody('The body is no event: send {"event_type": "...", "event_category": "...", ...}.')
    plain = {name: value for name, value in root.items() if not _is_prefixed(name)}
    return {name.removeprefix("p_"): value for name, value in root.items() if _is_prefixed(name)} | plain


def parse(root: dict[str, Any], context: Context) -> Parsed:
    """The event, or its refusal."""
    try:
        wire = msgspec.convert(root, PlatformEvent)
        return Parsed([_event(wire, root, context)], [], category=wire.event_category)
    except InvalidEvent as refusal:
        reason = refusal.code, refusal.message
    except msgspec.ValidationError as error:
        reason = "invalid_field", rules.told(error)
    return Parsed([], [Rejection(0, *reason, rules.refused_type(root.get("event_type"), context))])


def answer(done: Done) -> Answer:
    """The event's id, as PostgREST answers a function that returns one."""
    if done.parsed.rejected:
        refusal = done.parsed.rejected[0]
        return 400, encode({"code": refusal.code, "message": refusal.message})
    return 200, encode(done.parsed.events[0].event_id)


def _is_prefixed(name: str) -> bool:
    return name.startswith("p_") and name.removeprefix("p_") in _FIELDS


def _event(wire: PlatformEvent, root: dict[str, Any], context: Context) -> Event:
    if context.rule.strict:
        rules.check_type(wire.event_type, None, context)
    metadata = rules.with_unknown(wire, root)
    for name in _KEPT:
        if (value := getattr(wire, name)) is not None:
            rules.keep(metadata, name, value)
    event = Event(
        event_id=kept_id(context, "event", "event_id", wire.event_id, metadata) or new_id(context.received_at),
        event_type=wire.event_type,
        occurred_at=context.received_at,
        claimed_user=None if wire.user_id in (None, "") else str(wire.user_id),
        metadata=rules.pack_metadata(wire.event_type, metadata, context.settings),
    )
    rules.refuse_nul((event.event_type, event.claimed_user), event.metadata)
    return event


EMIT = Dialect(parse=parse, answer=answer, read=read)
