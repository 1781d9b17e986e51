"""Sessions of days. In: rows of daily_sessions. Out: how many, how long, how many of them bounced.

A bounce is a session with one page view and nothing else that its visitor did; what comes by itself (impressions,
scroll depth, dwell) changes nothing. A session that crosses midnight is one of both days, so that days add up; each day
tells of what lay in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from reports.intervals import BEGINS, first_days
from schema import histogram
from schema.answers import Figures, SpanAnswer
from schema.db import Connection
from schema.spans import Span, SpanQuery
from schema.sql import load

_SQL = load("figures")


class SessionsQuery(SpanQuery):
    """Days, and by what."""

    interval: Annotated[Literal["day", "week", "month"], Field(description="Weeks begin on Monday.")] = "day"


class Row(NamedTuple):
    """One day, or several of them from this one on."""

    date: date
    sessions: int
    bounces: int
    page_views: int
    events: int
    length_ms: int
    length_ms_histogram: Sequence[int]


class Seconds(Figures):
    """How long sessions were, from first to last event. The percentiles are within 4.5 % of the exact ones."""

    average: float | None
    p50: float | None
    p95: float | None


class Sessions(Figures):
    """What sessions were."""

    sessions: int
    bounces: int
    bounce_rate: float | None
    page_views_per_session: float | None
    events_per_session: float | None
    seconds: Seconds = Field(description="Of a session, from its first event of a day to its last")


class Bucket(Sessions):
    """One day, week or month. `date` is its first day of the span."""

    date: date


class SessionsOverTime(SpanAnswer):
    """The span as one, and each bucket of it, oldest first."""

    tables: ClassVar[tuple[str, ...]] = ("rows",)

    interval: str
    total: Sessions
    rows: list[Bucket]


def over_time(connection: Connection, span: Span, query: SessionsQuery) -> SessionsOverTime:
    """The whole answer."""
    days = read(connection, span)
    begins = BEGINS[query.interval]
    found: defaultdict[date, list[Row]] = defaultdict(list)
    for day in days:
        found[max(begins(day.date), span.start)].append(day)
    rows = [Bucket(date=first, **dict(of(found[first]))) for first in first_days(span, begins)]
    return SessionsOverTime(**span.head, interval=query.interval, total=of(days), rows=rows)


def read(connection: Connection, span: Span) -> list[Row]:
    """The span's days on which there were sessions."""
    return [Row._make(row) for row in connection.execute(_SQL["sessions"], span.bounds, binary=True)]


def of(rows: Sequence[Row]) -> Sessions:
    """The days together."""
    lengths = [row.length_ms_histogram for row in rows]
    merged = lengths[0] if len(lengths) == 1 else histogram.merge(lengths)
    count = sum(row.sessions for row in rows)
    bounces = sum(row.bounces for row in rows)
    length_ms = sum(row.length_ms for row in rows)
    return Sessions(
        sessions=count,
        bounces=bounces,
        bounce_rate=ratio(bounces, count),
        page_views_per_session=ratio(sum(row.page_views for row in rows), count),
        events_per_session=ratio(sum(row.events for row in rows), count),
        seconds=Seconds(
            average=_seconds(length_ms / count if count else None),
            p50=_seconds(histogram.percentile(merged, 0.5)),
            p95=_seconds(histogram.percentile(merged, 0.95)),
        ),
    )


def ratio(part: float, whole: float) -> float | None:
    """Null where there is nothing to divide by."""
    return round(part / whole, 6) if whole else None


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000, 3)
