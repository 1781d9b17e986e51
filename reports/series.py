"""Figures over time: by hour, day, week or month. In: the hourly and daily tables. Out: a row a bucket and type, also
where there was nothing.

Weeks begin on Monday; of a week or month that the span cuts only the days inside it count, and its row has the first
of them. Hours are UTC's, since a day of another zone may begin in the middle of one: the first and last are whole ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from reports import visitors
from reports.intervals import BEGINS, first_days
from reports.listing import TypesQuery
from schema.answers import Figures, SpanAnswer
from schema.db import Connection
from schema.errors import InvalidRequest
from schema.spans import Span
from schema.sql import load

HOURS_DAYS_MAX = 31
_CLOCK = [f"{hour:02}:{minute:02}" for hour in range(24) for minute in range(60)]
_SQL = load("figures")
Fields = dict[str, Any]


class SeriesQuery(TypesQuery):
    """Days, types, and by what."""

    interval: Annotated[
        Literal["hour", "day", "week", "month"], Field(description=f"hour: for at most {HOURS_DAYS_MAX} days.")
    ] = "day"


class Point(Figures):
    """One bucket. `date` is its first day of the span, or the day that an hour begins in; `hour` its time of day there,
    and `at` its moment."""

    date: date
    hour: str | None
    at: datetime | None
    type: str | None = Field(description="Null for all types together")
    events: int
    sessions: int | None = Field(description="Null for hours of all types together, which do not tell them apart")
    visitors: int


class Series(SpanAnswer):
    """Every bucket of the span, oldest first, and in it every type that was asked for."""

    tables: ClassVar[tuple[str, ...]] = ("rows",)

    interval: str
    rows: list[Point]


def series(connection: Connection, span: Span, query: SeriesQuery) -> Series:
    """The whole answer. Raises InvalidRequest."""
    if query.interval == "hour" and span.days > HOURS_DAYS_MAX:
        why = f"hours are answered for at most {HOURS_DAYS_MAX} days, not {span.days}: ask for day, or for fewer days"
        raise InvalidRequest(fields=[("interval", why)])
    rows = (_hours if query.interval == "hour" else _days)(connection, span, query)
    # Checked as a whole: 720 points one by one took twice as long.
    return Series.model_validate({**span.head, "interval": query.interval, "rows": rows})


def _days(connection: Connection, span: Span, query: SeriesQuery) -> list[Fields]:
    begins = BEGINS[query.interval]
    found: defaultdict[tuple[date, str | None], list[tuple[int, int, bytes]]] = defaultdict(list)
    for day, kind, *figures in _read(connection, span, query, "days", "days_of_types"):
        found[max(begins(day), span.start), kind].append((*figures,))
    points = []
    for first in first_days(span, begins):
        for kind in _kinds(query):
            events, sessions, seen = _together(found.get((first, kind), []))
            of = {"date": first, "hour": None, "at": None, "type": kind}
            points.append(of | {"events": events, "sessions": sessions, "visitors": seen})
    return points


def _hours(connection: Connection, span: Span, query: SeriesQuery) -> list[Fields]:
    """Of all types together, sessions are not told apart. A month's 720 points are made without a call each, in a third
    of the time."""
    found: dict[str | None, dict[int, tuple[int, int | None, int]]] = {kind: {} for kind in _kinds(query)}
    for place, kind, *figures in _read(connection, span, query, "hours", "hours_of_types"):
        found[kind][place] = (*figures,)
    nothing = (0, 0 if query.type else None, 0)
    points = []
    hours = connection.execute(_SQL["hours_between"], span.bounds, binary=True).fetchall()
    for place, (at, shown, last) in enumerate(hours):
        day = shown.date() if last is None else min(shown.date(), last)
        of_day = _CLOCK[60 * shown.hour + shown.minute]
        for kind, of_kind in found.items():
            events, sessions, seen = of_kind.get(place, nothing)
            points.append(
                {"date": day, "hour": of_day, "at": at, "type": kind, "events": events, "sessions": sessions,
                 "visitors": seen}
            )  # fmt: skip
    return points


def _kinds(query: SeriesQuery) -> Sequence[str | None]:
    return query.type or [None]


def _read(connection: Connection, span: Span, query: SeriesQuery, of_all: str, of_types: str) -> list[tuple[Any, ...]]:
    """Day or an hour's place, type, events, sessions, visitors. Raises InvalidRequest for a type that never was."""
    asked = {**span.bounds, "types": query.type}
    found = connection.execute(_SQL[of_types if query.type else of_all], asked, binary=True).fetchall()
    visitors.refuse_unknown(connection, [*{*(query.type or ())} - {row[1] for row in found}])
    return found


def _together(days: Sequence[tuple[int, int, bytes]]) -> tuple[int, int, int]:
    events, sessions, seen = zip(*days, strict=True) if days else ((), (), ())
    return sum(events), sum(sessions), visitors.about(seen)
