"""Which events fit the schema of their type. In: the registry's schemas, and events. Out: what is wrong with one.

The compiled schemas live as long as their drain. At most once a second it asks whether any changed, in one small query;
an event whose type has no schema costs one look into a dictionary. Nothing is kept: after a crash it is read anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schema import fitting
from schema.db import Connection
from schema.errors import ConfigError
from schema.event import Event
from schema.sql import load

_SQL = load("schemas")
_ASK_SECONDS = 1.0
logger = logging.getLogger("tripstream.drain")


class Fits:
    """Every type's schemas by version, and the strict sites."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.types: dict[str, dict[int, Any]] = {}
        self.strict: frozenset[str] = frozenset()
        self._clock = clock
        self._ask_at = float("-inf")
        self._digest: str | None = None

    def refresh(self, connection: Connection) -> None:
        """Read the schemas again, if it is time to look and any changed."""
        if self._clock() < self._ask_at:
            return
        ((digest, strict),) = connection.execute(_SQL["schemas_digest"])
        if digest != self._digest:
            self.types = compile_all(connection.execute(_SQL["schemas"]).fetchall())
        self._digest, self.strict = digest, frozenset(strict)
        self._ask_at = self._clock() + _ASK_SECONDS

    def misfit(self, event: Event) -> str | None:
        """Why the event does not fit its version of its type's schema, or the newest where it names none; None where
        it does, or its type has no schema."""
        versions = self.types.get(event.event_type)
        if versions is None:
            return None
        version = event.schema_version or max(versions)
        if (validator := versions.get(version)) is None:
            there = ", ".join(map(str, versions))
            return f"{fitting.MISMATCH}: schema_version: {event.event_type} has no version {version}, but {there}"
        why = fitting.misfit(validator, event)
        return why and f"{fitting.MISMATCH}: {why} ({event.event_type}, version {version})"


def compile_all(rows: Sequence[tuple[Any, ...]]) -> dict[str, dict[int, Any]]:
    """Validators by type and version. One that is no schema, which only somebody's own SQL put there, holds for
    nothing: a drain must not stop for it."""
    found: dict[str, dict[int, Any]] = {}
    for event_type, version, text, *_ in rows:
        try:
            found.setdefault(event_type, {})[version] = fitting.compiled(text)
        except ConfigError as error:
            logger.error("a schema is left out", extra={"type": event_type, "version": version, "error": error.message})
    return {event_type: versions for event_type, versions in found.items() if versions}


Warned = Mapping[tuple[str, str], tuple[int, str]]
"""How many events of a site and type did not fit and were stored, and why the last one did not."""


def count_warnings(connection: Connection, lane: int, warned: Warned) -> None:
    """Add them to the lane's totals, in the transaction that stores them."""
    if warned:
        keys = sorted(warned)
        columns = {
            "lane": lane,
            "sites": [site_id for site_id, _ in keys],
            "types": [event_type for _, event_type in keys],
            "warnings": [warned[key][0] for key in keys],
            "reasons": [warned[key][1] for key in keys],
        }
        connection.execute(_SQL["count_warnings"], columns)
