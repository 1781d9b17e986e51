"""How recommendations do. In: a site's days of recommendation_daily. Out: totals, rates and percentiles of any span.

Percentiles come from the days' histograms added up, never from the days' own percentiles: each is within a factor of
2^(1/16), 4.5 %, of the exact nearest-rank one. Unique sessions come from sketches: a standard error of 1.6 %. A rate of
nothing is null. An event counts on its own day, a request on its own: a click after midnight is the next day's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import zip_longest
from typing import Any, ClassVar, NamedTuple

from psycopg.rows import dict_row
from pydantic import Field

from recommender.preferences import FILTERS
from schema import answers, histogram, sketch, spans
from schema.answers import SpanAnswer
from schema.db import Connection
from schema.sql import load

_SQL = load("requests")
DAYS_MAX = 90
KINDS = ("continents", "types", "themes", "countries")
_SUMS = (
    *("requests", "relaxed_requests", "empty_requests", "low_score_requests", "response_us_sum", "top_score_sum"),
    *("top_score_count", "impressions", "clicks", "contacts", "bookings"),
)


class ResponseTime(answers.Figures):
    """Milliseconds from when the request's body was read to when its trips are known; sending them is not in it."""

    avg: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class Use(answers.Figures):
    """How many requests used a filter, and their share."""

    requests: int
    rate: float | None


class Position(answers.Figures):
    """What happened at one displayed position, counted from 1; the last, 50, holds all beyond it."""

    position: int
    impressions: int
    clicks: int
    click_through_rate: float | None


class Figures(answers.Figures):
    """One span of days."""

    requests: int
    unique_sessions: int
    response_time_ms: ResponseTime
    average_top_score: float | None
    relaxed_rate: float | None
    no_result_rate: float | None
    low_score_rate: float | None
    filters: dict[str, Use]
    impressions: int
    clicks: int
    click_through_rate: float | None
    positions: list[Position]
    contacts: int
    bookings: int = Field(description="Bookings begun (booking_start), completed or not")
    contacts_per_request: float | None
    bookings_per_request: float | None


class Day(Figures):
    """One day."""

    date: date


class Span(NamedTuple):
    """Whose days, and which, both included."""

    site_id: str
    time_zone: str
    start: date
    end: date


class Metrics(SpanAnswer, Figures):
    """All days of a span together."""


class Positions(SpanAnswer):
    """The positions of a span, a row each."""

    tables: ClassVar[tuple[str, ...]] = ("positions",)

    positions: list[Position]


class Daily(SpanAnswer):
    """Every day of a span by itself, also those on which nothing happened."""

    tables: ClassVar[tuple[str, ...]] = ("days",)

    days: list[Day]


class Search(answers.Figures):
    """One thing asked for; names are null where the catalogue has none."""

    id: str | int
    name_en: str | None
    name_he: str | None
    requests: int


class TopSearches(SpanAnswer):
    """What was asked for in most requests."""

    tables: ClassVar[tuple[str, ...]] = KINDS

    continents: list[Search]
    types: list[Search]
    themes: list[Search]
    countries: list[Search]


def last_days(connection: Connection, site_id: str, days: int, at: datetime) -> Span:
    """The site's last so many days, the one that `at` lies in included. Raises NotFound."""
    site = spans.site(connection, site_id, at)
    return Span(site_id, site.time_zone, site.today - timedelta(days=days - 1), site.today)


def summary(connection: Connection, span: Span) -> Metrics:
    """The span as one."""
    return Metrics(**_head(connection, span), **dict(figures(_rows(connection, span))))


def positions(connection: Connection, span: Span) -> Positions:
    """What was shown and clicked where, from the first position to the last one at which anything was."""
    return Positions(**_head(connection, span), positions=_positions(_rows(connection, span)))


