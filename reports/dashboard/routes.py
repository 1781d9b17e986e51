"""The dashboard's addresses. In: requests of browsers. Out: pages, their assets, and the cookie of who signed in."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import Headers

from reports.dashboard.figures_pages import add_figures_pages
from reports.dashboard.forms import form
from reports.dashboard.pages import page, shelf
from reports.dashboard.recommended import Recommended
from reports.dashboard.signing_in import COOKIE, SECONDS_MAX, FromCookie, Sealed
from schema import db, rights
from schema.errors import TripstreamError
from schema.settings import Settings

Said = Annotated[dict[str, str], Depends(form)]


def add_dashboard(app: FastAPI, settings: Settings, recommended: Recommended) -> None:
    """The routes, and what turns the cookie into a right."""
    sealed = Sealed(settings)
    app.add_middleware(FromCookie, sealed=sealed)
    _add_signing_in(app, settings, sealed)
    add_figures_pages(app, settings, recommended)

    @app.get("/dashboard/assets/{version}/{name}", include_in_schema=False)
    async def assets(request: Request, version: str, name: str) -> Response:  # noqa: ARG001 the address' own
        return await shelf().answer(request, name)


def _add_signing_in(app: FastAPI, settings: Settings, sealed: Sealed) -> None:
    @app.get("/dashboard/sign-in", include_in_schema=False)
    def ask_key(request: Request) -> Response:
        return page(request, "sign_in.html", next=_inside(request.query_params.get("next")))

    @app.post("/dashboard/sign-in", include_in_schema=False)
    def sign_in(request: Request, said: Said) -> Response:
        key, after = said.get("key", "").strip(), _inside(said.get("next"))
        try:
            with db.wrapped():
                rights.readable_site(settings, Headers({"x-read-key": key}), None)
        except TripstreamError as error:
            return page(request, "sign_in.html", error.status, next=after, problem=error.message)
        response = RedirectResponse(after, 303)
        is_safe = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
        response.set_cookie(
            COOKIE, sealed.seal(key), SECONDS_MAX, path="/", secure=is_safe, httponly=True, samesite="strict"
        )
        return response

    @app.post("/dashboard/sign-out", include_in_schema=False)
    def sign_out(said: Said) -> Response:  # noqa: ARG001 that it came from here is what counts
        response = RedirectResponse("/dashboard/sign-in", 303)
        response.delete_cookie(COOKIE, path="/")
        return response


def _inside(path: str | None) -> str:
    """Where to go on: a page of the dashboard, whatever the address said."""
    is_ours = path is not None and (path == "/dashboard" or path.startswith(("/dashboard/", "/dashboard?")))
    return path if path is not None and is_ours and "\\" not in path else "/dashboard"
