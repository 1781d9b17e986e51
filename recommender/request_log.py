"""Hands answered requests to the stream, after the answer was sent. In: Asked. Out: stream entries, or a loss counted.

It never slows or fails an answer: no retry, a bound on what is under way, and nothing where Redis has no room for
events. What is answered within a moment goes together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from prometheus_client import Counter
from redis.exceptions import RedisError

from schema import client, stream
from schema.asked import Asked
from schema.settings import Settings

LOST = Counter("tripstream_recommendation_log_lost", "Answered requests that this process could not log.")
_UNDER_WAY_MAX = 64
_CONNECTIONS_MAX = 4
_GATHERED_SECONDS = 0.02  # one by one, handing over took 0.2 ms of CPU each, of the 1.3 that a request takes
_TELL_SECONDS = 60.0
logger = logging.getLogger("tripstream.recommender")


class RequestLog:
    """A client of its own: what waits here takes no connection from ingest. `has_room`: whether Redis takes more."""

    def __init__(self, settings: Settings, has_room: Callable[[], bool]) -> None:
        self._lanes = settings.lanes
        self._has_room = has_room
        self._redis = client.connect(settings, _CONNECTIONS_MAX)
        self._under_way = 0
        self._waiting: list[Asked] = []
        self._lost = 0
        self._told_at: float | None = None

    async def append(self, asked: Asked) -> None:
        """Queue it together with those that come meanwhile, or count it as lost."""
        if self._under_way >= _UNDER_WAY_MAX or not self._has_room():
            self._lose("there is no room")
            return
        self._under_way += 1
        try:
            self._waiting.append(asked)
            if len(self._waiting) == 1:
                self._group = asyncio.ensure_future(self._send())
            await asyncio.shield(self._group)
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """At the end of the process."""
        if self._waiting:
            await self._group
        await self._redis.aclose()

    async def _send(self) -> None:
        await asyncio.sleep(_GATHERED_SECONDS)
        group, self._waiting = self._waiting, []
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for one in group:
                    stream.append_asked(pipe, stream.lane_of(one.visitor, self._lanes), one)
                answers = await pipe.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            answers = [error] * len(group)
        for answer in answers:
            if isinstance(answer, Exception):
                self._lose(type(answer).__name__)

    def _lose(self, why: str) -> None:
        LOST.inc()
        self._lost += 1
        if self._told_at is None or time.monotonic() - self._told_at > _TELL_SECONDS:
            logger.warning("answered requests are not logged", extra={"why": why, "lost": self._lost})
            self._told_at = time.monotonic()
