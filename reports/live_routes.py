"""`GET /api/stats/realtime`, `GET /api/live` and `POST /api/live/ticket`. In: a read key, this machine itself, or a
ticket. Out: what happens on a site now, once (JSON; as CSV its minutes) or as server-sent events; 401, 403, and 503
where too many listen or Redis is away.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from reports import tickets
from reports.listener import Listener
from reports.live import TICKET_SECONDS, Live, Stream
from reports.realtime import Realtime
from schema.answers import DOCUMENTED, Figures, Format, Problem, reply
from schema.event import now
from schema.settings import Settings

_FORMAT = Query(alias="format", description="Else Accept decides, else JSON.")
_SENT = Query(max_length=tickets.LENGTH_MAX, description="From POST /api/live/ticket, where no header can be sent.")
_STREAMED = DOCUMENTED | {
    200: {"description": "A stream of Realtime, one a second at most", "content": {"text/event-stream": {}}},
    503: {"model": Problem, "description": "Too many listen, or Redis is away; Retry-After says when to come back"},
}
_STREAMED.pop(304)


class LiveTicket(Figures):
    """A ticket, good for so many seconds from now, and while a stream runs that was opened with it."""

    ticket: str
    site_id: str
    seconds: int


def add_live_routes(app: FastAPI, settings: Settings) -> Live:
    """The routes. Returns what has to be open while they serve."""
    live = Live(settings)

    @app.get("/api/stats/realtime", response_model=Realtime, responses=DOCUMENTED,
             summary="What happens on a site now (read key)")  # fmt: skip
    async def of_now(request: Request, asked: Annotated[Format | None, _FORMAT] = None) -> Response:
        site_id, _ = await run_in_threadpool(tickets.allowed, settings, request)
        response = reply(request, await live.look(site_id), asked, "realtime")
        response.headers["cache-control"] = "private, max-age=1"
        return response

    @app.post("/api/live/ticket", status_code=201, summary="A ticket for GET /api/live (read key)")
    async def ticket(request: Request, response: Response) -> LiveTicket:
        site_id, key_hash = await run_in_threadpool(tickets.allowed, settings, request)
        response.headers["cache-control"] = "no-store"
        secret = await tickets.make(live, site_id, key_hash, now())
        return LiveTicket(ticket=secret, site_id=site_id, seconds=TICKET_SECONDS)

    @app.get("/api/live", response_class=Response, responses=_STREAMED,
             summary="What happens on a site now, as server-sent events (read key, or ticket)")  # fmt: skip
    async def listen(request: Request, ticket: Annotated[str | None, _SENT] = None) -> Response:
        live.require_room()
        if ticket is not None:
            found = await tickets.listener(live, ticket, now())
        else:
            found = Listener(*await run_in_threadpool(tickets.allowed, settings, request))
        live.require_room()  # again: many may have been let in while this one was looked at
        return Stream(live, found)

    return live
