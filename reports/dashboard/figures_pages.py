"""The dashboard's pages about days. In: requests. Out: figures as pages; what is wrong with a parameter, on a page."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from reports.dashboard import funnel, overview, retention, searches, sources, trips
from reports.dashboard.pages import figures
from reports.dashboard.recommended import Recommended
from reports.stored import SECONDS_MAX
from schema.settings import Settings
from schema.spans import SpanQuery


def add_figures_pages(app: FastAPI, settings: Settings, recommended: Recommended, in_turn: list[Any]) -> None:
    """The routes. `in_turn`: what those depend on that follow single visitors."""
    of_trips, of_searches = partial(trips.ask, recommended), partial(searches.ask, recommended)

    @app.get("/dashboard", include_in_schema=False)
    def at_a_glance(request: Request) -> Response:
        return figures(request, settings, "overview.html", SpanQuery, overview.ask)

    @app.get("/dashboard/trips", include_in_schema=False)
    def trips_page(request: Request) -> Response:
        return figures(request, settings, "trips.html", trips.TripsPage, of_trips)

    @app.get("/dashboard/searches", include_in_schema=False)
    def searches_page(request: Request) -> Response:
        return figures(request, settings, "searches.html", searches.SearchesQuery, of_searches)

    @app.get("/dashboard/pages", include_in_schema=False)
    def sources_page(request: Request) -> Response:
        return figures(request, settings, "sources.html", sources.SourcesQuery, sources.ask)

    @app.get("/dashboard/funnel", include_in_schema=False, dependencies=in_turn)
    def funnel_page(request: Request) -> Response:
        return figures(request, settings, "funnel.html", funnel.FunnelPage, funnel.ask, SECONDS_MAX)

    @app.get("/dashboard/retention", include_in_schema=False, dependencies=in_turn)
    def retention_page(request: Request) -> Response:
        return retention.answer(request, settings)
