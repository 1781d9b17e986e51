"""PostHog's capture API: a batch, a list of events, or one bare event; JSON, gzip, or either in base64 in a form.

In: the body's bytes. Out: canonical events; what is none is quarantined. $pageview and $screen become page_view,
$identify becomes user_identify, $create_alias alias, $groupidentify group, and an $autocapture of a click becomes
click; all other events are named as they were.

Who it was: with a $device_id that is the anonymous id, and a distinct_id unlike it the claimed user. Without one, as
servers send, distinct_id is the claimed user, unless the event says that it stands for no person.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote

from starlette.types import Scope

from ingest import lifting, rules
from ingest.body import GZIP, gunzip
from ingest.dialect import Dialect, Done, Headers, read_each
from ingest.endpoint import decode
from ingest.http import Answer, encode
from ingest.lifting import ADDRESS_MAX, inner, text
from ingest.rules import Context, Parsed
from schema.errors import InvalidBody, InvalidEvent
from schema.event import Event

_EVENT_TYPES = {
    "$pageview": "page_view",
    "$screen": "page_view",
    "$identify": "user_identify",
    "$create_alias": "alias",
    "$groupidentify": "group",
}
_ENVELOPE = frozenset(
    ("event", "uuid", "distinct_id", "timestamp", "sent_at", "offset", "api_key", "token", "properties", "session_id")
)
_KEYS = ("api_key", "token")
_OF_SENDING = frozenset(("sent_at", "offset", *_KEYS))
_GUNZIPPED_MAX = 8 << 20  # as much as a body may have anyway
_CAMPAIGN = ("source", "medium", "campaign", "term", "content")
_OK = 200, b'{"status":1}'


def read(raw: bytes) -> Any:
    """The body as JSON values, also out of base64. Raises InvalidBody."""
    return decode(unwrap(raw))


def unwrap(raw: bytes) -> bytes:
    """The body as JSON, also out of base64, and of gzip in it. Raises InvalidBody."""
    if raw.lstrip()[:1] in (b"{", b"["):
        return raw
    given = unquote(raw[5:].decode("latin-1")) if raw.startswith(b"data=") else raw.decode("latin-1")
    given = given.strip().replace(" ", "+")  # which a form means by a plus
    try:
        found = base64.b64decode(given + "=" * (-len(given) % 4), validate=True)
        return gunzip(found, _GUNZIPPED_MAX) if found.startswith(GZIP) else found
    except (binascii.Error, ValueError):
        raise InvalidBody("The body is neither JSON nor JSON in base64.") from None


def named(scope: Scope, header: Headers, root: Any) -> dict[str, Any]:
    """The project's key, of the batch or of its first event."""
    found = _items(root)
    first = found[0] if isinstance(found, list) and found else None
    places = (root, first, first.get("properties") if isinstance(first, dict) else None)
    return lifting.key_of(scope, header, *(p.get(key) for p in places if isinstance(p, dict) for key in _KEYS))


def parse(root: Any, context: Context) -> Parsed:
    """Read each event by itself."""
    sent_at = (root.get("sent_at") or root.get("created_at")) if isinstance(root, dict) else None

    def read_one(item: Any, index: int) -> Event:
        if not isinstance(item, dict):
            raise InvalidEvent("invalid_field", "An event must be a JSON object.")
        return _event(item, index, sent_at or item.get("sent_at"), context)

    return read_each(lifting.items(_items(root)), read_one, context)


def _items(root: Any) -> Any:
    return root.get("batch", [root] if "event" in root else None) if isinstance(root, dict) else root


