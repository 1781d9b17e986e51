"""Listeners of live figures. In: an application between its start and its end. Out: what each of them was sent."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ingest.app import Ingest
from reports.live import Live
from schema import db, sites
from schema.event import now
from schema.hosting import ABORT
from schema.settings import Settings
from tests.ingest.serving import Server
from tests.make import canonical
from tests.workers.pipeline import Pipeline

AWAITED_SECONDS = 10
LOCAL = {"host": "localhost"}
TICKET = "/api/live/ticket"


class Ear:
    """One listener, driven by hand: it may stop taking what it is sent, and hang up."""

    def __init__(self, app: Ingest, query: str = "", host: str = "localhost", **headers: str) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.takes = asyncio.Event()
        self.takes.set()
        self.gone = asyncio.Event()
        self.aborted = self._asked = False
        named = {"host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
        self.scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/live",
            "raw_path": b"/api/live",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "client": ("127.0.0.1", 50_000),
            "server": ("localhost", 8000),
            "state": {},
            ABORT: self._abort,
        }
        self.task = asyncio.create_task(app(self.scope, self._receive, self._send))

    async def status(self) -> int:
        """The answer's first line."""
        self.head = await self._next()
        return int(self.head["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.head["headers"]}

    async def body(self) -> bytes:
        """The next piece of the body; empty at its end."""
        return bytes((await self._next()).get("body", b""))

    async def figures(self) -> dict[str, Any]:
        """The next figures, whatever comes before them."""
        while True:
            piece = await self.body()
            assert piece, "the stream ended"
            for line in piece.splitlines():
                if line.startswith(b"data: "):
                    return dict(json.loads(line[6:]))

    async def until(self, events: int) -> dict[str, Any]:
        """The first figures that know of so many events."""
        while (found := await self.figures())["lastHalfHour"]["events"] < events:
            pass
        return found

    async def hang_up(self) -> None:
        self.gone.set()
        await asyncio.wait_for(self.task, AWAITED_SECONDS)

    async def _next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.sent.get(), AWAITED_SECONDS)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self.takes.wait()
        self.sent.put_nowait(message)

    def _abort(self) -> None:
        """As a transport does: whoever waits for room goes on, and what is sent goes nowhere."""
        self.aborted = True
        self.gone.set()
        self.takes.set()


async def ears(app: Ingest, count: int, **more: Any) -> list[Ear]:
    """So many listeners, each of which has heard the first figures."""
    found = [Ear(app, **more) for _ in range(count)]
    for ear in found:
        assert await ear.status() == 200
        await ear.figures()
    return found


def happen(pipe: Pipeline, n: int, **fields: Any) -> None:
    shared = {name: fields.pop(name) for name in ("site_id", "country") if name in fields}
    pipe.send(canonical(n, occurred_at=now(), **fields), **shared)


def key_of(settings: Settings, site_id: str, role: str = "read") -> str:
    with db.connect(settings) as connection:
        if site_id not in sites.ids(connection):
            site = {"name": "", "time_zone": "UTC", "origins": [], "open_to": "nobody", "strict": False}
            sites.add_site(connection, {"site_id": site_id} | site)
        return sites.add_key(connection, site_id, role)


@contextmanager
def hanging() -> Iterator[str]:
    """The URL of a Redis that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        yield f"redis://127.0.0.1:{silent.getsockname()[1]}"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def live_of(server: Server) -> Live:
    """What the application keeps of its listeners."""
    found: Live = server.app.state.live
    return found
