"""Live figures for many listeners. In: a site's live keys, looked at a few times a second by one task for each site
and process, however many listen. Out: server-sent events, each the whole picture: who misses one misses nothing.

A listener holds the newest message and no queue. One that does not take its message within ten seconds is cut off.
Streams end when the server does, and half a minute after the key they were opened with.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from reports.listener import Listener
from reports.realtime import Realtime, realtime
from schema import client, db, sites
from schema import realtime as keys
from schema.errors import Busy, StorageError, TripstreamError
from schema.event import now
from schema.hosting import ABORT
from schema.settings import Settings

TICKET_SECONDS = 60
_LOOK_SECONDS = 0.2  # between two looks at whether anything happened
_READ_SECONDS = 0.8  # between two readings of all there is, where something did
_MOVE_SECONDS = 5.0  # the same where nothing did: what was goes out of the last minute
_HEARTBEAT_SECONDS = 10.0
_STUCK_SECONDS = 10.0
_CHECK_SECONDS = 30.0
_CONNECTIONS_MAX = 10
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_DOWN = (RedisError, OSError, TimeoutError)
logger = logging.getLogger("tripstream.live")


class Stream(StreamingResponse):
    """The answer to one listener."""

    def __init__(self, live: Live, listener: Listener) -> None:
        super().__init__(listener.messages(), headers=_HEADERS, media_type="text/event-stream")
        self._live, self._listener = live, listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        listener = self._listener
        listener.abort = scope.get(ABORT)
        self._live.join(listener)
        gone = asyncio.create_task(_end_when_gone(receive, listener))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            retry = b"retry: %d\n\n" % random.randint(1000, 4000)  # noqa: S311  # or all come back at once
            await send({"type": "http.response.body", "body": retry, "more_body": True})
            async for message in listener.messages():
                listener.sending_since = time.monotonic()
                await send({"type": "http.response.body", "body": message, "more_body": True})
                listener.sending_since = None
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._live.leave(listener)


class _Site:
    """What one process knows of a site: who listens, and what was last read."""

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self.watching: asyncio.Task[None] | None = None
        self.message: bytes | None = None
        self.lock = asyncio.Lock()
        self.read_at = self.failed_at = float("-inf")
        self.version = 0
        self.figures: Realtime | None = None

    def tell(self, message: bytes) -> None:
        self.message = message
        for listener in self.listeners:
            listener.put(message)


class Live:
    """All listeners of one process, and what is read for them."""

    def __init__(self, settings: Settings, clock: Callable[[], int] = now) -> None:
        self.settings = settings
        self.ending = False
        self._clock = clock
        self._redis: Redis | None = None
        self._sites: dict[str, _Site] = {}
        self._living: dict[bytes, float] = {}  # keys by when they were last found to be good

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Redis, for as long as the app runs."""
        self._redis = client.connect(self.settings, _CONNECTIONS_MAX, self.settings.redis_url)
        self.ending = False
        checking = asyncio.create_task(self._check_again())
        try:
            yield
        finally:
            self.end()
            tasks = [checking, *(site.watching for site in self._sites.values() if site.watching)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._redis.aclose()
            self._redis = None

    @property
    def redis(self) -> Redis:
        """The client. Raises Busy before the start and after the end."""
        if self._redis is None:
            raise Busy("This server is starting or ending. Ask again.", retry_after_seconds=1)
        return self._redis

    @property
    def listeners(self) -> list[Listener]:
        """Everyone who listens."""
        return [listener for site in self._sites.values() for listener in site.listeners]

    def end(self) -> None:
        """End all streams, so that a server that ends does not wait for them."""
        self.ending = True
        for listener in self.listeners:
            listener.end()

    def require_room(self) -> None:
        """Raises Busy where so many listen already."""
        if len(self.listeners) >= self.settings.live_listeners_max:
            raise Busy("Too many listen to live figures here. Ask again later.", retry_after_seconds=30)

    def join(self, listener: Listener) -> None:
        """Begin to send to it: what is known already, then what changes."""
        if self.ending:
            listener.end()
            return
        site = self._sites.setdefault(listener.site_id, _Site())
        site.listeners.add(listener)
        if site.watching is None or site.watching.done():
            site.watching = asyncio.create_task(self._watch(listener.site_id, site))
        elif site.message is not None:
            listener.put(site.message)

    def leave(self, listener: Listener) -> None:
        """It is gone."""
        if (site := self._sites.get(listener.site_id)) is not None:
            site.listeners.discard(listener)

    async def look(self, site_id: str) -> Realtime:
        """The figures, read within the last second. Raises StorageError."""
        try:
            return await self._read(site_id, self._sites.setdefault(site_id, _Site()))
        except _DOWN:
            raise StorageError("Redis, which holds the live figures, cannot be reached. Ask again later.") from None

    async def is_alive(self, key_hash: bytes) -> bool:
        """Whether a key may still read, as of a second ago."""
        if time.monotonic() - self._living.get(key_hash, float("-inf")) > 1:
            self._living.pop(key_hash, None)
            for living in await run_in_threadpool(_living, self.settings, {key_hash}):
                self._living[living] = time.monotonic()
        return key_hash in self._living

    async def check(self) -> None:
        """End streams whose key or ticket has ended; tickets in use live on. Without Postgres nobody is sent away."""
        asked = {one.key_hash for one in self.listeners if one.key_hash is not None}
        living = await run_in_threadpool(_living, self.settings, asked) if asked else set()
        for one in self.listeners:
            over = one.ends_at is not None and one.ends_at <= self._clock()
            if over or (one.key_hash is not None and one.key_hash not in living):
                one.end()
        for ticket in {one.ticket for one in self.listeners if one.ticket is not None and not one.ended}:
            await keys.extend_ticket(self.redis, ticket, TICKET_SECONDS)

    async def _check_again(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            try:
                await self.check()
            except (TripstreamError, psycopg.Error, *_DOWN) as error:
                logger.warning("listeners' keys were not looked at", extra={"error": type(error).__name__})

    async def _watch(self, site_id: str, site: _Site) -> None:
        """Tell a site's listeners what changes, until there is none."""
        told, told_at, is_down = b"", time.monotonic(), False
        try:
            while site.listeners:
                try:
                    if site.message is None or await self._is_news(site_id, site):
                        figures = await self._read(site_id, site)
                        news = figures.model_dump_json(by_alias=True, exclude={"as_of"}).encode()
                        if news != told:
                            told, told_at = news, time.monotonic()
                            site.tell(_message(figures))
                    is_down = False
                except _DOWN as error:
                    if not is_down:
                        logger.warning("live figures cannot be read", extra={"error": type(error).__name__})
                    is_down = True
                if time.monotonic() - told_at > _HEARTBEAT_SECONDS:
                    told_at = time.monotonic()
                    for listener in site.listeners:
                        listener.nudge()
                _cut_stuck(site)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            site.message = None
            for listener in site.listeners:
                listener.end()

    async def _is_news(self, site_id: str, site: _Site) -> bool:
        age = time.monotonic() - site.read_at
        if age < _READ_SECONDS:
            return False
        return age >= _MOVE_SECONDS or int(await keys.ask_version(self.redis, site_id) or 0) != site.version

    async def _read(self, site_id: str, site: _Site) -> Realtime:
        async with site.lock:
            if time.monotonic() - site.failed_at < _READ_SECONDS:  # who waited for it does not try again, one by one
                raise TimeoutError
            if site.figures is None or time.monotonic() - site.read_at >= _READ_SECONDS:
                at = self._clock()
                pipe = self.redis.pipeline(transaction=False)
                keys.ask(pipe, site_id, at)
                try:
                    found = keys.read(await pipe.execute(), at)
                except _DOWN:
                    site.failed_at = time.monotonic()
                    raise
                site.figures, site.version, site.read_at = realtime(site_id, at, found), found.version, time.monotonic()
            return site.figures


def _message(figures: Realtime) -> bytes:
    """One event of the stream. Its id is its time: whoever comes back with it is told all there is, as anyone is."""
    at = int(figures.as_of.timestamp() * 1000) if figures.as_of else 0
    return b"id: %d\ndata: %b\n\n" % (at, figures.model_dump_json(by_alias=True).encode())


def _cut_stuck(site: _Site) -> None:
    before = time.monotonic() - _STUCK_SECONDS
    for listener in list(site.listeners):
        if listener.sending_since is not None and listener.sending_since < before:
            listener.cut()


async def _end_when_gone(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.end()


def _living(settings: Settings, hashes: set[bytes]) -> set[bytes]:
    with db.wrapped(), db.asking(settings) as connection:
        return sites.living(connection, hashes)
