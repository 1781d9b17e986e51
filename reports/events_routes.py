"""`GET /api/stats/funnel`, `/retention` and `/events`: what has to follow single visitors. In: a read key, or this
machine itself, and what is asked. Out: JSON in camelCase or CSV, of funnels as of the last rollup, otherwise as of now;
304, 401, 403, 422 naming the parameter that is wrong or what to narrow, 503 while too many ask: they have half of the
connections and no more, so that eight of them do not hold up whoever looks at a page of figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response

from reports.asking import Clock, asked, now
from reports.cohorts import Retention, RetentionQuery, retention, weeks_to
from reports.event_query import EventQuery, Events, page
from reports.funnels import Funnel, FunnelQuery, funnel
from reports.stored import SECONDS_MAX, as_of_now
from schema.answers import DOCUMENTED, accepted, reply
from schema.db import Connection
from schema.errors import Busy
from schema.settings import Settings
from schema.spans import Span, SpanQuery

_WAIT_SECONDS_MAX = 5.0


def add_events_routes(app: FastAPI, settings: Settings, clock: Clock = now) -> list[Any]:
    """The routes. Who assembles the app says how wrong parameters are answered. Returns what a page that asks the same
    depends on, to wait for its turn among them."""

    in_turn = [_turns(max(settings.read_connections_max // 2, 1))]

    @contextmanager
    def stored(request: Request, query: SpanQuery) -> Iterator[tuple[Connection, Span]]:
        with asked(request, settings, query, clock(), statement_seconds_max=SECONDS_MAX) as (connection, span):
            yield connection, as_of_now(connection, span)

    @app.get("/api/stats/funnel", response_model=Funnel, responses=DOCUMENTED, dependencies=in_turn,
             summary="How many went through ordered steps (read key)")  # fmt: skip
    def of_funnel(request: Request, query: Annotated[FunnelQuery, Query()]) -> Response:
        with asked(request, settings, query, clock(), statement_seconds_max=SECONDS_MAX) as (connection, span):
            return reply(request, funnel(connection, span, query), query.format, "funnel")

    @app.get("/api/stats/retention", response_model=Retention, responses=DOCUMENTED, dependencies=in_turn,
             summary="Who came back, week by week (read key)")  # fmt: skip
    def of_retention(request: Request, query: Annotated[RetentionQuery, Query()]) -> Response:
        with stored(request, query.day) as (connection, day):
            span = as_of_now(connection, weeks_to(connection, day, query.weeks))
            return reply(request, retention(connection, span), query.format, "retention")

    @app.get("/api/stats/events", response_model=Events, responses=DOCUMENTED, dependencies=in_turn,
             summary="Single events, newest first (read key)")  # fmt: skip
    def of_events(request: Request, query: Annotated[EventQuery, Query()]) -> Response:
        chosen = query.format or accepted(request.headers.get("accept", ""))
        with stored(request, query) as (connection, span):
            return reply(request, page(connection, span, query, as_text=chosen == "csv"), chosen, "events")

    return in_turn


def _turns(at_once: int) -> Any:
    """Lets in so many at once. Whoever waits holds no thread, and who waited for long is told to come back."""
    free = asyncio.Semaphore(at_once)

    async def turn() -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_WAIT_SECONDS_MAX):
                await free.acquire()
        except TimeoutError:
            raise Busy("Many such questions are being answered: ask again.", retry_after_seconds=5) from None
        try:
            yield
        finally:
            free.release()

    return Depends(turn, scope="function")
