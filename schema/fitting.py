"""JSON Schemas of event types, compiled, and what they say of an event. In: schemas as text, canonical events. Out:
None for an event that fits, else a sentence that names the field and what is wrong with it.

A schema describes the whole event as an object: the fields that it has, by their canonical names, ids and times as text
(`format` is checked), and `metadata` with what is in it. Nothing is ever fetched for a schema: a `$ref` leads to
somewhere inside of it, or it is refused. Patterns are matched in linear time, so that no event can stall a drain.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
from msgspec.structs import astuple

from schema.errors import ConfigError
from schema.event import EVENT_FIELDS, Event

MISMATCH = "schema_mismatch"
_SHOWN_MAX, _LOOKED_AT_MAX = 3, 20
_TEXT_MAX = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode


def compiled(text: str | bytes) -> Any:
    """A validator. Raises ConfigError saying where the schema is none."""
    import jsonschema_rs  # 20 ms and 6 MB: only who has schemas pays for it

    try:
        schema = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"the schema is not valid JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ConfigError('a schema is a JSON object, like {"properties": {"trip_id": {"type": "integer"}}}')

    def compile_(**more: Any) -> Any:
        regex = jsonschema_rs.RegexOptions()
        return jsonschema_rs.validator_for(schema, offline=True, validate_formats=True, pattern_options=regex, **more)

    try:
        compile_()  # not jsonschema_rs.meta.validate, which fetches what `$schema` names
        return compile_(mask="the value")  # what was sent may be personal, and reasons are counted, shown and logged
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise ConfigError(f"this is no JSON Schema: {_of_schema(error)}") from None


def as_object(event: Event) -> dict[str, Any]:
    """The event as a schema sees it. By way of JSON, which took 1.8 µs where naming and converting took 3.1. Raises
    ValueError or msgspec's errors for what is no JSON."""
    fields = {name: value for name, value in zip(EVENT_FIELDS, astuple(event), strict=True) if value is not None}
    fields["occurred_at"] = _EPOCH + timedelta(microseconds=event.occurred_at)
    for name in ("metadata", "utm"):
        if name in fields:
            fields[name] = msgspec.Raw(fields[name].encode())
    found: dict[str, Any] = _decode(_encode(fields))
    return found


def misfit(validator: Any, event: Event) -> str | None:
    """What of the event does not fit, up to three things; None where all does. What cannot be read fits nothing:
    Postgres takes JSON that nests more deeply than this does."""
    try:
        seen = as_object(event)
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        return f"event: it cannot be read as JSON: {_shorten(str(error))}"
    try:
        if validator.is_valid(seen):
            return None
        wrong = sorted(_say(error) for error in islice(validator.iter_errors(seen), _LOOKED_AT_MAX))
    except ValueError as error:
        return f"event: it cannot be validated: {_shorten(str(error))}"
    more = f"; and {len(wrong) - _SHOWN_MAX} more" if len(wrong) > _SHOWN_MAX else ""
    return "; ".join(wrong[:_SHOWN_MAX]) + more


def _say(error: Any) -> str:
    """One thing that is wrong, after the field where it is."""
    path = [str(step) for step in error.instance_path]
    missing = getattr(error.kind, "property", None) if error.kind.name == "required" else None
    where = ".".join(path if missing is None else [*path, missing]) or "event"
    what = error.message if missing is None else "it is missing, and required"
    return f"{_shorten(where)}: {_shorten(what)}".replace("\0", "\ufffd")


def _shorten(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}…"


def _of_schema(error: Any) -> str:
    """The first line, and where in the schema it is."""
    message = str(getattr(error, "message", None) or error).strip().split("\n", 1)[0]
    where = ".".join(map(str, getattr(error, "instance_path", ())))
    return f"{where}: {message}" if where else message
