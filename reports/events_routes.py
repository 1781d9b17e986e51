"""`GET /api/stats/funnel`, `/retention` and `/events`: what has to follow single visitors. In: a read key, or this
machine itself, and what is asked. Out: JSON in camelCase or CSV, as of now; 304, 401, 403, 422 naming the parameter
that is wrong or what to narrow, 503 while too many ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response

from reports.asking import Clock, asked, now
from reports.cohorts import Retention, RetentionQuery, retention, weeks_to
from reports.event_query import EventQuery, Events, page
from reports.funnels import Funnel, FunnelQuery, funnel
from reports.stored import SECONDS_MAX, as_of_now
from schema.answers import DOCUMENTED, accepted, reply
from schema.db import Connection
from schema.settings import Settings
from schema.spans import Span, SpanQuery


def add_events_routes(app: FastAPI, settings: Settings, clock: Clock = now) -> None:
    """The routes. Who assembles the app says how wrong parameters are answered."""

    @contextmanager
    def stored(request: Request, query: SpanQuery) -> Iterator[tuple[Connection, Span]]:
        with asked(request, settings, query, clock(), statement_seconds_max=SECONDS_MAX) as (connection, span):
            yield connection, as_of_now(connection, span)

    @app.get("/api/stats/funnel", response_model=Funnel, responses=DOCUMENTED,
             summary="How many went through ordered steps (read key)")  # fmt: skip
    def of_funnel(request: Request, query: Annotated[FunnelQuery, Query()]) -> Response:
        with stored(request, query) as (connection, span):
            return reply(request, funnel(connection, span, query), query.format, "funnel")

    @app.get("/api/stats/retention", response_model=Retention, responses=DOCUMENTED,
             summary="Who came back, week by week (read key)")  # fmt: skip
    def of_retention(request: Request, query: Annotated[RetentionQuery, Query()]) -> Response:
        with stored(request, query.day) as (connection, day):
            span = as_of_now(connection, weeks_to(connection, day, query.weeks))
            return reply(request, retention(connection, span), query.format, "retention")

    @app.get("/api/stats/events", response_model=Events, responses=DOCUMENTED,
             summary="Single events, newest first (read key)")  # fmt: skip
    def of_events(request: Request, query: Annotated[EventQuery, Query()]) -> Response:
        chosen = query.format or accepted(request.headers.get("accept", ""))
        with stored(request, query) as (connection, span):
            return reply(request, page(connection, span, query, as_text=chosen == "csv"), chosen, "events")
