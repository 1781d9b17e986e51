"""POST /api/v2/recommendations. In: preferences as JSON. Out: trips that may be booked, best first, and an entry in
the request log once they are sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from msgspec import structs
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from recommender import asking, formatting
from recommender.answering import answer, asked
from recommender.asking import Asking
from recommender.catalogue import Catalogue
from recommender.documented import Recommendations
from recommender.documented import answers as told
from recommender.fresh import Fresh
from recommender.request_log import RequestLog
from recommender.shown import Trips
from recommender.texts import Texts
from schema.errors import Busy, InvalidBody, SlowSender, StorageError, TooLarge, UnsupportedEncoding
from schema.settings import Settings

PATH = "/api/v2/recommendations"
_BODY_BYTES_MAX = 64 << 10
_USER_AGENT_MAX = 500
_START_SECONDS = 5.0
_UNDER_WAY_MAX = 256  # what four connections answer in some 0.2 s; more would only wait until they give up
SiteOf = Callable[[Request, dict[str, Any]], str]
OptedOut = Callable[[Request, str], bool]


class Recommender:
    """What answering takes, for as long as the app runs."""

    def __init__(self, settings: Settings, site_of: SiteOf, has_room: Callable[[], bool], opted_out: OptedOut) -> None:
        self.settings = settings
        self.fresh = Fresh(settings)
        self._site_of = site_of
        self._has_room = has_room
        self._opted_out = opted_out
        self._under_way = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The catalogue's thread and the connections, anew each time; both come when Postgres does."""
        kept = Texts()
        self._trips, self._log = Trips(self.settings, kept), RequestLog(self.settings, self._has_room)
        self.fresh = Fresh(self.settings, kept.forget)
        self.fresh.start()
        await self._trips.open()
        try:
            yield
        finally:
            await asyncio.to_thread(self.fresh.stop)
            await self._trips.close()
            await self._log.close()

    async def __call__(self, request: Request) -> Response:
        if request.headers.get("content-encoding", "").lower() not in ("", "identity"):
            raise UnsupportedEncoding("Send the body as it is: no Content-Encoding is accepted here.")
        raw = await _body(request, self.settings.body_seconds_max)
        with self._place():
            return await self._answer(request, raw)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the requests under way; those whose body is still coming are none, or slow senders would shut the
        others out. Raises Busy."""
        if self._under_way >= _UNDER_WAY_MAX:
            raise Busy("Too many requests at once: send the same one again.", retry_after_seconds=1)
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _answer(self, request: Request, raw: bytes) -> Response:
        began = time.perf_counter_ns()
        catalogue = await self._catalogue()
        wanted = asking.parse(raw, catalogue.known)
        site_id = self._site_of(request, {"site_id": wanted.site_id, "write_key": wanted.write_key})
        answered = await answer(catalogue, self._trips, wanted, datetime.now(UTC).date(), began)
        entry = asked(answered, wanted, site_id, _user_agent(request))
        if self._opted_out(request, site_id):
            entry = structs.replace(entry, anonymous_id=None, session_id=None, user_agent=None)
        logging = BackgroundTask(self._log.append, entry)
        return Response(formatting.body(answered), media_type="application/json", background=logging)

    async def _catalogue(self) -> Catalogue:
        if self.fresh.view is None:
            await asyncio.to_thread(self.fresh.ready.wait, _START_SECONDS)
        if self.fresh.view is None:
            raise StorageError("The catalogue has not been read yet: try again.", retry_after_seconds=2)
        return self.fresh.view


def add_route(app: FastAPI, recommender: Recommender) -> None:
    """Put the route into the app, with its documentation."""
    schema = Asking.model_json_schema(ref_template="#/components/schemas/{model}")
    body = {"content": {"application/json": {"schema": schema}}}

    @app.post(
        PATH,
        summary="Ten trips for these preferences, all of which are optional",
        openapi_extra={"requestBody": body},
        responses={
            **told(Recommendations),
            422: {"description": "A value is wrong; `fields` says which"},
            503: {"description": "Postgres or the catalogue is away; ask again after Retry-After"},
        },
    )
    async def recommend(request: Request) -> Response:
        return await recommender(request)


async def _body(request: Request, seconds_max: float) -> bytes:
    parts = bytearray()
    try:
        async with asyncio.timeout(seconds_max):
            async for part in request.stream():
                parts += part
                if len(parts) > _BODY_BYTES_MAX:
                    raise TooLarge(f"The body has more than {_BODY_BYTES_MAX} bytes.")
    except TimeoutError:
        raise SlowSender(f"The body did not arrive within {seconds_max:g} seconds.") from None
    except ClientDisconnect:
        raise InvalidBody("The sender left before the body was complete.") from None
    return bytes(parts)


def _user_agent(request: Request) -> str | None:
    return request.headers.get("user-agent", "").replace("\0", "")[:_USER_AGENT_MAX] or None
