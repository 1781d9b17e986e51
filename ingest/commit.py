"""Group commit: requests that arrive while one script is under way share the next. In: batches. Out: a promise.

`append` returns only after Redis answered the script, which with `appendfsync always` it does after fsync. Any error or
time-out is Busy: the outcome is then unknown, and the same batch with the same ids may be sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import hiredis
from redis.asyncio import Redis
from redis.exceptions import RedisError

from schema import client, stream
from schema.errors import Busy, TripstreamError
from schema.settings import Settings
from schema.stream import Packed

_GROUP_MAX = 256
_PIECE_WORDS = 40  # of eight batches
_GATHER_SECONDS = 0.002  # where some came together more will: half as many fsyncs
_CONNECTIONS_MAX = 50
logger = logging.getLogger("tripstream.ingest")


class _Packed:
    """Packs commands in C, as redis-py's synchronous client does: its other one took 3 µs a batch for it in Python.

    In pieces, which the socket writes together: a command of 1 MB was new memory from the kernel, page by page.
    """

    def pack_command(self, *arguments: Any) -> list[bytes]:
        name, *rest = arguments  # a name may be two words: SCRIPT LOAD
        words = (*name.split(), *rest)
        if len(words) <= _PIECE_WORDS:
            return [hiredis.pack_command(words)]
        pieces = [hiredis.pack_command(words[at : at + _PIECE_WORDS]) for at in range(0, len(words), _PIECE_WORDS)]
        return [b"*%d\r\n" % len(words), *(piece[piece.index(b"\n") + 1 :] for piece in pieces)]


class _Waiting(NamedTuple):
    site_id: str
    batch: Packed | None
    reasons: Mapping[str, int]
    done: asyncio.Future[None]


def connect(settings: Settings) -> Redis:
    """Ingest's client, which packs in C."""
    redis = client.connect(settings, _CONNECTIONS_MAX)
    pool = redis.connection_pool
    pool.connection_class = type("Connection", (_Packed, pool.connection_class), {})
    return redis


class GroupCommit:
    """Appends batches to their lanes, one script at a time."""

    def __init__(self, redis: Redis) -> None:
        self._append = redis.register_script(stream.APPEND)  # loads itself again into a Redis that was restarted
        self._waiting: list[_Waiting] = []
        self._running: asyncio.Task[None] | None = None

    async def append(self, site_id: str, batch: Packed | None, reasons: Mapping[str, int]) -> None:
        """Return once the batch and its count of refusals are safe. Raises Busy when that cannot be promised."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(site_id, batch, reasons, done))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        await done

    async def _run(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:_GROUP_MAX], self._waiting[_GROUP_MAX:]
            failure: TripstreamError | None = None
            try:
                await self._commit(group)
            except (RedisError, OSError, TimeoutError):
                failure = Busy("The queue did not confirm in time. Send the same batch, with the same ids, again.")
            except Exception:  # a mistake of ours: nobody may wait for ever, now or later
                logger.exception("unexpected error while appending")
                failure = TripstreamError()
            if failure is not None:  # whoever waits behind would only wait for the next time-out
                group, self._waiting = group + self._waiting, []
            for member in group:
                if member.done.cancelled():
                    continue
                if failure is None:
                    member.done.set_result(None)
                else:
                    member.done.set_exception(failure)
            if len(group) > 1:
                await asyncio.sleep(_GATHER_SECONDS)
        self._running = None

    async def _commit(self, group: list[_Waiting]) -> None:
        batches = [member.batch for member in group if member.batch is not None]
        rejected = [(member.site_id, member.reasons) for member in group if member.reasons]
        await self._append(args=stream.arguments(batches, rejected))
