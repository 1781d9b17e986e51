"""`GET /api/stats/…`: a site's figures. In: a read key, or this machine itself, and which days. Out: JSON in camelCase
or CSV; 304, 401, 403, and 422 naming the parameter that is wrong. docs/figures.md says what each figure means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import FastAPI, Query, Request, Response

from reports import overview, owners, series, sessions, top, trips, visitors
from reports.asking import Clock, asked, now
from reports.listing import TypesQuery
from schema.answers import DOCUMENTED, SpanAnswer, reply
from schema.db import Connection
from schema.settings import Settings
from schema.spans import Span, SpanQuery

Q = TypeVar("Q", bound=SpanQuery)
Ask = Callable[[Connection, Span, Q], SpanAnswer]


def add_figures_routes(app: FastAPI, settings: Settings, clock: Clock = now) -> None:
    """The routes. Who assembles the app says how wrong parameters are answered."""

    def answer(request: Request, query: Q, ask: Ask[Q], *, by_owner: bool = False) -> Response:
        with asked(request, settings, query, clock(), by_owner=by_owner) as (connection, span):
            found = ask(connection, span, query)
        name = request.url.path.rpartition("/")[2]
        return reply(request, found, query.format, f"{name}-{span.site_id}-{span.start}-{span.end}")

    @app.get("/api/stats/overview", response_model=overview.Overview, responses=DOCUMENTED,
             summary="A site at a glance, beside the days before (read key)")  # fmt: skip
    def of_overview(request: Request, query: Annotated[SpanQuery, Query()]) -> Response:
        return answer(request, query, lambda connection, span, _: overview.overview(connection, span))

    @app.get("/api/stats/series", response_model=series.Series, responses=DOCUMENTED,
             summary="Events, sessions and visitors by hour, day, week or month (read key)")  # fmt: skip
    def of_series(request: Request, query: Annotated[series.SeriesQuery, Query()]) -> Response:
        return answer(request, query, series.series)

    @app.get("/api/stats/types", response_model=visitors.TypesTotals, responses=DOCUMENTED,
             summary="Totals of each type of events (read key)")  # fmt: skip
    def of_types(request: Request, query: Annotated[TypesQuery, Query()]) -> Response:
        return answer(request, query, lambda connection, span, _: visitors.by_type(connection, span, query.type))

    @app.get("/api/stats/visitors", response_model=visitors.Visitors, responses=DOCUMENTED,
             summary="Distinct visitors of any days, with the estimate's bounds (read key)")  # fmt: skip
    def of_visitors(request: Request, query: Annotated[TypesQuery, Query()]) -> Response:
        return answer(request, query, lambda connection, span, _: visitors.visitors(connection, span, query.type))

    @app.get("/api/stats/sessions", response_model=sessions.SessionsOverTime, responses=DOCUMENTED,
             summary="Sessions: how many, how long, how many bounced (read key)")  # fmt: skip
    def of_sessions(request: Request, query: Annotated[sessions.SessionsQuery, Query()]) -> Response:
        return answer(request, query, sessions.over_time)

    @app.get("/api/stats/top", response_model=top.Top, responses=DOCUMENTED,
             summary="Top paths, referrers, campaigns, devices, click targets, share codes (read key)")  # fmt: skip
    def of_top(request: Request, query: Annotated[top.TopQuery, Query()]) -> Response:
        return answer(request, query, top.top, by_owner=query.by in top.OWNED)

    @app.get("/api/stats/trips", response_model=trips.Trips, responses=DOCUMENTED,
             summary="Trips by impressions, click-through, saves, contacts, dwell (read key)")  # fmt: skip
    def of_trips(request: Request, query: Annotated[trips.TripsQuery, Query()]) -> Response:
        return answer(request, query, trips.trips)

    @app.get("/api/stats/owners", response_model=owners.Owners, responses=DOCUMENTED,
             summary="Visits by the owner of the page (read key, or its owner)")  # fmt: skip
    def of_owners(request: Request, query: Annotated[owners.OwnersQuery, Query()]) -> Response:
        return answer(request, query, owners.owners, by_owner=True)

    @app.get("/api/stats/groups", response_model=owners.Groups, responses=DOCUMENTED,
             summary="Visits by owner and share code (read key, or their owner)")  # fmt: skip
    def of_groups(request: Request, query: Annotated[owners.GroupsQuery, Query()]) -> Response:
        return answer(request, query, owners.groups, by_owner=True)
