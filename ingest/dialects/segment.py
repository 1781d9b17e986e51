"""Segment's tracking API, which the SDKs of Segment, RudderStack and Jitsu send: a batch of calls, or one bare call.

In: the decoded body. Out: canonical events; a call that is none is quarantined. A track's event is named as it was
named; page and screen become page_view, identify becomes user_identify, group and alias keep their names.

The time is `timestamp`, else `originalTimestamp`: RudderStack sends both where the caller said when it happened, and
what was said holds. Clocks are corrected as everywhere (rules.skew); the SDKs' own formula would also move the times of
clients that are right by as long as their request was under way.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.types import Scope

from ingest import lifting, rules
from ingest.dialect import Dialect, Done, Headers, read_each
from ingest.http import Answer
from ingest.lifting import ADDRESS_MAX, inner, text
from ingest.rules import Context, Parsed
from schema.errors import InvalidEvent
from schema.event import Event

_CALLS = {"track": "t", "page": "p", "identify": "i", "group": "g", "alias": "a", "screen": "s"}
_EVENT_TYPES = {"page": "page_view", "screen": "page_view", "identify": "user_identify"}
_ENVELOPE = {"type", "event", "userId", "anonymousId", "messageId", "timestamp", "originalTimestamp", "sentAt"}
_ENVELOPE |= {"receivedAt", "writeKey", "integrations", "_metadata", "properties", "context"}
_CAMPAIGN = {"name": "campaign", "source": "source", "medium": "medium", "term": "term", "content": "content"}
_OK = 200, b'{"success":true}'


def named(scope: Scope, header: Headers, root: Any) -> dict[str, Any]:
    """The write key, wherever this SDK puts it."""
    return lifting.key_of(scope, header, root.get("writeKey") if isinstance(root, dict) else None)


def parse(call: str | None, root: Any, context: Context) -> Parsed:
    """Read each call of a body by itself. `call` is the route's own, which the body's may contradict."""
    batch = root.get("batch") if isinstance(root, dict) else root
    sent_at = root.get("sentAt") if isinstance(root, dict) else None
    shared = inner(root, "context") if isinstance(root, dict) and batch is not None else {}
    if batch is None and isinstance(root, dict) and (call or "type" in root):
        batch = [root]

    def read(item: Any, index: int) -> Event:
        if not isinstance(item, dict):
            raise InvalidEvent("invalid_field", "A call must be a JSON object.")
        return _event(item, index, item.get("type") or call, sent_at or item.get("sentAt"), shared, context)

    return read_each(lifting.items(batch), read, context)


def _event(
    item: dict[str, Any], index: int, call: Any, sent_at: Any, shared: dict[str, Any], context: Context
) -> Event:
    """`shared`: the batch's own context, which each call's adds to."""
    if not isinstance(call, str) or call not in _CALLS:
        raise InvalidEvent("unknown_type", f"type: one of {', '.join(_CALLS)}.")
    event_type = lifting.event_name(item.get("event")) if call == "track" else _EVENT_TYPES.get(call, call)
    about, properties = shared | inner(item, "context"), inner(item, "properties")
    rest = {name: value for name, value in item.items() if name not in _ENVELOPE and value not in (None, {})}
    client_time = item.get("timestamp") or item.get("originalTimestamp")
    fields = _page(call, about, properties)
    fields |= lifting.visitor(context, item.get("anonymousId"), item.get("userId"), rest)
    fields["session_id"] = lifting.session(context, about.get("sessionId"), fields)
    fields["user_agent"] = (text(about, "userAgent", ADDRESS_MAX) or "")[: lifting.TEXT_MAX] or None
    shown = inner(about, "screen")
    fields["screen"] = lifting.screen(shown.get("width"), shown.get("height"))
    fields |= lifting.known_fields(properties, context)
    content = {name: value for name, value in item.items() if name != "sentAt"}  # which each attempt says anew
    event_id = lifting.message_id(
        context, item.get("messageId"), lambda: rules.content_id(context, content, index, client_time), rest
    )
    at = rules.occurred_at(client_time, rules.skew(sent_at, context), context)
    kept = rest | ({"context": about} if about else {})
    return lifting.build(context, event_id, event_type, at, fields, properties, kept)


def _page(call: str, about: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    """Where it happened. A page says so in its properties, and mostly says it again in its context."""
    page, campaign = inner(about, "page"), inner(about, "campaign")
    if call == "page":
        for name in ("url", "path", "referrer"):
            if name in properties:
                page[name] = properties.pop(name)
    url, path = text(page, "url", ADDRESS_MAX), text(page, "path", ADDRESS_MAX)
    fields: dict[str, Any] = {"page_type": "screen"} if call == "screen" else {}
    fields["referrer"] = text(page, "referrer", ADDRESS_MAX)
    fields |= lifting.page_fields(url, path, {ours: text(campaign, theirs) for theirs, ours in _CAMPAIGN.items()})
    about["page"] = {name: value for name, value in page.items() if properties.get(name) != value}
    about["campaign"] = campaign
    for name in [name for name, value in about.items() if value in (None, {})]:
        del about[name]
    return fields


def answer(_: Done) -> Answer:
    """Exactly 200: the Python SDKs resend what was answered with any other status."""
    return _OK


def _route(call: str | None) -> Dialect:
    return Dialect(partial(parse, call), answer, named, sdk=True)


_BATCHES = ("/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch", "/api/s/batch", "/api/s/s2s/batch")
_CALLED = {call: (f"/v1/{call}", f"/v1/{short}") for call, short in _CALLS.items()}
_JITSU = {call: (f"/api/s/{call}", f"/api/s/s2s/{call}") for call in _CALLS}
_PATHS = [(path, None) for path in _BATCHES] + [
    (path, call) for call in _CALLS for path in (*_CALLED[call], *_JITSU[call])
]
ROUTES = {path + slash: _route(call) for path, call in _PATHS for slash in ("", "/")}
