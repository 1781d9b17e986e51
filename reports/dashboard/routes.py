"""The dashboard's addresses. In: requests of browsers. Out: pages, their assets, and the cookie of who signed in."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from reports.dashboard.figures_pages import add_figures_pages
from reports.dashboard.letter_routes import add_letters
from reports.dashboard.operating import Operating
from reports.dashboard.pages import shelf
from reports.dashboard.recommended import Recommended
from reports.dashboard.sign_in_routes import add_signing_in
from reports.dashboard.signing_in import FromCookie, Sealed
from reports.dashboard.working import add_working
from schema.settings import Settings


def add_dashboard(
    app: FastAPI, settings: Settings, recommended: Recommended, operating: Operating, in_turn: list[Any]
) -> None:
    """The routes, and what turns the cookie into a right. `in_turn`: what questions that take long depend on."""
    sealed = Sealed(settings)
    app.add_middleware(FromCookie, sealed=sealed)
    add_signing_in(app, settings, sealed)
    add_figures_pages(app, settings, recommended, in_turn)
    add_working(app, settings, operating)
    add_letters(app, settings, operating)

    @app.get("/dashboard/assets/{version}/{name}", include_in_schema=False)
    async def assets(request: Request, version: str, name: str) -> Response:  # noqa: ARG001 the address' own
        return await shelf().answer(request, name)
