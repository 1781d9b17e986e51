"""Page analytics: POST /api/analytics/ingest `{"events": [{"type": "session"|"page_view"|"click", "data": {...}}]}`.

In: the decoded body. Out: canonical events; what is wrong is refused by itself. `user_code` is whose page it is
(owner_code). A session's one session_start has the id that /api/session/start would give it. All that is known of a
visitor is the session, unless an anonymous_id came too. Unknown fields are kept in the event's metadata.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta
from msgspec.structs import astuple

from ingest import rules
from ingest.dialect import Dialect, Done, kept_id
from ingest.dialects.native import Address, Code, Text
from ingest.endpoint import receipt
from ingest.http import Answer, encode
from ingest.rules import Context, Parsed, Rejection
from schema import limits
from schema.errors import InvalidBody, InvalidEvent, TooLarge
from schema.event import Event, derived_id

Name = Annotated[str, Meta(max_length=500)] | int
TYPES = {"session": "session_start", "page_view": "page_view", "click": "click"}


class PageData(msgspec.Struct, kw_only=True):
    """What a page says of a session, a view or a click. Ids may be any text."""

    session_id: Name
    anonymous_id: Name | None = None
    event_id: Name | None = None
    user_code: Name | None = None
    owner_code: Name | None = None
    share_code: Name | None = None
    contact_id: Name | None = None
    page_type: Text | None = None
    click_target: Text | None = None
    click_category: Text | None = None
    page_url: Address | None = None
    path: Address | None = None
    referrer: Address | None = None
    device_type: Code | None = None
    user_agent: Text | None = None
    screen: Code | None = None
    timestamp: str | float | None = None
    metadata: dict[str, Any] | None = None


class PageEvent(msgspec.Struct, kw_only=True):
    """One part of a batch."""

    type: str
    data: PageData


class PageBatch(msgspec.Struct, kw_only=True):
    """Up to 100 parts."""

    events: list[PageEvent]
    sent_at: str | None = None
    write_key: str | None = None
    site_id: str | None = None


def parse(root: Any, context: Context) -> Parsed:
    """Read each part by itself. Raises InvalidBody for what is no batch, TooLarge over the limit."""
    found = root.get("events") if isinstance(root, dict) else None
    if not isinstance(found, list):
        raise InvalidBody('The body is no batch: send {"events": [{"type": "page_view", "data": {...}}]}.')
    limit = context.settings.batch_events_max
    if len(found) > limit:
        raise TooLarge(f"The batch has {len(found)} events; at most {limit} are accepted at once.")
    ahead = rules.skew(root.get("sent_at"), context)
    parsed = Parsed([], [])
    for index, item in enumerate(found):
        try:
            parsed.events.append(_event(item, index, ahead, context))
            continue
        except InvalidEvent as refusal:
            reason = refusal.code, refusal.message
        except msgspec.ValidationError as error:
            reason = "invalid_field", limits.told(error)
        kind = item.get("type") if isinstance(item, dict) else None
        event_type = TYPES.get(kind) if isinstance(kind, str) else None
        parsed.rejected.append(Rejection(index, *reason, rules.refused_type(event_type, context)))
    return parsed


def answer(done: Done) -> Answer:
    """The receipt of the native dialect."""
    return 202, encode(receipt(done.taken, done.durability))


def _event(item: Any, index: int, ahead: int, context: Context) -> Event:
    wire = msgspec.convert(item, PageEvent)
    if wire.type not in TYPES:
        raise InvalidEvent("invalid_field", f"type: must be session, page_view or click, not {wire.type[:100]!r}.")
    event_type, data = TYPES[wire.type], wire.data
    if context.rule.strict:
        rules.check_type(event_type, None, context)
    metadata = rules.with_unknown(data, item["data"])
    session_id = kept_id(context, "session", "session_id", data.session_id, metadata)
    if session_id is None:
        raise InvalidEvent("invalid_field", "data.session_id: is empty.")
    if data.owner_code and data.user_code:
        limits.keep(metadata, "user_code", data.user_code)
    path, utm = rules.page(data.page_url, data.path)
    event = Event(
        event_id=_id(event_type, session_id, item, index, data, metadata, context),
        event_type=event_type,
        occurred_at=rules.occurred_at(data.timestamp, ahead, context),
        session_id=session_id,
        anonymous_id=kept_id(context, "visitor", "anonymous_id", data.anonymous_id, metadata) or session_id,
        page_url=data.page_url,
        path=path,
        referrer=data.referrer,
        device_type=data.device_type,
        user_agent=data.user_agent,
        screen=data.screen,
        owner_code=_text(data.owner_code or data.user_code),
        share_code=_text(data.share_code),
        contact_id=_text(data.contact_id),
        click_target=data.click_target,
        click_category=data.click_category,
        page_type=data.page_type,
        metadata=limits.pack_metadata(event_type, metadata, context.settings),
        utm=utm,
    )
    limits.refuse_nul(astuple(event), event.metadata)
    return event


def _id(
    event_type: str,
    session_id: UUID,
    item: Any,
    index: int,
    data: PageData,
    metadata: dict[str, Any],
    context: Context,
) -> UUID:
    if event_type == "session_start":
        if data.event_id:
            limits.keep(metadata, "event_id", data.event_id)
        return derived_id(context.site_id, "session_start", session_id.bytes)
    sent = kept_id(context, "event", "event_id", data.event_id, metadata)
    return sent or rules.content_id(context, item, index, data.timestamp)


def _text(value: str | int | None) -> str | None:
    return None if value is None or value == "" else str(value)


ANALYTICS = Dialect(parse=parse, answer=answer)
