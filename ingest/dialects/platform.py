"""Platform events: POST /rpc/emit_platform_event, as the SQL function of that name takes and answers them.

In: the decoded body, its names with or without `p_`. Out: one canonical event without a visitor, by the rules of
schema/emitted.py as what is emitted in SQL, and the category of its type. Unknown fields are kept in the metadata.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from ingest import rules
from ingest.dialect import Dialect, Done, kept_id, read_one, refusal_of
from ingest.endpoint import decode
from ingest.http import Answer, encode
from ingest.rules import Context, Parsed
from schema import emitted
from schema.emitted import Emitted, Name
from schema.errors import InvalidBody
from schema.event import Event, new_id


class PlatformEvent(Emitted, kw_only=True):
    """With an `event_id`, sending it again does not count twice."""

    event_id: Name | None = None
    site_id: str | None = None
    write_key: str | None = None


_FIELDS = frozenset(PlatformEvent.__struct_fields__)


def read(raw: bytes) -> Any:
    """The body, its names without `p_`. Raises InvalidBody."""
    root = decode(raw)
    if not isinstance(root, dict):
        raise InvalidBody('The body is no event: send {"event_type": "...", "event_category": "...", ...}.')
    plain = {name: value for name, value in root.items() if not _is_prefixed(name)}
    return {name.removeprefix("p_"): value for name, value in root.items() if _is_prefixed(name)} | plain


def parse(root: dict[str, Any], context: Context) -> Parsed:
    """The event, or its refusal."""
    category = root.get("event_category")
    return read_one(lambda: _event(root, context), root.get("event_type"), context, category)


def answer(done: Done) -> Answer:
    """The event's id, as PostgREST answers a function that returns one."""
    return refusal_of(done) or (200, encode(done.said))


def say(_root: Any, parsed: Parsed) -> UUID | None:
    """The event's id, if it is one."""
    return parsed.events[0].event_id if parsed.events else None


def _is_prefixed(name: str) -> bool:
    return name.startswith("p_") and name.removeprefix("p_") in _FIELDS


def _event(root: dict[str, Any], context: Context) -> Event:
    wire = msgspec.convert(root, PlatformEvent)
    if context.rule.strict:
        rules.check_type(wire.event_type, None, context)
    metadata = rules.with_unknown(wire, root)
    event_id = kept_id(context, "event", "event_id", wire.event_id, metadata) or new_id(context.received_at)
    return emitted.event(wire, metadata, event_id, context.received_at, context.settings)


EMIT = Dialect(parse=parse, answer=answer, read=read, say=say)
