"""Answers kept for a moment. In: how to make one, as bytes. Out: the bytes with their ETag, made at most once in a
second and never twice at once; while Postgres is away, the last ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

from anyio import CapacityLimiter, to_thread

from schema.errors import Busy, StorageError

_KEPT_MAX = 128  # of at most some 120 KB
_AT_ONCE_MAX = 4
_UNDER_WAY_MAX = 64  # those at once and those that wait for them: some 0.2 s of work


class Answer(NamedTuple):
    """The bytes, their ETag, and when they were made, by the monotonic clock."""

    body: bytes
    etag: str
    made_at: float


def tag(body: bytes) -> str:
    """The ETag of these bytes."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


class Answers:
    """One process' answers. Each miss opens a connection, hence few at once."""

    def __init__(self, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[Hashable, Answer] = OrderedDict()
        self._making: dict[Hashable, asyncio.Task[Answer]] = {}
        self._limiter: CapacityLimiter | None = None

    async def get(self, key: Hashable, make: Callable[[], bytes]) -> Answer:
        """The answer to `key`, at most `seconds` old. Raises what `make` raises, and Busy where too many wait."""
        kept = self._kept.get(key)
        if kept and self._clock() - kept.made_at <= self._seconds:
            return kept
        if key not in self._making:
            if len(self._making) >= _UNDER_WAY_MAX:
                raise Busy("Too many different questions at once: ask again.", retry_after_seconds=1)
            task = asyncio.ensure_future(self._make(key, make))
            self._making[key] = task
            task.add_done_callback(lambda _: self._making.pop(key, None))
        return await asyncio.shield(self._making[key])  # who leaves does not take the answer from the others

    async def _make(self, key: Hashable, make: Callable[[], bytes]) -> Answer:
        self._limiter = self._limiter or CapacityLimiter(_AT_ONCE_MAX)
        at = self._clock()
        try:
            body = await to_thread.run_sync(make, limiter=self._limiter)
        except StorageError:
            if key in self._kept:
                return self._kept[key]
            raise
        answer = Answer(body, tag(body), at)
        self._kept[key] = answer
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)
        return answer
