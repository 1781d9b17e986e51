"""The shop's addresses. In: requests of browsers. Out: its page and files, sign-in and the visitor's own events: only
while the catalogue is the demo's, which is asked of Postgres every few seconds. Else `/` leads to the dashboard.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from reports.dashboard.forms import form
from reports.lately import lately
from reports.shop.own_events import Asked, OwnEvents, own_events
from reports.shop.page import PREFIX, page, shelf
from reports.shop.signing_in import CALLBACK, back
from schema import db, demo
from schema.errors import Forbidden, NotFound
from schema.local import asks_here
from schema.settings import Settings
from schema.sql import load

VIEWS = ("/search", "/search/results", "/trips/{occurrence_id}", CALLBACK)
_SECONDS = 3.0
_CLOSED = "There is no demo shop here, because the catalogue is not the demo's. The dashboard is at /dashboard.\n"
_ELSEWHERE = "Sign-in without a proof is for this machine only, and only where no other issuer is configured."


def add_shop(app: FastAPI, settings: Settings, companies: Collection[str]) -> None:
    """The routes. `companies`: those of the demo catalogue, by which it is known."""
    is_open = lately(lambda: _is_demo(settings, companies), _SECONDS)
    _add_pages(app, settings, is_open)

    def opened() -> None:
        if not is_open():
            raise NotFound(_CLOSED.strip())

    @app.post("/shop/sign-in", include_in_schema=False, dependencies=[Depends(opened)])
    def sign_in(request: Request, said: Annotated[dict[str, str], Depends(form)]) -> Response:
        if not demo.signs_in(settings) or not _is_here(request):
            raise Forbidden(_ELSEWHERE)
        return RedirectResponse(back(settings, said.get("email", ""), said.get("next", "/")), 303)

    @app.post("/shop/events", include_in_schema=False, dependencies=[Depends(opened)])
    def events(asked: Asked) -> OwnEvents:
        return own_events(settings, asked)


def _add_pages(app: FastAPI, settings: Settings, is_open: Callable[[], bool]) -> None:
    @app.get(PREFIX + "/{version}/{name}", include_in_schema=False)
    async def assets(request: Request, version: str, name: str) -> Response:  # noqa: ARG001 the address' own
        return await shelf().answer(request, name)

    @app.get("/", include_in_schema=False)
    def home() -> Response:
        shown = page(demo.signs_in(settings))
        return shown if is_open() else PlainTextResponse(_CLOSED, 303, {"location": "/dashboard"})

    def view() -> Response:
        return page(demo.signs_in(settings)) if is_open() else PlainTextResponse(_CLOSED, 404)

    for path in VIEWS:
        app.get(path, include_in_schema=False)(view)


def _is_demo(settings: Settings, companies: Collection[str]) -> bool:
    with db.wrapped(), db.connect(settings, "tripstream_reader", statement_seconds_max=2) as connection:
        return bool(connection.execute(load("shop")["is_demo"], {"names": list(companies)}).fetchall()[0][0])


def _is_here(request: Request) -> bool:
    peer = request.client.host if request.client else None
    return asks_here(request.headers, peer, request.scope.get("http_version", ""))
