"""`GET /api/stats/…`: a site's figures. In: a read key, or this machine itself, and which days. Out: JSON in camelCase
or CSV; 304, 401, 403, and 422 naming the parameter that is wrong.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request, Response

from reports.asking import Clock, asked, now
from reports.overview import Overview, overview
from schema.answers import DOCUMENTED, reply
from schema.settings import Settings
from schema.spans import SpanQuery


def add_figures_routes(app: FastAPI, settings: Settings, clock: Clock = now) -> None:
    """The routes. Who assembles the app says how wrong parameters are answered."""

    @app.get("/api/stats/overview", response_model=Overview, responses=DOCUMENTED,
             summary="A site at a glance, beside the days before (read key)")  # fmt: skip
    def of_overview(request: Request, query: Annotated[SpanQuery, Query()]) -> Response:
        with asked(request, settings, query, clock()) as (connection, span):
            return reply(request, overview(connection, span), query.format, "overview")
