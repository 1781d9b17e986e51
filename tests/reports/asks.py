"""Asking the routes as a client does. In: a path. Out: a response; the time is noon of 2026-03-31."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi.exceptions import RequestValidationError

from ingest.app import Ingest
from reports.events_routes import add_events_routes
from schema.errors import InvalidRequest
from schema.settings import Settings
from tripstream.app import _answer_invalid, _answer_validation

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
Get = Callable[..., httpx.Response]


def asking(settings: Settings) -> Get:
    """A function that gets `/api/stats/{path}`, as this machine without a key or with the headers given."""
    app = Ingest(settings)
    add_events_routes(app, settings, lambda: NOW)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(InvalidRequest, _answer_invalid)

    async def ask(path: str, query: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            return await client.get(f"/api/stats/{path}", params=query, headers=headers)

    return lambda path, headers=None, /, **query: asyncio.run(ask(path, query, headers or {}))
