"""The schema registry in Postgres: JSON Schemas of event types, in versions. In: a schema's text and its marks. Out:
its version, and what it refuses that the former one took.

Versions are only added, each in one transaction: what was in force stays in force until the next is whole. Drains see
it within a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg.rows import dict_row

from schema import fitting
from schema.db import Connection
from schema.errors import ConfigError
from schema.event import CATEGORIES, EVENT_FIELDS
from schema.sql import load
from schema.stricter import stricter, takes_nothing

_TYPE_MAX = 100
_SQL = load("schemas")


class Marks(NamedTuple):
    """What a type is, beside its shape; None leaves it as it is. `personal`: fields that hold personal data, with dots:
    metadata.phone."""

    category: str | None = None
    retention: str | None = None
    personal: Sequence[str] = ()


class Version(NamedTuple):
    """One version of a type's schema."""

    event_type: str
    version: int
    text: str
    personal: list[str]

    @property
    def schema(self) -> dict[str, Any]:
        """Decoded."""
        found: dict[str, Any] = msgspec.json.decode(self.text)
        return found


def versions(connection: Connection) -> list[Version]:
    """Every version of every type, oldest first."""
    return [Version(*row) for row in connection.execute(_SQL["schemas"])]


def newest(connection: Connection) -> dict[str, Version]:
    """Each type's newest."""
    return {one.event_type: one for one in versions(connection)}


def add(connection: Connection, event_type: str, text: str, marks: Marks) -> tuple[int, list[str]]:
    """Add the type's next version; an unknown type is registered with it. Returns the version, and why events that
    fitted the former one may not fit this one. Raises ConfigError, and then nothing was changed."""
    fitting.compiled(text)
    schema = msgspec.json.decode(text)
    _check_type(event_type)
    if takes_nothing(schema):
        raise ConfigError("no event at all would fit this schema")
    _check_closed(schema)
    for path in marks.personal:
        _check_described(schema, path)
    with connection.transaction():
        _register(connection, event_type, marks)
        before = newest(connection).get(event_type)
        values = {"event_type": event_type, "json_schema": text, "personal_data": list(marks.personal)}
        try:
            ((version,),) = connection.execute(_SQL["add_schema"], values)
        except psycopg.errors.UniqueViolation:
            raise ConfigError(f"another schema of {event_type} was added at the same time: look at it first") from None
        except psycopg.errors.DataError as error:
            raise ConfigError(f"Postgres refuses the schema: {error.diag.message_primary}") from None
    return version, stricter(before.schema, schema) if before else []


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Types that have a schema."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["list_schemas"]).fetchall()


def _check_type(event_type: str) -> None:
    if not 0 < len(event_type) <= _TYPE_MAX or "\0" in event_type:
        raise ConfigError(f"an event type has 1 to {_TYPE_MAX} characters")
    if event_type == "unregistered":
        raise ConfigError("unregistered stands for types that are not known; it has no schema of its own")


def _register(connection: Connection, event_type: str, marks: Marks) -> None:
    if marks.category not in (None, *CATEGORIES):
        raise ConfigError(f"{marks.category!r} is no category: {', '.join(CATEGORIES)}")
    known = connection.execute(_SQL["event_type"], {"event_type": event_type}).fetchone()
    if known and marks.category not in (None, known[0]):
        raise ConfigError(f"{event_type} is of the category {known[0]}, under which its events lie: it cannot change")
    values = {"event_type": event_type, "category": marks.category, "retention": marks.retention}
    try:
        connection.execute(_SQL["register_schema_type"], values)
    except psycopg.errors.DataError:
        raise ConfigError(f"{marks.retention!r} is no length of time: say it like '2 years' or '90 days'") from None


def _check_closed(schema: Mapping[str, Any]) -> None:
    """Every event has fields that authors do not think of: a closed top level would refuse each of them."""
    named = schema.get("properties", {}).keys()
    if schema.get("additionalProperties") is False and (missing := {"event_id", "event_type", "occurred_at"} - named):
        raise ConfigError(
            f"additionalProperties is false at the top, but properties lack {', '.join(sorted(missing))}, which every "
            "event has: none would fit. Close metadata instead"
        )


def _check_described(schema: Mapping[str, Any], path: str) -> None:
    """A mark on a field that nobody describes protects nothing."""
    first, *rest = path.split(".")
    if first not in EVENT_FIELDS:
        raise ConfigError(f"personal data: events have no field {first!r}; what is in metadata is named metadata.phone")
    found: Any = schema.get("properties", {}).get(first, {})
    for step in rest:
        found = found.get("properties", {}).get(step) if isinstance(found, Mapping) else None
        if found is None:
            raise ConfigError(f"personal data: the schema describes no {path}, under properties")
