"""Figures over time: by hour, day, week or month. In: the hourly and daily tables. Out: a row a bucket and type, also
where there was nothing.

Weeks begin on Monday; of a week or month that the span cuts only the days inside it count, and its row has the first
of them. Hours are UTC's, since a day of another zone may begin in the middle of one: the first and last are whole ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

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
_SQL = load("figures")
_TABLES = {  # by the hour? of single types?
    (False, False): "days",
    (False, True): "days_of_types",
    (True, False): "hours",
    (True, True): "hours_of_types",
}


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


class Bucket(NamedTuple):
    """Where a row belongs."""

    date: date
    at: datetime | None = None
    hour: str | None = None


class Row(NamedTuple):
    """One day (`date`) or hour (`at`) of the tables. `visitors` is a sketch; of an hour of all types it is a number."""

    date: date | None
    at: datetime | None
    type: str | None
    events: int
    sessions: int | None
    visitors: Any


def series(connection: Connection, span: Span, query: SeriesQuery) -> Series:
    """The whole answer. Raises InvalidRequest."""
    visitors.refuse_unknown(connection, query.type)
    hourly = query.interval == "hour"
    if hourly and span.days > HOURS_DAYS_MAX:
        why = f"hours are answered for at most {HOURS_DAYS_MAX} days, not {span.days}: ask for day, or for fewer days"
        raise InvalidRequest(fields=[("interval", why)])
    begins = BEGINS.get(query.interval, BEGINS["day"])
    asked = {**span.bounds, "types": query.type}
    found: defaultdict[tuple[date | datetime | None, str | None], list[Row]] = defaultdict(list)
    name = _TABLES[hourly, query.type is not None]
    for row in map(Row._make, connection.execute(_SQL[name], asked, binary=True).fetchall()):
        first = max(begins(row.date), span.start) if row.date else row.at
        found[first, row.type].append(row)
    buckets = _hours(connection, asked) if hourly else [Bucket(day) for day in first_days(span, begins)]
    wanted: Sequence[str | None] = query.type or [None]
    points = [_point(one, kind, found[one.at or one.date, kind]) for one in buckets for kind in wanted]
    return Series(**span.head, interval=query.interval, rows=points)


def _hours(connection: Connection, asked: dict[str, Any]) -> Iterator[Bucket]:
    return map(Bucket._make, connection.execute(_SQL["hours_between"], asked, binary=True).fetchall())


def _point(bucket: Bucket, kind: str | None, rows: list[Row]) -> Point:
    sessions = [row.sessions for row in rows]
    untold = bucket.at is not None and kind is None
    seen = [row.visitors for row in rows]
    return Point(
        date=bucket.date,
        at=bucket.at,
        hour=bucket.hour,
        type=kind,
        events=sum(row.events for row in rows),
        sessions=None if untold else sum(one or 0 for one in sessions),
        visitors=sum(seen) if untold else visitors.about(seen),
    )
