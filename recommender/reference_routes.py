"""The reference API over HTTP. In: GET, its filters, If-None-Match. Out: JSON with an ETag, or 304; any origin may
read it, since nothing in it is private.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from decimal import Decimal
from functools import partial
from typing import Annotated, Literal

from fastapi import FastAPI, Path, Query, Request, Response
from pydantic import BaseModel, Field, StringConstraints
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recommender import documented, reference
from recommender.answers import Answers, tag
from recommender.documented import answers as told
from schema.camel import CAMEL_ONLY_KNOWN
from schema.days import Day
from schema.settings import Settings

Continent = Annotated[
    Literal["AF", "AN", "AS", "EU", "NA", "OC", "SA"] | None, Field(description="AF, AN, AS, EU, NA, OC or SA")
]
Country = Annotated[str, StringConstraints(pattern="^[A-Za-z]{2}$", to_upper=True)]
Id = Annotated[int, Field(ge=1, lt=1 << 63)]
SmallId = Annotated[int, Field(ge=1, le=32_767)]
Price = Annotated[Decimal, Field(ge=0, le=100_000_000, decimal_places=2)]
Answering = Callable[[Request, int, Hashable, Callable[[], bytes]], Awaitable[Response]]
_PATHS = ("/api/locations", "/api/countries", "/api/guides", "/api/trip-types", "/api/tags", "/api/v2/templates",
          "/api/v2/occurrences")  # fmt: skip
_PLACES_SECONDS, _LISTS_SECONDS, _TRIPS_SECONDS = 3600, 60, 5


class _Page(BaseModel):
    model_config = CAMEL_ONLY_KNOWN

    limit: int = Field(default=50, ge=1, le=200)
    cursor: Annotated[str, StringConstraints(max_length=4000)] | None = None
    country: Country | None = None
    continent: Continent = None
    type_id: SmallId | None = None
    difficulty: int | None = Field(default=None, ge=1, le=3)


class TemplatesAsked(_Page):
    """Filters of /api/v2/templates; all given ones must hold. A country may be the primary one or another."""

    company_id: Id | None = None
    tag_id: SmallId | None = None


class OccurrencesAsked(_Page):
    """Filters of /api/v2/occurrences; all given ones must hold, and one of the statuses."""

    template_id: Id | None = None
    guide_id: Id | None = None
    status: list[Literal["Open", "Guaranteed", "Last Places", "Full", "Cancelled"]] | None = None
    starts_from: Day | None = None
    starts_until: Day | None = None
    price_min: Price | None = None
    price_max: Price | None = None


class _Readable:
    """Lets a page of any origin read what these routes say, also why they refuse."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = "*"
                headers["Access-Control-Expose-Headers"] = "ETag, Retry-After"
            await send(message)

        ours = scope["type"] == "http" and scope["path"].startswith(_PATHS)
        await self._app(scope, receive, readable if ours else send)


def add_reference_routes(app: FastAPI, settings: Settings) -> None:
    """Put the routes into the app."""
    app.add_middleware(_Readable)
    answers = Answers()

    async def answer(request: Request, seconds: int, key: Hashable, make: Callable[[], bytes]) -> Response:
        return _respond(request, seconds, *(await answers.get(key, make))[:2])

    async def country(request: Request, code: str) -> Response:
        places = await answers.get("locations", partial(reference.locations, settings))
        found = reference.country(places.body, code)
        return _respond(request, _PLACES_SECONDS, found, tag(found))

    _add_places(app, settings, answer)
    _add_country(app, country)
    _add_lists(app, settings, answer)
    _add_trips(app, settings, answer)
    _add_departure(app, settings, answer)


def _add_places(app: FastAPI, settings: Settings, answer: Answering) -> None:
    @app.get("/api/locations", summary="All continents and countries", responses=told(documented.Locations))
    async def locations(request: Request) -> Response:
        make = partial(reference.locations, settings)
        return await answer(request, _PLACES_SECONDS, "locations", make)

    @app.get(
        "/api/countries",
        summary="Countries, of one continent or all but Antarctica's",
        responses=told(list[documented.Country]),
    )
    async def countries(request: Request, continent: Annotated[Continent, Query()] = None) -> Response:
        make = partial(reference.countries, settings, continent)
        return await answer(request, _PLACES_SECONDS, ("countries", continent), make)


def _add_country(app: FastAPI, found: Callable[[Request, str], Awaitable[Response]]) -> None:
    @app.get(
        "/api/countries/{id}",
        summary="One country by its ISO 3166 alpha-2 code",
        responses=told(documented.Country),
    )
    async def country(request: Request, code: Annotated[str, Path(alias="id")]) -> Response:
        known_by = code.upper() if code.isascii() else code  # "ß" in capitals would be South Sudan
        return await found(request, known_by)


def _add_lists(app: FastAPI, settings: Settings, answer: Answering) -> None:
    def add(name: str, summary: str, row: type) -> None:
        @app.get(f"/api/{name}", summary=summary, operation_id=name, responses=told(list[row]))  # type: ignore[valid-type]  # of this call
        async def listed(request: Request) -> Response:
            return await answer(request, _LISTS_SECONDS, name, partial(reference.short_list, settings, name))

    add("guides", "Active guides", documented.Guide)
    add("trip-types", "Types of trips", documented.Coded)
    add("tags", "Themes of trips", documented.Coded)


def _add_trips(app: FastAPI, settings: Settings, answer: Answering) -> None:
    async def paged(request: Request, name: str, asked: _Page) -> Response:
        filters = asked.model_dump(exclude={"limit", "cursor"})
        make = partial(reference.page, settings, name, filters, asked.limit, asked.cursor)
        return await answer(request, _TRIPS_SECONDS, (name, asked.model_dump_json()), make)

    @app.get("/api/v2/templates", summary="Active trips, alphabetical, in pages", responses=told(documented.Templates))
    async def templates(request: Request, asked: Annotated[TemplatesAsked, Query()]) -> Response:
        return await paged(request, "templates", asked)

    @app.get(
        "/api/v2/occurrences",
        summary="Active departures by start, in pages",
        responses=told(documented.Occurrences),
    )
    async def occurrences(request: Request, asked: Annotated[OccurrencesAsked, Query()]) -> Response:
        return await paged(request, "occurrences", asked)


def _add_departure(app: FastAPI, settings: Settings, answer: Answering) -> None:
    @app.get(
        "/api/v2/occurrences/{id}",
        summary="One departure with all about its trip",
        responses=told(documented.Departure),
    )
    async def departure(request: Request, occurrence_id: Annotated[Id, Path(alias="id")]) -> Response:
        make = partial(reference.departure, settings, occurrence_id)
        return await answer(request, _TRIPS_SECONDS, ("departure", occurrence_id), make)


def _respond(request: Request, seconds: int, body: bytes, etag: str) -> Response:
    headers = {
        "ETag": etag,
        "Cache-Control": f"public, max-age={seconds}",
    }
    if _known(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _known(sent: str, etag: str) -> bool:
    """Whether the asker has it already; a proxy may have made the tag a weak one."""
    tags = {tag.strip().removeprefix("W/") for tag in sent.split(",")}
    return bool(tags & {etag, "*"})