def daily(connection: Connection, span: Span) -> Daily:
    """The span day by day."""
    by_date = {row["date"]: row for row in _rows(connection, span)}
    dates = [span.start + timedelta(days=n) for n in range((span.end - span.start).days + 1)]
    found = [Day(date=on, **dict(figures([by_date[on]] if on in by_date else []))) for on in dates]
    return Daily(**_head(connection, span), days=found)


def top_searches(connection: Connection, span: Span, limit: int) -> TopSearches:
    """What the span's visitors asked for most, at most `limit` of each kind."""
    found: dict[str, list[Search]] = {kind: [] for kind in KINDS}
    for kind, wanted, name_en, name_he, asked in connection.execute(_SQL["top_searches"], _bounds(span, limit=limit)):
        known_by = int(wanted) if kind in ("types", "themes") and wanted.isdigit() else wanted
        found[kind].append(Search(id=known_by, name_en=name_en, name_he=name_he, requests=asked))
    return TopSearches(**_head(connection, span), **found)


def _head(connection: Connection, span: Span) -> dict[str, Any]:
    """What an answer says of its span."""
    ((as_of, is_moving),) = connection.execute(_SQL["freshness"], _bounds(span)).fetchall()
    return {**span._asdict(), "as_of": as_of, "is_moving": is_moving}


def figures(days: Sequence[dict[str, Any]]) -> Figures:
    """What rows of recommendation_daily add up to."""
    sums = {name: sum(day[name] for day in days) for name in _SUMS}
    asked = sums["requests"]
    return Figures(
        requests=asked,
        unique_sessions=round(sketch.estimate(sketch.merge(day["sessions"] for day in days))) if days else 0,
        response_time_ms=_response_time(days, asked, sums["response_us_sum"]),
        average_top_score=_ratio(sums["top_score_sum"], sums["top_score_count"]),
        relaxed_rate=_ratio(sums["relaxed_requests"], asked),
        no_result_rate=_ratio(sums["empty_requests"], asked),
        low_score_rate=_ratio(sums["low_score_requests"], asked),
        filters=_used(days, asked),
        impressions=sums["impressions"],
        clicks=sums["clicks"],
        click_through_rate=_ratio(sums["clicks"], sums["impressions"]),
        positions=_positions(days),
        contacts=sums["contacts"],
        bookings=sums["bookings"],
        contacts_per_request=_ratio(sums["contacts"], asked),
        bookings_per_request=_ratio(sums["bookings"], asked),
    )


def _response_time(days: Sequence[dict[str, Any]], asked: int, total_us: int) -> ResponseTime:
    merged = histogram.merge(day["response_us_histogram"] for day in days)
    largest = max((day["response_us_max"] for day in days if day["requests"]), default=None)

    def at(share: float) -> float | None:
        found = histogram.percentile(merged, share)
        return None if found is None or largest is None else round(min(found, largest) / 1000, 3)

    average = None if not asked else round(total_us / asked / 1000, 3)
    most = None if largest is None else largest / 1000
    return ResponseTime(avg=average, p50=at(0.5), p95=at(0.95), p99=at(0.99), max=most)


def _used(days: Sequence[dict[str, Any]], asked: int) -> dict[str, Use]:
    used: Counter[str] = Counter(dict.fromkeys(FILTERS, 0))
    for day in days:
        used.update(day["used"])
    return {name: Use(requests=count, rate=_ratio(count, asked)) for name, count in used.items()}


def _positions(days: Sequence[dict[str, Any]]) -> list[Position]:
    found = []
    for place, pairs in enumerate(zip_longest(*(day["by_position"] for day in days), fillvalue=(0, 0)), 1):
        impressions, clicks = map(sum, zip(*pairs, strict=True))
        rate = _ratio(clicks, impressions)
        found.append(Position(position=place, impressions=impressions, clicks=clicks, click_through_rate=rate))
    return found


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole else None


def _bounds(span: Span, **more: int) -> dict[str, Any]:
    return {"site_id": span.site_id, "first": span.start, "last": span.end, **more}


def _rows(connection: Connection, span: Span) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["days_between"], _bounds(span)).fetchall()
