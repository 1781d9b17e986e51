"""Accept, done otherwise: more web processes, another server, another way to append a group.

In: the bodies and connections of the accept row; for `append`, batches that 64 requests at once bring to the group
commit. Out: requests/s, appends/s. What holds: every answer was a 202, and its batch was in the stream.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgspec
import uvloop
from redis.asyncio import Redis

from bench import load
from bench.accepting import bodies, empty, must_hold
from bench.designs_decode import batch
from bench.load import Plan
from bench.rounds import Pairs, Scale, by_turns
from bench.servers import Servers, await_http, free_port, process, served, webs
from ingest import commit
from ingest.commit import GroupCommit
from schema import stream
from schema.event import new_id, now
from schema.settings import Settings

_INGEST = "ingest.app:app"
_SIZE = 10
_CONNECTIONS = 64
_APPENDS = 20_000  # a full round's


def processes(servers: Servers, scale: Scale) -> Pairs:
    """`tripstream web` once and twice. The load generator and Valkey run on the same cores."""
    return _accepting(servers, scale, lambda settings: webs(settings, 1), lambda settings: webs(settings, 2))


def server(servers: Servers, scale: Scale) -> Pairs:
    """The tiny app alone under either, one process, no access log."""
    return _accepting(servers, scale, lambda settings: served(_INGEST, settings), _granian)


def append(servers: Servers, scale: Scale) -> Pairs:
    """The group commit alone, in this process: same batches, same loop, same connection settings."""
    return _appending(servers, scale, time.perf_counter)


def append_cpu(servers: Servers, scale: Scale) -> Pairs:
    """The same by this process' own CPU time, of which a web process has too little, and Valkey and fsync none."""
    return _appending(servers, scale, time.process_time)


def _appending(servers: Servers, scale: Scale, clock: Callable[[], float]) -> Pairs:
    count = _APPENDS if scale.rounds > 1 else _APPENDS // 20
    with servers.fresh() as settings, servers.redis() as redis:

        def rate(way: type[GroupCommit]) -> float:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                seconds = runner.run(_append_all(way, settings, count, clock))
            if sum(redis.xlen(f"ev:{lane}") for lane in range(settings.lanes)) != count:
                raise RuntimeError("an append is not in the stream")
            empty(redis)
            return count / seconds

        return by_turns(scale.rounds, lambda: rate(GroupCommit), lambda: rate(Piped))


class Piped(GroupCommit):
    """Group commit as one MULTI/EXEC of a pipeline, with what the script does as commands."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self._redis = redis

    async def _commit(self, group: list[Any]) -> None:
        counts, *rest = stream.arguments([member.batch for member in group], [])
        async with self._redis.pipeline(transaction=True) as pipe:
            for at in range(0, int(counts) * 5, 5):
                lane, site_id, batch_id, events, packed = rest[at : at + 5]
                pipe.xadd(str(lane), {"v": 1, "s": site_id, "b": batch_id, "n": events, "d": packed})
            for at in range(int(counts) * 5, len(rest), 3):
                key, field, events = rest[at : at + 3]
                pipe.hincrby(str(key), str(field), int(events))
            await pipe.execute()


async def _append_all(way: type[GroupCommit], settings: Settings, count: int, clock: Callable[[], float]) -> float:
    redis = commit.connect(settings)
    group, found = way(redis), batch(_SIZE)
    left = iter(range(count))

    async def request() -> None:
        for number in left:
            one = msgspec.structs.replace(found, batch_id=new_id(now()))
            await group.append(one.site_id, stream.pack(number % settings.lanes, one), {})

    began = clock()
    await asyncio.gather(*(request() for _ in range(_CONNECTIONS)))
    seconds = clock() - began
    await redis.aclose()
    return seconds


Side = Callable[[Settings], AbstractContextManager[object]]


def _accepting(servers: Servers, scale: Scale, chosen: Side, instead: Side) -> Pairs:
    """Both are started for each of their turns: an idle one would keep memory, connections and a share of the cores."""
    with servers.fresh() as settings, bodies(_SIZE) as path, servers.redis() as redis:

        def rate(side: Side) -> float:
            own = settings.model_copy(update={"port": free_port()})

            def plan(seconds: float) -> Plan:
                return Plan(port=own.port, requests=path, connections=_CONNECTIONS, seconds=seconds)

            with side(own):
                load.run(plan(0.5))
                empty(redis)
                result = load.run(plan(scale.seconds))
                must_hold(redis, result, _SIZE)
            return result.per_second

        return by_turns(scale.rounds, lambda: rate(chosen), lambda: rate(instead))


@contextmanager
def _granian(settings: Settings) -> Iterator[None]:
    argv = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(settings.port)]
    argv += ["--workers", "1", "--loop", "uvloop", "--no-access-log", "--backlog", "2048", _INGEST]
    with process(argv, settings, "granian") as child:
        await_http(settings, child, "granian")
        yield
