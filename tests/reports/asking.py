"""The figures' routes as a test asks them: over HTTP, at a moment of its own, from this machine or with a key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
from fastapi.exceptions import RequestValidationError

from ingest.app import Ingest
from recommender.metrics_routes import add_metrics_routes
from reports.events_routes import add_events_routes
from reports.figures_routes import add_figures_routes
from reports.stats_routes import add_stats_routes
from schema.errors import InvalidRequest
from schema.registry import key_hash, new_key
from schema.settings import Settings
from tests.workers.pipeline import Pipeline
from tripstream.app import _answer_invalid, _answer_validation

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
STRANGER = "203.0.113.7"
ROUTES = (
    *("overview", "series", "types", "visitors", "sessions", "trips", "owners", "groups", "types?type=click"),
    *(
        "series?interval=hour&days=2",
        "series?interval=hour&days=2&type=click",
        "series?interval=week&type=page_view,click",
    ),
    *("visitors?type=click", "top?by=path", "top?by=target", "top?by=page", "top?by=share"),
)
Get = Callable[..., httpx.Response]


def asking(settings: Settings) -> Get:
    """Asks at noon of 2026-01-10."""
    app = Ingest(settings)
    add_figures_routes(app, settings, lambda: NOW)
    add_events_routes(app, settings, lambda: NOW)
    add_metrics_routes(app, settings, lambda: NOW)
    add_stats_routes(app, settings)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(InvalidRequest, _answer_invalid)

    async def ask(path: str, host: str, headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(host, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            return await client.get(path, headers=headers)

    return lambda path, host="127.0.0.1", /, **headers: asyncio.run(ask(path, host, headers))


def key_of(pipe: Pipeline, site_id: str, role: str = "read") -> str:
    """A new key of a site, which is made where there is none."""
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES (%s, '') ON CONFLICT DO NOTHING", (site_id,))
    key = new_key(role)
    pipe.connection.execute("INSERT INTO site_keys VALUES (%s, %s, %s)", (key_hash(key), site_id, role))
    return key
