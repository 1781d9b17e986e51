"""One day of recommendations, added up. In: requests, and the events that speak of them. Out: a row's figures, the same
for the same rows, in any order.

Percentiles come from schema/histogram.py's buckets and sessions from sketches, so that days add up to any span.
"""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from schema import histogram, sketch
from schema.asked import LOW_SCORE
from schema.db import Connection
from schema.sql import load

_SQL = load("requests")
POSITIONS_MAX = 50
_ACTIONS = ("impressions", "clicks", "contacts", "bookings")


def figures(connection: Connection, bucket: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures of one site's day, in a list of one; none where nobody asked and nobody acted on an answer."""
    found = _asked(connection, bucket) | _answers(connection, bucket)
    return [found] if any(found[name] for name in ("requests", *_ACTIONS)) else []


def _asked(connection: Connection, bucket: dict[str, Any]) -> dict[str, Any]:
    """What the requests themselves say."""
    with connection.cursor(row_factory=dict_row) as cursor:
        (found,) = cursor.execute(_SQL["totals"], bucket | {"low_score": LOW_SCORE}).fetchall()
    times = connection.execute(_SQL["response_times"], bucket | {"edges": list(histogram.EDGES)}).fetchall()
    ((used,),) = connection.execute(_SQL["used"], bucket).fetchall()
    ((searches,),) = connection.execute(_SQL["searches"], bucket).fetchall()
    made = {"sessions": sketch.of(found["sessions"]), "response_us_histogram": histogram.of(times)}
    return found | made | {"used": Jsonb(used), "searches": Jsonb(searches)}


def _answers(connection: Connection, bucket: dict[str, Any]) -> dict[str, Any]:
    """What visitors did with the answers; impressions and clicks also by position, from the first to the last that has
    any."""
    rows = connection.execute(_SQL["answers"], bucket | {"positions": POSITIONS_MAX}).fetchall()
    totals = {name: sum(row[i] for row in rows) for i, name in enumerate(_ACTIONS, 1)}
    placed = {row[0]: [row[1], row[2]] for row in rows if row[0] is not None and (row[1] or row[2])}
    by_position = [placed.get(at, [0, 0]) for at in range(1, max(placed, default=0) + 1)]
    return totals | {"by_position": Jsonb(by_position)}
