"""What schemas cost the drain: events/s where every type has one, over the same where none has.

In: lanes filled over HTTP, in batches of ten, by turns. Out: the ratio. What holds: every event fits its schema, and is
stored.
"""

from __future__ import annotations

import json
import statistics

import psycopg

from bench.draining import CHUNK, fill_and_drain
from bench.measured import Measured
from bench.rounds import Scale, by_turns
from bench.servers import Servers, free_port, web
from schema import db, schemas
from schema.schemas import Marks
from schema.settings import Settings

_ID = {"type": "string", "format": "uuid"}
_SCHEMA = {
    "type": "object",
    "required": ["session_id", "anonymous_id", "page_url"],
    "properties": {
        "session_id": _ID,
        "anonymous_id": _ID,
        "page_url": {"type": "string", "maxLength": 4096},
        "trip_id": {"type": "integer", "minimum": 1},
        "position": {"type": "integer", "maximum": 100},
        "device_type": {"enum": ["mobile", "desktop"]},
        "metadata": {
            "type": "object",
            "properties": {"duration_seconds": {"type": "number"}, "countries": {"items": {"type": "integer"}}},
        },
    },
}


def measure(servers: Servers, scale: Scale) -> Measured:
    """A round is: fill and drain with schemas, and without."""
    with servers.fresh(port=free_port()) as settings, web(settings):
        _toggle(settings, on=True)
        fill_and_drain(settings, CHUNK)  # dictionaries, months and caches

        def drain(on: bool) -> float:
            _toggle(settings, on=on)
            return fill_and_drain(settings, scale.events)

        found = by_turns(scale.rounds, lambda: drain(True), lambda: drain(False))
        with psycopg.connect(settings.database_url) as connection:
            if connection.execute("SELECT count(*) FROM schema_warnings").fetchone() != (0,):
                raise RuntimeError("some events do not fit")
    return Measured(
        found.ratio,
        f"{statistics.median(found.ours):,.0f} events/s with a schema for every type",
        f"{statistics.median(found.reference):,.0f} events/s without any",
        found.details(),
    )


def _toggle(settings: Settings, *, on: bool) -> None:
    """Drains begin after this, and read what is there."""
    with db.connect(settings, "owner") as connection:
        connection.execute("DELETE FROM event_schemas")
        types = connection.execute("SELECT event_type FROM event_types WHERE event_type <> 'unregistered'").fetchall()
        for (event_type,) in types if on else []:
            schemas.add(connection, event_type, json.dumps(_SCHEMA), Marks())
