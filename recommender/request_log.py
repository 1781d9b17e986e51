"""Hands answered requests to the stream, after the answer was sent. In: Asked. Out: stream entries, or a loss counted.

It never slows or fails an answer: no retry, a bound on what is under way, and nothing where Redis has no room for
events.
"""

from __future__ import annotations

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
_TELL_SECONDS = 60.0
logger = logging.getLogger("tripstream.recommender")


class RequestLog:
    """A client of its own: what waits here takes no connection from ingest. `has_room`: whether Redis takes more."""

    def __init__(self, settings: Settings, has_room: Callable[[], bool]) -> None:
        self._lanes = settings.lanes
        self._has_room = has_room
        self._redis = client.connect(settings, _CONNECTIONS_MAX)
        self._under_way = 0
        self._lost = 0
        self._told_at: float | None = None

    async def append(self, asked: Asked) -> None:
        """Queue it, or count it as lost."""
        if self._under_way >= _UNDER_WAY_MAX or not self._has_room():
            self._lose("there is no room")
            return
        self._under_way += 1
        try:
            await stream.append_asked(self._redis, stream.lane_of(asked.visitor, self._lanes), asked)
        except (RedisError, OSError, TimeoutError) as error:
            self._lose(type(error).__name__)
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """At the end of the process."""
        await self._redis.aclose()

    def _lose(self, why: str) -> None:
        LOST.inc()
        self._lost += 1
        if self._told_at is None or time.monotonic() - self._told_at > _TELL_SECONDS:
            logger.warning("answered requests are not logged", extra={"why": why, "lost": self._lost})
            self._told_at = time.monotonic()
