"""Serves the application to a test, and empties its queue. In: settings. Out: a client, and rows in Postgres.

The event loop runs only while a call is under way, so nothing happens behind a test's back: a gate that should look
at Redis again is told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import httpx

from ingest.app import Ingest
from ingest.gate import Gate
from schema import db, sites, stream
from schema.settings import Settings
from tests import make
from tripstream import app as front
from workers.drain import Drain

T = TypeVar("T")
BATCH = "/api/events/batch"
SINGLE = "/api/events"
SESSION = "/api/session/start"
LOCAL = "127.0.0.1"


class Server:
    """An application that has started, and a client of it. `run` lends the event loop to a coroutine."""

    def __init__(self, app: Ingest, runner: asyncio.Runner) -> None:
        self.app = app
        self.settings = app.settings
        self._runner = runner
        self.ending: Mapping[str, Any] = {}  # what the application says when it has started

    @property
    def gate(self) -> Gate:
        return self.app.state.gate

    def run(self, work: Awaitable[T]) -> T:
        async def whole() -> T:
            return await work

        return self._runner.run(whole())

    def client(self, host: str = LOCAL) -> httpx.AsyncClient:
        """A client that the application sees at the address `host`."""
        transport = httpx.ASGITransport(self.app, client=(host, 50_000))
        return httpx.AsyncClient(transport=transport, base_url="http://tripstream.test")

    def request(self, method: str, path: str, *, host: str = LOCAL, **more: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            async with self.client(host) as client:
                return await client.request(method, path, **more)

        return self.run(once())

    def post(self, content: bytes, path: str = BATCH, **more: Any) -> httpx.Response:
        return self.request("POST", path, content=content, **more)

    def look(self) -> None:
        """What the gate does by itself four times a second."""
        self.run(self.gate.sample())


class Site(NamedTuple):
    """One site of an application that several tests share."""

    server: Server
    site_id: str
    key: str

    def post(self, *events: Any, **more: Any) -> dict[str, Any]:
        """Post a batch to it with its key. Returns the receipt."""
        answer = self.server.post(make.body(*events, write_key=self.key, **more))
        assert answer.status_code == 202, answer.text
        return answer.json()

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        """Drain, then those columns of this site's events and of what their ids stand for, by event id."""
        drain(self.server.settings)
        query = f"""
            SELECT {columns} FROM readable_events AS e WHERE site_id = %s ORDER BY event_id"""
        return select(self.server.settings, query, self.site_id)

    def figures(self) -> Figures:
        """Drain, then both sides of its books."""
        drain(self.server.settings)
        return figures(self.server.settings, self.site_id)


@contextmanager
def serving(settings: Settings, app: Ingest | None = None, *, announced: bool = True) -> Iterator[Server]:
    """The application between its start and its end. `announced`: with the registry in Redis and the lanes open."""
    if announced:
        sites.announce(settings)
    app = app or front.create(settings)
    lifespan = app.router.lifespan_context(app)
    with asyncio.Runner() as runner:
        server = Server(app, runner)
        server.ending = server.run(lifespan.__aenter__()) or {}
        try:
            yield server
        finally:
            server.run(lifespan.__aexit__(None, None, None))


def add_site(settings: Settings, site_id: str, **overrides: Any) -> str:
    """A site of the test's own, published. Returns its write key."""
    site = {"name": site_id, "time_zone": "UTC", "origins": ["*"], "open_to": "nobody", "strict": False}
    with db.connect(settings) as connection:
        key = sites.add_site(connection, {"site_id": site_id, **site, **overrides})
    sites.announce(settings)
    return key


def drain(settings: Settings) -> int:
    """Move all that is queued into Postgres. Returns events and requests drained."""
    with stream.connect(settings.streams_url) as redis, db.connect(settings) as connection:
        return sum(
            Drain(connection, redis, lane, settings).run_until_empty()
            for lane in stream.known_lanes(redis, settings.lanes)
        )


def select(settings: Settings, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows, read as the owner."""
    with db.connect(settings, "owner") as connection:
        return connection.execute(query, values or None).fetchall()


def queued(settings: Settings) -> int:
    """Batches that wait with something that was promised."""
    with stream.connect(settings.streams_url) as redis:
        lanes = stream.known_lanes(redis, settings.lanes)
        return sum(entry.events > 0 for lane in lanes for entry in stream.waiting(redis, lane, "+"))


class Figures(NamedTuple):
    """What was promised, and what became of it."""

    accepted: int
    stored: int
    duplicate: int
    dead: int

    @property
    def conserved(self) -> bool:
        return self.accepted == self.stored + self.duplicate + self.dead


def figures(settings: Settings, site_id: str = "default") -> Figures:
    """Both sides of the books of a site whose queue was drained."""
    with stream.connect(settings.streams_url) as redis:
        accepted = stream.accepted(redis, [site_id])[site_id]
    totals = "SELECT coalesce(sum(stored), 0), coalesce(sum(duplicate), 0), coalesce(sum(dead), 0)"
    return Figures(accepted, *map(int, select(settings, f"{totals} FROM drained WHERE site_id = %s", site_id)[0]))
