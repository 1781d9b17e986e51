"""Everything from one origin: `uvicorn tripstream.app:app`. In: HTTP. Out: ingest's routes, and those that need
Postgres. Stateless: run as many as needed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import REGISTRY
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from ingest.app import Ingest, accepting, add_service_routes, answer_error
from recommender import route
from recommender.evaluation_route import add_evaluation_routes
from recommender.metrics_routes import add_metrics_routes
from recommender.reference_routes import add_reference_routes
from recommender.route import Recommender
from recommender.seed_words import COMPANIES
from reports import status
from reports.dashboard.routes import add_dashboard
from reports.events_routes import add_events_routes
from reports.figures_routes import add_figures_routes
from reports.lately import lately
from reports.live_routes import add_live_routes
from reports.metrics import Pipeline
from reports.shop.routes import add_shop
from reports.stats_routes import add_stats_routes
from reports.verdicts_route import add_verdicts_route
from schema import db, migrate, pools, rights, signals
from schema import settings as config
from schema.errors import InvalidRequest, TripstreamError
from schema.event import now
from schema.hosting import ENDING
from schema.settings import Settings
from tripstream import recommended
from tripstream.docs import add_docs
from tripstream.operating import operating
from tripstream.privacy_routes import add_privacy_routes
from tripstream.signed_in import SignedIn

_WRONG_FIELDS_MAX = 20
logger = logging.getLogger("tripstream.recommender")


class Processed(BaseModel):
    """What `POST /process-events` did: events drained meanwhile, and site days rolled up."""

    success: bool
    processed: int
    aggregated_days: int


def create(settings: Settings | None = None) -> Ingest:
    """The whole web application."""
    chosen = settings or config.load()

    @asynccontextmanager
    async def lifespan(app: Ingest) -> AsyncIterator[dict[str, Any]]:
        pipeline = Pipeline(chosen)
        REGISTRY.register(pipeline)
        async with accepting(app) as gate, recommender.open(), live.open():
            app.state.gate, app.state.recommender, app.state.live = gate, recommender, live
            yield {ENDING: [live.end]}
        REGISTRY.unregister(pipeline)
        pools.close()

    app = Ingest(chosen, lifespan=lifespan)
    app.add_middleware(SignedIn, settings=chosen)
    add_service_routes(app, _not_ready(chosen))
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(InvalidRequest, _answer_invalid)
    _add_admin_routes(app, chosen)
    recommender = add_recommendations(app, chosen)
    add_evaluation_routes(app, chosen, lambda: recommender.fresh.view, require_admin)
    add_metrics_routes(app, chosen)
    add_stats_routes(app, chosen)
    live = add_live_routes(app, chosen)
    add_figures_routes(app, chosen)
    in_turn = add_events_routes(app, chosen)
    add_reference_routes(app, chosen)
    add_verdicts_route(app, chosen)
    add_privacy_routes(app, chosen)
    add_dashboard(app, chosen, recommended, operating(chosen), in_turn)
    add_shop(app, chosen, COMPANIES)
    add_docs(app)
    return app


def add_recommendations(app: Ingest, settings: Settings) -> Recommender:
    """The route for trips, which any page may post to; the sites' own rules hold, as they do for events."""

    def site_of(request: Request, named: dict[str, Any]) -> str:
        gate = app.state.gate
        if gate.registry is None:  # Redis was away from the start: trips come all the same, and nothing is logged
            return "default"
        site_id: str = gate.context(request.scope, dict(request.scope["headers"]), named, now()).site_id
        return site_id

    def has_room() -> bool:
        gate = app.state.gate
        return gate.registry is not None and bool(gate.memory_share < settings.redis_share_max)

    def opted_out(request: Request, site_id: str) -> bool:
        gate = app.state.gate
        if gate.registry is None or site_id not in gate.registry.sites:
            return False
        return signals.opted_out(dict(request.scope["headers"]), gate.registry.sites[site_id])

    recommender = Recommender(settings, site_of, has_room, opted_out)
    route.add_route(app, recommender)
    app.hot[route.PATH] = CORSMiddleware(
        _directly(app, recommender),
        allow_origins=["*"],
        allow_methods=["POST"],
        allow_headers=["content-type", "authorization", "x-write-key", "apikey"],
        expose_headers=["retry-after"],
        max_age=86_400,
    )
    return recommender


def _directly(app: Ingest, recommender: Recommender) -> ASGIApp:
    """The route without FastAPI's middleware and router, which took as long as the rules; they get other methods."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await FastAPI.__call__(app, scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await recommender(request)
        except InvalidRequest as error:
            response = await _answer_invalid(request, error)
        except TripstreamError as error:
            response = await answer_error(request, error)
        except Exception:
            logger.exception("unexpected error while recommending")
            response = await answer_error(request, TripstreamError())
        await response(scope, receive, send)

    return serve


def _add_admin_routes(app: FastAPI, settings: Settings) -> None:
    @app.post("/process-events", summary="Drain what is queued, then roll up (admin key)")
    def process_events(request: Request) -> Processed:
        require_admin(request, settings)
        from workers import process  # RQ comes with it: only processes that are asked to drain load it

        with db.wrapped():
            done = process.process_events(settings)
        return Processed(success=True, processed=done.events, aggregated_days=done.days)


async def _answer_validation(request: Request, error: Any) -> JSONResponse:
    """What FastAPI refused, as we say it."""
    return await _answer_invalid(request, InvalidRequest(fields=[_wrong_field(one) for one in error.errors()]))


async def _answer_invalid(_: Request, error: Any) -> JSONResponse:
    """What is wrong with which field, under the names that were sent; without the values."""
    fields = [{"field": name, "message": why} for name, why in error.fields[:_WRONG_FIELDS_MAX]]
    message = f"{fields[0]['field']}: {fields[0]['message']}" if fields else error.message
    return JSONResponse({"code": error.code, "message": message, "fields": fields}, error.status)


def _wrong_field(error: dict[str, Any]) -> tuple[str, str]:
    """One of pydantic's errors, whose place begins with body, query or path, and has the byte of broken JSON."""
    where, *place = error["loc"]
    if error["type"] == "json_invalid":
        place = []
    if error["type"] == "extra_forbidden" and where == "query":
        return ".".join(map(str, place)), "there is no such parameter here"
    return ".".join(map(str, place)) or where, error["msg"].removeprefix("Value error, ")


def require_admin(request: Request, settings: Settings) -> None:
    """Let an admin key in. Raises Unauthorized, Forbidden."""
    rights.require_admin(settings, request.headers)


def _not_ready(settings: Settings) -> Callable[[], list[str]]:
    def reasons() -> list[str]:
        try:
            with db.connect(settings, "tripstream_monitor", statement_seconds_max=2) as connection:
                applied, _ = status.schema_version(connection)
        except (TripstreamError, psycopg.Error):
            return ["Postgres cannot be reached, or was never migrated"]
        return [] if applied == migrate.head() else [f"the schema is at {applied}: run `tripstream migrate`"]

    return lately(reasons)


def __getattr__(name: str) -> Ingest:
    """`tripstream.app:app`, made when a server asks for it: importing this module reads no setting."""
    if name == "app":
        return create()
    raise AttributeError(name)
