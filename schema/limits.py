"""What an event's type, text and metadata may be, however it came. In: decoded JSON values. Out: the canonical value,
or InvalidEvent with a code and a sentence that says what to change.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from decimal import Decimal
from typing import Any

import msgspec

from schema import addresses
from schema.errors import InvalidEvent
from schema.settings import Settings

TOO_LARGE = "Metadata may have {} bytes as JSON."
TOO_DEEP = "Metadata may nest {} levels."
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_NO_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[^][{}"]+')
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # but not after an escaped backslash
_encode = msgspec.json.Encoder(decimal_format="number").encode  # what Postgres kept has decimals


def check_type(event_type: str, registered: Container[str]) -> None:
    """Raises InvalidEvent for a type that is not registered, as a strict site wants it."""
    if event_type not in registered:
        raise InvalidEvent("unknown_event_type", f"This site takes registered event types only, not {event_type!r}.")


def pack_metadata(event_type: str, metadata: dict[str, Any] | None, settings: Settings) -> str | None:
    """The metadata as JSON text. Raises InvalidEvent when it is too large, too deep, or a dwell without its time."""
    if event_type == "trip_dwell":
        _check_dwell((metadata or {}).get("duration_seconds"))
    if not metadata:
        return None
    raw = as_kept(metadata, settings)
    if len(raw) > settings.metadata_bytes_max:
        raise InvalidEvent("metadata_too_large", TOO_LARGE.format(settings.metadata_bytes_max))
    levels = settings.metadata_depth_max
    # Fewer brackets than levels allowed cannot be too deep: the closer look is for suspects only.
    if raw.count(b"{") + raw.count(b"[") > levels and is_deeper(raw, levels):
        raise InvalidEvent("metadata_too_deep", TOO_DEEP.format(levels))
    return raw.decode()


def as_json(value: Any, settings: Settings) -> bytes:
    """What was decoded, as JSON again. Raises InvalidEvent for what nests so deeply that it could be decoded only: both
    count Python's own frames too, and encoding is called from further inside."""
    try:
        return _encode(value)
    except RecursionError:
        raise InvalidEvent("metadata_too_deep", TOO_DEEP.format(settings.metadata_depth_max)) from None


def keep(metadata: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Put it there under its name; where that is taken, it is said to be the event's own."""
    metadata[f"event.{name}" if name in metadata else name] = value
    return metadata


def as_kept(value: Any, settings: Settings) -> bytes:
    """As JSON, with the addresses of visitors in it cut; in the value too. The one place where that is done."""
    raw = as_json(value, settings)
    return as_json(value, settings) if addresses.may_be_named(raw.decode()) and addresses.cut(value) else raw


def refuse_nul(values: Iterable[Any], *documents: str | None) -> None:
    """Raises InvalidEvent when a text among them, or one in the JSON documents, holds U+0000, which Postgres cannot
    store."""
    if any(holds_nul(text) for text in documents) or any(isinstance(value, str) and "\0" in value for value in values):
        raise InvalidEvent("nul_character", "Text may not hold the character U+0000.")


def holds_nul(json: str | None) -> bool:
    """Whether a text in this JSON holds U+0000."""
    return json is not None and "\\u0000" in json and _ESCAPED_NUL.search(json) is not None


def without_escaped_nul(json: str) -> str:
    """JSON text that jsonb can hold."""
    return _ESCAPED_NUL.sub(r"\1\\ufffd", json) if "\\u0000" in json else json


def is_deeper(raw: bytes, levels: int) -> bool:
    """Whether JSON text nests deeper than that. Each turn takes the innermost pairs away: a walk over the values of
    1 MiB stalled the process for half a second."""
    brackets = _NO_BRACKETS.sub(b"", raw).replace(b"{", b"[").replace(b"}", b"]")
    for _ in range(levels):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def told(error: msgspec.DecodeError) -> str:
    """What is wrong with which field."""
    what, _, where = str(error).partition(" - at ")
    field = where.strip("`").removeprefix("$").removeprefix(".")
    if missing := _MISSING.fullmatch(what):
        return f"{f'{field}.' if field else ''}{missing[1]}: is missing"
    return f"{field or 'event'}: {what}"


def _check_dwell(duration: Any) -> None:
    if isinstance(duration, bool) or not isinstance(duration, (int, float, Decimal)) or not 0 <= duration <= 1_000_000:
        raise InvalidEvent("invalid_field", "trip_dwell needs metadata.duration_seconds, a number of seconds from 0.")
