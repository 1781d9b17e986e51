"""`GET /api/metrics` and what is below it. In: a read key, or this machine itself, and a span of days. Out: JSON in
camelCase, or CSV; 401 without a right to the figures, 403 with a write key, 422 naming the parameter that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request, Response

from recommender import metrics
from recommender.metrics import DAYS_MAX, Daily, Metrics, Positions, Span, TopSearches
from schema import db, rights
from schema.answers import DOCUMENTED, Format, reply
from schema.days import Day
from schema.db import Connection
from schema.errors import InvalidRequest
from schema.settings import Settings

DAYS_DEFAULT = 7
Days = Annotated[
    int | None, Query(ge=1, le=DAYS_MAX, description="The site's last so many days, today included. Without it: 7.")
]
Which = Callable[[Connection, str, datetime], Span]
Limit = Annotated[int, Query(ge=1, le=100, description="How many of each kind.")]
Chosen = Annotated[Format | None, Query(alias="format", description="csv, or json.")]
Clock = Callable[[], datetime]


def add_metrics_routes(app: FastAPI, settings: Settings, clock: Clock = lambda: datetime.now(UTC)) -> None:
    """The routes. Who assembles the app says how wrong parameters are answered."""

    @app.get("/api/metrics", response_model=Metrics, responses=DOCUMENTED,
             summary="How recommendations did over the last days (read key)")  # fmt: skip
    def summary(request: Request, span: Annotated[Which, Depends(_which)], chosen: Chosen = None) -> Response:
        with _figures_of(request, settings) as (connection, site_id):
            found = metrics.summary(connection, span(connection, site_id, clock()))
        return reply(request, found, chosen, "metrics")

    @app.get("/api/metrics/positions", response_model=Positions, responses=DOCUMENTED,
             summary="Click-through by the position where trips were shown (read key)")  # fmt: skip
    def positions(request: Request, span: Annotated[Which, Depends(_which)], chosen: Chosen = None) -> Response:
        with _figures_of(request, settings) as (connection, site_id):
            found = metrics.positions(connection, span(connection, site_id, clock()))
        return reply(request, found, chosen, "metrics-positions")

    @app.get("/api/metrics/daily", response_model=Daily, responses=DOCUMENTED,
             summary="The same, day by day (read key)")  # fmt: skip
    def daily(request: Request, start: Day | None = None, end: Day | None = None, chosen: Chosen = None) -> Response:
        with _figures_of(request, settings) as (connection, site_id):
            span = _between(metrics.last_days(connection, site_id, 7, clock()), start, end)
            found = metrics.daily(connection, span)
        return reply(request, found, chosen, "metrics-daily")

    @app.get("/api/metrics/top-searches", response_model=TopSearches, responses=DOCUMENTED,
             summary="What visitors asked for most (read key)")  # fmt: skip
    def top_searches(
        request: Request, span: Annotated[Which, Depends(_which)], limit: Limit = 10, chosen: Chosen = None
    ) -> Response:
        with _figures_of(request, settings) as (connection, site_id):
            found = metrics.top_searches(connection, span(connection, site_id, clock()), limit)
        return reply(request, found, chosen, "top-searches")


def _which(days: Days = None, start: Day | None = None, end: Day | None = None) -> Which:
    """Which days are meant: the last so many, or those from start to end. Raises InvalidRequest for both at once."""
    if days is not None and (start or end):
        raise InvalidRequest(fields=[("days", "start and end say which days: leave out days, or both of them")])

    def span(connection: Connection, site_id: str, at: datetime) -> Span:
        last = metrics.last_days(connection, site_id, days or DAYS_DEFAULT, at)
        return _between(last, start, end) if start or end else last

    return span


@contextmanager
def _figures_of(request: Request, settings: Settings) -> Iterator[tuple[Connection, str]]:
    with db.wrapped():
        scope = rights.whole_site_of(settings, request)
        with db.reading(settings, scope) as connection:
            yield connection, scope.site_id


def _between(week: Span, start: date | None, end: date | None) -> Span:
    """The span asked for; where a bound is missing, a week from or up to the other one, or the last week. Raises
    InvalidRequest."""
    try:
        last = end or (week.end if start is None else min(start + timedelta(days=6), max(week.end, start)))
        first = start or last - timedelta(days=6)
    except OverflowError:
        first, last, wrong = date.max, date.min, "this lies at the end of all calendars"
    else:
        wrong = "start lies after end" if first > last else f"a span has at most {DAYS_MAX} days"
    if not 0 <= (last - first).days < DAYS_MAX:
        raise InvalidRequest(fields=[("start" if start else "end", wrong)])
    return week._replace(start=first, end=last)
