"""Distinct visitors of any span of days. In: sketches of the daily tables. Out: an estimate with its error."""

from __future__ import annotations

from schema import sketch
from schema.db import Connection
from schema.spans import Span
from schema.sql import load

_SQL = load("figures")


def count(connection: Connection, span: Span) -> int:
    """Whoever sent any event."""
    rows = connection.execute(_SQL["visitors"], span.bounds).fetchall()
    return round(sketch.estimate(sketch.merge(one for (one,) in rows))) if rows else 0
