"""Signing in and out. In: forms of ours. Out: the cookie of who signed in, or the page with what is wrong with the key.

Keys are 32 random bytes, so guesses are not counted: each costs one question to Postgres, and tells nothing.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import Headers

from reports.dashboard.forms import form
from reports.dashboard.pages import page, told
from reports.dashboard.signing_in import COOKIE, SECONDS_MAX, Sealed
from reports.dashboard.viewers import all_sites
from schema import db, rights
from schema.errors import Forbidden, NotFound, TripstreamError, Unauthorized
from schema.settings import Settings

Said = Annotated[dict[str, str], Depends(form)]
_NO_KEY = "Type or paste the key."
_WRONG = "There is no such key, or it has ended. `tripstream site key SITE` makes a new one."
_MANY = "The installation's admin key chooses among sites; this key reads its own."


def add_signing_in(app: FastAPI, settings: Settings, sealed: Sealed) -> None:
    """The routes."""

    @app.get("/dashboard/sign-in", include_in_schema=False)
    def ask_key(request: Request) -> Response:
        asked = request.query_params
        return page(request, "sign_in.html", next=inside(asked.get("next")), ended=asked.get("ended") == "1")

    @app.post("/dashboard/sign-in", include_in_schema=False)
    def sign_in(request: Request, said: Said) -> Response:
        key, after = said.get("key", "").strip(), inside(said.get("next"))
        try:
            if not key.isascii() or not key:  # no header could hold the former
                raise Unauthorized(_NO_KEY)
            with db.wrapped():
                rights.readable_site(settings, Headers({"x-read-key": key}), None)
                installs = rights.is_installations(settings, key)
                several = installs and len(all_sites(settings)) > 1
        except TripstreamError as error:
            wrong = _WRONG if isinstance(error, Unauthorized) and key else error.message
            return page(request, "sign_in.html", error.status, next=after, ended=False, problem=wrong)
        onward = RedirectResponse("/dashboard/site?" + urlencode({"next": after}) if several else after, 303)
        return _signed_in(request, onward, sealed.seal(key, rights.LOCAL_SITE if installs else ""))

    @app.post("/dashboard/sign-out", include_in_schema=False)
    def sign_out(said: Said) -> Response:  # noqa: ARG001 that it came from here is what counts
        response = RedirectResponse("/dashboard/sign-in", 303)
        response.delete_cookie(COOKIE, path="/")
        return response

    @app.get("/dashboard/site", include_in_schema=False)
    def sites(request: Request) -> Response:
        with told(request) as answer:
            _require_installations(settings, request)
            answer.response = page(
                request, "site.html", sites=all_sites(settings), next=inside(request.query_params.get("next"))
            )
        return answer.response

    @app.post("/dashboard/site", include_in_schema=False)
    def choose(request: Request, said: Said) -> Response:
        with told(request) as answer:
            key = _require_installations(settings, request)
            if (site_id := said.get("site", "")) not in all_sites(settings):
                raise NotFound(f"There is no site {site_id}.")
            onward = RedirectResponse(inside(said.get("next")), 303)
            answer.response = _signed_in(request, onward, sealed.seal(key, site_id))
        return answer.response


def inside(path: str | None) -> str:
    """Where to go on: a page of the dashboard, whatever the address said."""
    is_ours = path is not None and (path == "/dashboard" or path.startswith(("/dashboard/", "/dashboard?")))
    is_plain = path is not None and path.isascii() and path.isprintable() and "\\" not in path
    return path if path is not None and is_ours and is_plain else "/dashboard"


def _signed_in(request: Request, response: Response, value: str) -> Response:
    is_safe = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    response.set_cookie(COOKIE, value, SECONDS_MAX, path="/", secure=is_safe, httponly=True, samesite="strict")
    return response


def _require_installations(settings: Settings, request: Request) -> str:
    key = rights.key_in(request.headers)
    if key is None:
        raise Unauthorized()
    if not rights.is_installations(settings, key):
        raise Forbidden(_MANY)
    return key
