"""`GET /api/metrics` and what is below it. In: a read key, or this machine itself, and a span of days. Out: JSON in
camelCase; 401 without a right to the figures, 422 naming the parameter that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import FastAPI, Query, Request

from recommender import metrics
from recommender.metrics import DAYS_MAX, Daily, Metrics, Span, TopSearches
from schema import db, sites
from schema.days import Day
from schema.db import Connection
from schema.errors import InvalidRequest, Unauthorized
from schema.local import is_local, names_this_machine
from schema.settings import Settings

Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="The site's last so many days, today included.")]
Limit = Annotated[int, Query(ge=1, le=100, description="How many of each kind.")]
Clock = Callable[[], datetime]
_DEFAULT_SITE = "default"
_NO_KEY = "This needs a read key: send it as Authorization: Bearer KEY, or as x-read-key."


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


def site_of(request: Request, settings: Settings) -> str:
    """The site whose figures the request may see: its read key's, or, for this machine without a key and asked for by
    a loopback name, the default one. Raises Unauthorized."""
    key = _key_in(request)
    if key is not None:
        with db.connect(settings) as connection:  # the reader sees no keys
            site_id = sites.of_read_key(connection, key)
        if site_id is None:
            raise Unauthorized
        return site_id
    names = {name for name, _ in request.headers.raw}
    named = names_this_machine(request.headers.get("host", ""))
    if request.client is None or not named or not is_local(request.client.host, names):
        raise Unauthorized(_NO_KEY)
    return _DEFAULT_SITE


@contextmanager
def _figures_of(request: Request, settings: Settings) -> Iterator[tuple[Connection, str]]:
    with db.wrapped():
        site_id = site_of(request, settings)
        with db.connect(settings, "tripstream_reader") as connection:
            yield connection, site_id


def _key_in(request: Request) -> str | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return request.headers.get("x-read-key") or request.headers.get("apikey")


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