def _event(item: dict[str, Any], index: int, sent_at: Any, context: Context) -> Event:
    properties = {name: value for name, value in inner(item, "properties").items() if value is not None}
    rest = {name: value for name, value in item.items() if name not in _ENVELOPE and value not in (None, {})}
    name = lifting.event_name(item.get("event"))
    is_click = name == "$autocapture" and properties.get("$event_type") == "click"
    event_type = "click" if is_click else _EVENT_TYPES.get(name, name)
    if event_type != name:
        rest["event"] = name
    for key in _KEYS:
        properties.pop(key, None)
    fields = _visitor(item, properties, rest, context)
    given_session = item.get("session_id") or properties.get("$session_id")
    fields["session_id"] = lifting.session(context, given_session, fields)
    if str(fields["session_id"]) == given_session:
        properties.pop("$session_id", None)
    fields |= _page(properties) | lifting.known_fields(properties, context)
    said = item.get("timestamp") or properties.get("$time")
    client_time = said or _before(item.get("offset"), context)
    event_id = lifting.message_id(
        context, item.get("uuid"), lambda: rules.content_id(context, _content(item), index, said), rest
    )
    at = rules.occurred_at(client_time, rules.skew(sent_at, context), context)
    return lifting.build(context, event_id, event_type, at, fields, properties, rest)


def _visitor(
    item: dict[str, Any], properties: dict[str, Any], rest: dict[str, Any], context: Context
) -> dict[str, Any]:
    distinct = item.get("distinct_id") or properties.pop("distinct_id", None)
    device = properties.pop("$device_id", None) or properties.get("$anon_distinct_id")
    options = item.get("options")
    told = properties if "$process_person_profile" in properties or not isinstance(options, dict) else options
    if device is None and False in (told.get("$process_person_profile"), told.get("process_person_profile")):
        device = distinct
    if isinstance(distinct, str) and distinct.startswith("$"):  # $groupidentify's own, which is nobody
        rest["distinct_id"], distinct = distinct, None
    return lifting.visitor(context, device, None if distinct == device else distinct, rest)


def _page(properties: dict[str, Any]) -> dict[str, Any]:
    url, path = text(properties, "$current_url", ADDRESS_MAX), text(properties, "$pathname", ADDRESS_MAX)
    campaign = {name: text(properties, f"utm_{name}") for name in _CAMPAIGN}
    agent = text(properties, "$raw_user_agent", ADDRESS_MAX) or text(properties, "$user_agent", ADDRESS_MAX)
    kind = text(properties, "$device_type", 100)
    return {
        "referrer": text(properties, "$referrer", ADDRESS_MAX),
        "user_agent": agent and agent[: lifting.TEXT_MAX],
        "device_type": kind and kind.lower(),
        "screen": lifting.screen(properties.pop("$screen_width", None), properties.pop("$screen_height", None)),
    } | lifting.page_fields(url, path, campaign)


def _before(offset: Any, context: Context) -> float | None:
    """The time so many milliseconds before it was sent, which says nothing of which event it is."""
    fits = isinstance(offset, int | float) and 0 <= offset < 1e12
    return (context.received_at - offset * 1000) / 1000 if fits else None


def _content(item: dict[str, Any]) -> dict[str, Any]:
    """What is the same however often, and with whichever key, the event is sent."""
    properties = {name: value for name, value in inner(item, "properties").items() if name not in _KEYS}
    return {name: value for name, value in item.items() if name not in _OF_SENDING} | {"properties": properties}


def answer(_: Done) -> Answer:
    """Exactly 200: the Python SDK resends what was answered with any other status."""
    return _OK


def answer_each(done: Done) -> Answer:
    """The same by the uuid of every event, as the newer protocol wants it. What was quarantined is kept too, and sent
    again it would be no better."""
    return 200, encode({"results": {key: {"result": "ok"} for key in done.said}})


def say_each(root: Any, _parsed: Parsed) -> list[str]:
    """The uuids, as they were sent."""
    uuids = [item.get("uuid") for item in _items(root) if isinstance(item, dict)]
    return [uuid for uuid in uuids if isinstance(uuid, str)]


_LEGACY = Dialect(parse, answer, named, read, sdk=True, unwrap=unwrap)
_EACH = Dialect(parse, answer_each, named, read, sdk=True, unwrap=unwrap, say=say_each)
_PATHS = ("/batch", "/e", "/i/v0/e", "/capture", "/track")
ROUTES = {path + slash: _LEGACY for path in _PATHS for slash in ("", "/")} | {"/i/v1/analytics/events": _EACH}
