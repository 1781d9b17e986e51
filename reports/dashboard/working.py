"""The pages that people work with: live, health, try it. In: requests of browsers. Out: pages; what moves on them comes
from /api/live, /api/events/batch and /api/verdicts.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, NamedTuple

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from psycopg.rows import namedtuple_row

from reports.dashboard import health
from reports.dashboard.operating import Operating
from reports.dashboard.pages import page, told
from reports.dashboard.viewers import viewer
from schema import db, rights
from schema.settings import Settings
from schema.sql import load

MINUTES = 30
TripIds = Annotated[list[int], Query(max_length=100)]


class Title(NamedTuple):
    """What the catalogue says of a trip."""

    trip_id: int
    title_en: str | None
    title_he: str | None
    starts_on: date | None


def add_working(app: FastAPI, settings: Settings, operating: Operating) -> None:
    """The routes."""

    @app.get("/dashboard/live", include_in_schema=False)
    def live(request: Request) -> Response:
        with told(request) as answer:
            answer.response = page(request, "live.html", viewer=viewer(settings, request), minutes=MINUTES)
        return answer.response

    @app.get("/dashboard/titles", include_in_schema=False)
    def of_trips(request: Request, trip_id: TripIds) -> list[dict[str, Any]]:
        return [title._asdict() for title in titles(settings, request, trip_id)]

    @app.get("/dashboard/health", include_in_schema=False)
    def of_health(request: Request) -> Response:
        with told(request) as answer:
            found = health.ask(settings, operating, viewer(settings, request))
            answer.response = page(request, "health.html", **found)
        return answer.response

    @app.get("/dashboard/try", include_in_schema=False)
    def try_it(request: Request) -> Response:
        with told(request) as answer:
            seen = viewer(settings, request)
            answer.response = page(request, "try.html", viewer=seen, open_to=_open_to(settings, seen.site_id))
        return answer.response


def titles(settings: Settings, request: Request, trip_ids: list[int]) -> list[Title]:
    """Trips by their names, where the catalogue knows them. Raises Unauthorized, Forbidden, StorageError."""
    with db.wrapped():
        scope = rights.whole_site_of(settings, request)
        known = [trip for trip in trip_ids if 0 < trip < 1 << 63]
        with db.reading(settings, scope) as connection, connection.cursor(row_factory=namedtuple_row) as cursor:
            found = cursor.execute(load("figures")["titles"], {"trip_ids": known}).fetchall()
    return [Title(*row) for row in found]


def _open_to(settings: Settings, site_id: str) -> str:
    """Who may post there without a key: nobody, loopback, everyone."""
    with db.wrapped(), db.reading(settings, db.Scope(site_id), fresh=True) as connection:
        row = connection.execute(load("health")["open_to"], {"site_id": site_id}).fetchone()
    return str(row[0]) if row else "nobody"
