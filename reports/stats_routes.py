"""`GET /get-stats`: the figures of the single-event API. In: a site's id, perhaps a day, and the right to read. Out:
JSON, or CSV of the paths; 401 without that right, 404 for another site, 422 naming the parameter that is wrong.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request, Response

from reports.asking import Clock, now
from reports.stats import Stats, stats
from schema import db, rights
from schema.answers import DOCUMENTED, Format, reply
from schema.days import Day
from schema.errors import NotFound
from schema.settings import Settings

Wanted = Annotated[str, Query(min_length=1, description="Whose figures; the read key has to be its own.")]
Chosen = Annotated[Format | None, Query(alias="format", description="csv, or json.")]


def add_stats_routes(app: FastAPI, settings: Settings, clock: Clock = now) -> None:
    """The route."""

    @app.get("/get-stats", response_model=Stats, responses=DOCUMENTED,
             summary="Views, users and paths of a day, or of all time (read key)")  # fmt: skip
    def get_stats(request: Request, site_id: Wanted, date: Day | None = None, chosen: Chosen = None) -> Response:
        with db.wrapped():
            scope = rights.whole_site_of(settings, request)
            if scope.site_id != site_id:
                raise NotFound(f"There is no site {site_id} here that may be read so: send a read key of its own.")
            with db.reading(settings, scope) as connection:
                found = stats(connection, site_id, date, clock())
        return reply(request, found, chosen, f"paths-{site_id}-{date or 'ever'}")
