"""What every dialect applies to an event: times, addresses, the site's registry. In: decoded JSON values. Out: the
canonical value, or InvalidEvent with a code and a sentence that says what to change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_plus, urlsplit
from uuid import UUID

import msgspec

from ingest.rates import Charges
from schema import limits
from schema.errors import InvalidEvent
from schema.event import MICROSECOND, Event, Quarantined, derived_id, new_id
from schema.registry import Registry, SiteRule
from schema.settings import Settings

DAY = 86_400 * MICROSECOND
_FUTURE_MAX = 366 * DAY
_MILLISECONDS_FROM = 1e11  # as seconds that is the year 5138: a larger number can only be milliseconds
_UTM = re.compile(r"(?:^|&)(utm_(?:source|medium|campaign|term|content))=([^&]+)")


class Context(NamedTuple):
    """What a dialect may know besides the body. `received_at` in microseconds; `charges` pay for the events.
    `may_hold_nul`: whether the body has to be searched for U+0000."""

    site_id: str
    rule: SiteRule
    registry: Registry
    settings: Settings
    received_at: int
    charges: Charges = ()
    may_hold_nul: bool = True


class Rejection(NamedTuple):
    """One refused event: its place in the batch, a code, and what to change."""

    at: int
    code: str
    message: str
    event_type: str


class Parsed(NamedTuple):
    """What a dialect made of one body. A bad event is refused in the answer where clients read it, else quarantined."""

    events: list[Event]
    rejected: list[Rejection]
    quarantined: Sequence[Quarantined] = ()
    category: str | None = None


def content_id(context: Context, item: Any, index: int, client_time: Any) -> UUID:
    """The id of an event that came without one: of its content where the client sent a time, else a new one."""
    if client_time is None:
        return new_id(context.received_at)
    return derived_id(context.site_id, "content", limits.as_json(item, context.settings), str(index))


def with_unknown(wire: msgspec.Struct, item: dict[str, Any]) -> dict[str, Any]:
    """The metadata that came with an item, and whatever of it `wire` does not know."""
    known: dict[str, Any] = getattr(wire, "metadata", None) or {}
    unknown = sorted(item.keys() - set(wire.__struct_fields__))
    return known | {(name if name not in known else f"event.{name}"): item[name] for name in unknown}


def refused_type(event_type: Any, context: Context) -> str:
    """A refused event's type, for the count by reason; only known ones, so that a stranger cannot fill it."""
    known = isinstance(event_type, str) and event_type in context.registry.event_types
    return event_type if known else "unknown"


def instant(value: Any) -> int:
    """Microseconds since 1970 of an ISO 8601 text (without an offset: UTC) or a number (from 1e11 on milliseconds,
    below seconds). A leap second is the second before it. Raises InvalidEvent."""
    try:
        if type(value) is float and value >= _MILLISECONDS_FROM:  # what trackers send
            return round(value * 1_000)
        if isinstance(value, str):
            text = value.replace(":60", ":59", 1) if value[16:19] == ":60" else value
            moment = msgspec.convert(text, datetime)
            return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * MICROSECOND)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return round(value * (1_000 if abs(value) >= _MILLISECONDS_FROM else MICROSECOND))
    except (msgspec.ValidationError, ValueError, OverflowError):
        pass
    raise InvalidEvent(
        "invalid_time", "A time must be ISO 8601, like 2026-11-21T10:00:00Z, or a number of milliseconds."
    )


def skew(sent_at: Any, context: Context) -> int:
    """How far the client's clock runs ahead, in microseconds; 0 where it does not say or is close enough."""
    if sent_at is None:
        return 0
    try:
        ahead = instant(sent_at) - context.received_at
    except InvalidEvent:
        return 0
    return ahead if ahead > context.settings.clock_skew_seconds_max * MICROSECOND else 0


def occurred_at(client_time: Any, ahead: int, context: Context) -> int:
    """The event's one time: the client's, less its clock's lead, never after it was received. Raises InvalidEvent."""
    if client_time is None:
        return context.received_at
    at = instant(client_time) - ahead
    if context.received_at - DAY < at <= context.received_at:  # nearly always
        return at
    if at > context.received_at + _FUTURE_MAX:
        raise InvalidEvent("invalid_time", "The time lies more than a year in the future.")
    if at < context.received_at - context.settings.accept_window_days * DAY:
        raise InvalidEvent("too_old", f"The time lies more than {context.settings.accept_window_days} days back.")
    return min(at, context.received_at)


def check_type(event_type: str, source: str | None, context: Context) -> None:
    """Type and source must be registered, as a strict site wants it. Raises InvalidEvent."""
    limits.check_type(event_type, context.registry.event_types)
    if source is not None and source not in context.registry.sources:
        raise InvalidEvent("unknown_source", f"This site takes registered sources only, not {source!r}.")


def page(page_url: str | None, path: str | None) -> tuple[str | None, str | None]:
    """Path and UTM parameters (as JSON text) of a page's address; a given path wins."""
    if page_url is None:
        return path, None
    try:
        parts = urlsplit(page_url)
    except ValueError:
        return path, None
    utm = None
    if "utm_" in parts.query:  # %00 is decoded here, after refuse_nul has looked
        values = {name: unquote_plus(value) for name, value in _UTM.findall(parts.query)}
        found = {name: value for name, value in values.items() if "\0" not in value}
        utm = msgspec.json.encode(found).decode() if found else None
    return path if path is not None else parts.path or "/", utm


def may_hold_nul(raw: bytes) -> bool:
    """Whether a text in this body can hold U+0000: what is not JSON yet may hold anything."""
    return b"\\u0000" in raw or raw.lstrip()[:1] not in (b"{", b"[")
