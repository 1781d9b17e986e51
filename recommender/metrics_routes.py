"""`GET /api/metrics` and what is below it. In: a read key, or this machine itself, and a span of days. Out: JSON in
camelCase; 401 without a right to the figures, 403 with a write key, 422 naming the parameter that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import FastAPI, Query, Request

from recommender import metrics
from recommender.metrics import DAYS_MAX, Daily, Metrics, Span, TopSearches
from schema import db, rights
from schema.days import Day
from schema.db import Connection
from schema.errors import InvalidRequest
from schema.settings import Settings

Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="The site's last so many days, today included.")]
Limit = Annotated[int, Query(ge=1, le=100, description="How many of each kind.")]
Clock = Callable[[], datetime]


def add_metrics_routes(app: FastAPI, settings: Settings, clock: Clock = lambda: datetime.now(UTC)) -> None:
    """The three routes. Who assembles the app says how wrong parameters are answered."""

    @app.get("/api/metrics", summary="How recommendations did over the last days (read key)")
    def summary(request: Request, days: Days = 7) -> Metrics:
        with _figures_of(request, settings) as (connection, site_id):
            return metrics.summary(connection, metrics.last_days(connection, site_id, days, clock()))

    @app.get("/api/metrics/daily", summary="The same, day by day (read key)")
    def daily(request: Request, start: Day | None = None, end: Day | None = None) -> Daily:
        with _figures_of(request, settings) as (connection, site_id):
            span = _between(metrics.last_days(connection, site_id, 7, clock()), start, end)
            return metrics.daily(connection, span)

    @app.get("/api/metrics/top-searches", summary="What visitors asked for most (read key)")
    def top_searches(request: Request, days: Days = 7, limit: Limit = 10) -> TopSearches:
        with _figures_of(request, settings) as (connection, site_id):
            span = metrics.last_days(connection, site_id, days, clock())
            return metrics.top_searches(connection, span, limit)


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
    return week.model_copy(update={"start": first, "end": last})
