"""The tiny process alone: `uvicorn --no-proxy-headers ingest.app:app`. In: HTTP. Out: stream entries. Imports in
under a second. Whose X-Forwarded-For is believed is a setting of ours; uvicorn believes this machine's by itself.

The hot routes are plain ASGI, found by one dictionary look-up before FastAPI's middleware and router run; FastAPI
documents them, and serves health, readiness and metrics.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.asyncio import Redis
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from ingest import commit, metrics, openapi, sdk_config
from ingest.dialect import Dialect, DialectEndpoint
from ingest.dialects import posthog, segment
from ingest.dialects.analytics import ANALYTICS
from ingest.dialects.platform import EMIT
from ingest.dialects.single import INGEST_EVENT
from ingest.endpoint import EventsEndpoint
from ingest.gate import Gate
from ingest.http import Route
from ingest.identify import IdentifyEndpoint
from ingest.peers import Proxies
from ingest.sessions import SessionEndpoint
from ingest.tracker import add_tracker
from schema import collector
from schema import settings as config
from schema.errors import TripstreamError
from schema.settings import Settings

DIALECTS: dict[str, Dialect] = {
    **segment.ROUTES,
    **posthog.ROUTES,
    "/ingest-event": INGEST_EVENT,
    "/api/analytics/ingest": ANALYTICS,
    "/rpc/emit_platform_event": EMIT,
}


class Ingest(FastAPI):
    """FastAPI with a table of hot paths in front."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        self.hot: dict[str, ASGIApp] = {}
        self.settings = settings
        self._proxies = Proxies(settings) if settings.trusted_proxies else None
        super().__init__(title="Tripstream", version="0.1.0", docs_url=None, redoc_url=None, **options)
        sdk_config.add_routes(self)
        add_tracker(self)
        self.add_exception_handler(HTTPException, _answer_http)
        self.add_exception_handler(TripstreamError, answer_error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._proxies is not None and scope["type"] == "http":
            self._proxies.reveal(scope)
        hot = self.hot.get(scope["path"]) if scope["type"] == "http" else None
        if hot is None:
            await super().__call__(scope, receive, send)
        else:
            await hot(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            self.openapi_schema = openapi.document(super().openapi())
        return self.openapi_schema


async def _answer_http(_: Request, error: Any) -> JSONResponse:
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return JSONResponse({"code": code, "message": str(error.detail)}, error.status_code, error.headers)


async def answer_error(_: Request, error: Any) -> JSONResponse:
    """An error of our tree, as every route answers it."""
    headers = {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}
    return JSONResponse({"code": error.code, "message": error.message}, error.status, headers)


def mount(app: Ingest, gate: Gate, group: commit.GroupCommit, redis: Redis) -> None:
    """Put the ingest routes into the app's hot table."""
    settings = app.settings
    batch = EventsEndpoint(gate, group, settings.lanes, single=False)
    single = EventsEndpoint(gate, group, settings.lanes, single=True)
    app.hot["/api/events/batch"] = Route(gate, settings, batch)
    app.hot["/api/events"] = Route(gate, settings, single)
    for path, dialect in DIALECTS.items():
        endpoint = DialectEndpoint(gate, group, settings.lanes, dialect)
        app.hot[path] = Route(gate, settings, endpoint, sdk=dialect.sdk)
    app.hot["/api/user/identify"] = Route(gate, settings, IdentifyEndpoint(gate, group, settings.lanes))
    app.hot["/api/session/start"] = Route(gate, settings, SessionEndpoint(gate, group, redis, settings))


@asynccontextmanager
async def accepting(app: Ingest) -> AsyncIterator[Gate]:
    """Redis, gate and routes for as long as the app runs; requests under way are answered before it ends."""
    redis, appending = commit.connect(app.settings), commit.connect(app.settings)
    gate = Gate(appending, app.settings)  # which has a connection to spare, however many sessions start
    await gate.sample()
    gate.tokens.prepare()
    mount(app, gate, commit.GroupCommit(appending), redis)
    watching = asyncio.create_task(gate.watch())
    collector.spare()
    try:
        yield gate
    finally:
        await _end(watching)
        await redis.aclose()
        await appending.aclose()


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel it until it is over: when an answer and the cancellation come at once, Python 3.11's wait_for, which
    redis-py uses, returns the answer and forgets the cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)


def create(settings: Settings | None = None) -> Ingest:
    """The ingest app. Settings are read when it starts, not when it is imported."""

    @asynccontextmanager
    async def lifespan(app: Ingest) -> AsyncIterator[None]:
        async with accepting(app) as gate:
            app.state.gate = gate
            yield

    app = Ingest(settings or config.load(), lifespan=lifespan)
    add_service_routes(app, list)
    return app


def add_service_routes(app: Ingest, more_reasons: Callable[[], list[str]]) -> None:
    """Liveness, readiness and metrics. `more_reasons` says what else is not ready, in words. They have
    threads of their own: while slow questions had all the others, a probe waited for seven seconds."""
    threads = CapacityLimiter(4)

    @app.get("/healthz", summary="Alive: the process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", summary="Ready: what it needs can be reached")
    async def readyz() -> JSONResponse:
        gate: Gate = app.state.gate
        reasons = [] if gate.reachable else ["Redis cannot be reached"]
        if gate.registry is None:
            reasons.append("the registry has not been published")
        reasons += await to_thread.run_sync(more_reasons, limiter=threads)
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    @app.get("/metrics", summary="Prometheus figures of this process, and of the queue")
    async def prometheus() -> Response:
        metrics.MEMORY.set(app.state.gate.memory_share)
        found = await to_thread.run_sync(generate_latest, limiter=threads)
        return Response(found, media_type=CONTENT_TYPE_LATEST)


def __getattr__(name: str) -> Ingest:
    """`ingest.app:app`, made when a server asks for it: importing this module reads no setting."""
    if name == "app":
        return create()
    raise AttributeError(name)
