"""Distinct visitors of any span of days, and what types of events they sent. In: sketches of days and weeks. Out:
estimates with their error.

Sketches are united, so that who came on several days or did several things counts once. Their estimates are exact to a
visitor or so up to some hundreds, and beyond have a standard error of 1.6 %.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar

from reports.listing import Types
from schema import sketch
from schema.answers import Figures, SpanAnswer
from schema.db import Connection
from schema.errors import InvalidRequest
from schema.spans import Span
from schema.sql import load

_SQL = load("figures")


class Estimate(Figures):
    """How many, and between which bounds they are in 95 of 100 cases."""

    visitors: int
    low: int
    high: int


class Visitors(SpanAnswer, Estimate):
    """Who sent any event, or one of these types."""

    types: list[str] | None


class TypeTotals(Figures):
    """One type of events. A session that crosses midnight is one of both days."""

    type: str
    events: int
    sessions: int
    visitors: int


class TypesTotals(SpanAnswer):
    """What events there were, the most frequent type first."""

    tables: ClassVar[tuple[str, ...]] = ("rows",)

    rows: list[TypeTotals]


def visitors(connection: Connection, span: Span, types: Types = None) -> Visitors:
    """The whole span's."""
    refuse_unknown(connection, types)
    if types is None:
        found = [one for _, one in connection.execute(_SQL["visitors"], span.bounds, binary=True)]
    else:
        found = [seen for *_, seen in _parts(connection, span, types)]
    return Visitors(**span.head, **dict(estimate(found)), types=types)


def by_type(connection: Connection, span: Span, types: Types = None) -> TypesTotals:
    """One row a type."""
    refuse_unknown(connection, types)
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for name, *figures in _parts(connection, span, types):
        found[name].append(figures)
    rows = []
    for name, parts in found.items():
        events, sessions, seen = zip(*parts, strict=True)
        rows.append(TypeTotals(type=name, events=sum(events), sessions=sum(sessions), visitors=about(seen)))
    return TypesTotals(**span.head, rows=sorted(rows, key=lambda row: (-row.events, row.type)))


def _parts(connection: Connection, span: Span, types: Types) -> list[tuple[Any, ...]]:
    """Type, events, sessions and sketch of parts of the span."""
    return connection.execute(_SQL["spans_of_types"], span.bounds | {"types": types}, binary=True).fetchall()


def about(sketches: Sequence[bytes]) -> int:
    """Those of all sketches together, without bounds."""
    if not sketches:
        return 0
    return round(sketch.estimate(sketches[0] if len(sketches) == 1 else sketch.merge(sketches)))


def estimate(sketches: Sequence[bytes]) -> Estimate:
    """Those of all sketches together."""
    if not sketches:
        return Estimate(visitors=0, low=0, high=0)
    low, middle, high = sketch.bounds(sketches)
    return Estimate(visitors=round(middle), low=round(low), high=round(high))


def refuse_unknown(connection: Connection, types: Types) -> None:
    """A type that was never seen has no figures, and is rather misspelt. Raises InvalidRequest."""
    unknown = connection.execute(_SQL["unknown_types"], {"types": types}).fetchall() if types else []
    if unknown:
        raise InvalidRequest(fields=[("type", f"there is no event type {name}") for (name,) in unknown])
