"""What the SDKs of other vendors have in common: keys, and properties of which some are fields of ours.

In: decoded JSON values. Out: what fits, as the canonical event has it; the rest stays where it was, for the metadata.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from starlette.types import Scope

from ingest import rules
from ingest.dialect import Headers, as_id, kept_id
from ingest.dialects.native import NativeEvent
from ingest.rules import Context
from schema import limits
from schema.errors import InvalidBody, InvalidEvent, TooLarge
from schema.event import Event

ITEMS_MAX = 50_000  # of one body; 8 MiB could hold a million `{}`, each of which would be quarantined
TEXT_MAX = 500
ADDRESS_MAX = 4096
_NAME_MAX = 100
_OURS = (
    *("trip_id", "recommendation_request_id", "source", "position", "score", "device_type", "screen", "owner_code"),
    *("share_code", "contact_id", "click_target", "click_category", "page_type", "schema_version", "user_code"),
)
_HINTS = {name: hint for name, hint in get_type_hints(NativeEvent, include_extras=True).items() if name in _OURS}
_NUMBERS = ("trip_id", "position")  # which pages often send as text


def key_of(scope: Scope, header: Headers, *inside: Any) -> dict[str, Any]:
    """The write key, as the gate wants it: of Basic's user, the header X-Write-Key, the body, or the query.

    Jitsu's SDK wants keys like `key:secret` and sends them in the header; only the key says something to us. One that
    its sender masked (`key:***`) is taken only where there is no other, and is refused as what it is.
    """
    query = scope.get("query_string", b"").decode("latin-1")
    asked = [value for name, value in _pairs(query) if name in ("writeKey", "write_key", "api_key", "token")]
    given = [_basic_user(header), header.get(b"x-write-key", b"").partition(b":")[0].decode("latin-1"), *inside, *asked]
    keys = [key for key in given if isinstance(key, str) and key]
    return {"write_key": min(keys, key=lambda key: key.endswith("***"))} if keys else {}


def items(found: Any) -> list[Any]:
    """The events of a body. Raises InvalidBody, TooLarge."""
    if not isinstance(found, list):
        raise InvalidBody('The body is not a batch of events: send JSON like {"batch": [...]}.')
    if len(found) > ITEMS_MAX:
        raise TooLarge(f"The batch has {len(found)} events; at most {ITEMS_MAX} are accepted at once.")
    return found


def known_fields(properties: dict[str, Any], context: Context) -> dict[str, Any]:
    """Take out of `properties` what is a field of ours and fits; a source that a strict site does not know does not."""
    found: dict[str, Any] = {}
    for name in _HINTS.keys() & properties.keys():
        try:
            value = msgspec.convert(properties[name], _HINTS[name], strict=name not in _NUMBERS)
        except msgspec.ValidationError:
            continue
        if name == "source" and context.rule.strict and value not in context.registry.sources:
            continue
        found[name] = value
        del properties[name]
    code = found.pop("user_code", None)
    if code is not None and found.setdefault("owner_code", code) != code:
        properties["user_code"] = code
    return found


def text(values: dict[str, Any], name: str, most: int = TEXT_MAX) -> str | None:
    """Take a text out of `values` if it fits; one that is empty, or says that there is none, is gone."""
    value = values.get(name)
    if value is None or value in ("", "$direct"):
        values.pop(name, None)
        return None
    return values.pop(name) if isinstance(value, str) and len(value) <= most else None


def inner(outer: dict[str, Any], name: str) -> dict[str, Any]:
    """A copy of what `outer` holds under that name, to take things out of; of what is no object, that it was there."""
    value = outer.get(name)
    return dict(value) if isinstance(value, dict) else {} if value is None else {name: value}


def page_fields(url: str | None, path: str | None, campaign: dict[str, str | None]) -> dict[str, Any]:
    """Address, path and UTM parameters; those that the campaign names win."""
    path, utm = rules.page(url, path)
    said = {f"utm_{name}": value for name, value in campaign.items() if value is not None and "\0" not in value}
    if said:
        utm = msgspec.json.encode((msgspec.json.decode(utm) if utm else {}) | said).decode()
    return {"page_url": url, "path": path, "utm": utm}


def screen(width: Any, height: Any) -> str | None:
    """As the tracker sends it: 1280x720."""
    fits = type(width) is type(height) is int and 0 < width < 100_000 and 0 < height < 100_000
    return f"{width}x{height}" if fits else None


def visitor(context: Context, anonymous: Any, user: Any, rest: dict[str, Any]) -> dict[str, Any]:
    """Who it was; an anonymous id that is no UUID is kept in `rest`. Raises InvalidEvent."""
    anonymous_id = kept_id(context, "anonymous", "anonymous_id", anonymous, rest)
    if isinstance(user, int) and not isinstance(user, bool):
        user = str(user)
    if user is not None and (not isinstance(user, str) or len(user) > TEXT_MAX):
        raise InvalidEvent("invalid_field", f"The user id is a text of at most {TEXT_MAX} characters.")
    return {"anonymous_id": anonymous_id, "claimed_user": user or None}


def session(context: Context, given: Any, who: Mapping[str, Any]) -> UUID | None:
    """The session; one that is no UUID is one of this visitor's: RudderStack's is the millisecond it began in."""
    if not isinstance(given, str | int) or isinstance(given, bool):
        return None
    if isinstance(given, str) and len(given) == 36:
        return as_id(context, "session", given)
    return as_id(context, "session", f"{who['anonymous_id'] or who['claimed_user']} {given}") if given else None


def message_id(context: Context, given: Any, content: Callable[[], UUID], rest: dict[str, Any]) -> UUID:
    """The event's id; one that is no UUID is kept in `rest`. Without one, that of its content. Raises InvalidEvent."""
    return kept_id(context, "message", "message_id", given, rest) or content()


def event_name(value: Any) -> str:
    """The name of an event as its type. Raises InvalidEvent."""
    if not isinstance(value, str) or not 1 <= len(value) <= _NAME_MAX:
        raise InvalidEvent("invalid_field", f"event: a name is a text of 1 to {_NAME_MAX} characters.")
    return value


def build(
    context: Context, event_id: UUID, event_type: str, at: int, fields: dict[str, Any], *kept: dict[str, Any]
) -> Event:
    """The event, with all that was kept in its metadata; a name that was there already is said to be the event's own.

    Raises InvalidEvent."""
    if context.rule.strict:
        rules.check_type(event_type, fields.get("source"), context)
    metadata: dict[str, Any] = {}
    for values in kept:
        more = {name: value for name, value in values.items() if name not in metadata or metadata[name] != value}
        metadata |= {(f"event.{name}" if name in metadata else name): value for name, value in more.items()}
    return Event(
        event_id, event_type, at, **fields, metadata=limits.pack_metadata(event_type, metadata, context.settings)
    )


def _basic_user(header: Headers) -> str:
    scheme, _, value = header.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"basic":
        return ""
    try:
        return base64.b64decode(value).partition(b":")[0].decode("latin-1")
    except binascii.Error:
        return ""


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, max_num_fields=100)
    except ValueError:
        return []
