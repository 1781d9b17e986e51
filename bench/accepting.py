"""Accept: requests/s that end in a durable answer, over those of an app that reads the body and answers 202.

In: one web process of each on the same server software, ours with our protocol and theirs as it comes, the same 256
keep-alive connections (enough to keep a process busy while a group's fsync is awaited) and the same bodies, as fast as
answers come. What holds: every answer counted said success as its format does, and every batch of it was in the stream.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench import load, wires
from bench.load import Plan, Result
from bench.measured import Measured
from bench.rounds import Scale, by_turns
from bench.servers import Servers, free_port, served, web
from bench.traffic import USUAL, Habits, posts
from bench.wires import Wire

BARE = "bench.bare:app"
_CONNECTIONS = 256
_BODIES = 3000
_DIALECT_ROUNDS = 3


def batches(servers: Servers, scale: Scale) -> Measured:
    """Ten events a request."""
    return _measure(servers, scale, wires.NATIVE[10])


def singles(servers: Servers, scale: Scale) -> Measured:
    """One event a request."""
    return _measure(servers, scale, wires.NATIVE[1])


def dialect(wire: Wire) -> Callable[[Servers, Scale], Measured]:
    """The same in another format, in fewer rounds."""

    def measure(servers: Servers, scale: Scale) -> Measured:
        return _measure(servers, scale._replace(rounds=min(scale.rounds, _DIALECT_ROUNDS)), wire)

    return measure


def _measure(servers: Servers, scale: Scale, wire: Wire) -> Measured:
    with servers.fresh(port=free_port()) as settings:
        beside = settings.model_copy(update={"port": free_port()})
        with web(settings), served(BARE, beside), _requests(wire) as path:
            results: list[Result] = []

            def ours() -> float:
                result = load.run(_plan(settings.port, path, scale, wire.status))
                results.append(result)
                with servers.redis() as redis:
                    must_hold(redis, result, wire.size)
                return result.per_second

            def bare() -> float:
                return load.run(_plan(beside.port, path, scale)).per_second

            _warm_up(settings.port, beside.port, path)
            with servers.redis() as redis:
                empty(redis)
            pairs = by_turns(scale.rounds, ours, bare)
    middle = [statistics.median(r.percentile(share) for r in results) for share in (0.5, 0.99)]
    rate = statistics.median(pairs.ours)
    return Measured(
        pairs.ratio,
        f"{rate:,.0f} requests/s, {rate * wire.size:,.0f} events/s; p50 {middle[0]:.1f} ms, p99 {middle[1]:.1f} ms",
        f"{statistics.median(pairs.reference):,.0f} requests/s",
        pairs.details(),
    )


@contextmanager
def bodies(size: int, count: int = _BODIES, seed: int = 1, habits: Habits = USUAL) -> Iterator[str]:
    """A file of rendered requests for our endpoint of that size."""
    with _requests(wires.NATIVE[size], count, seed, habits) as path:
        yield path


@contextmanager
def _requests(wire: Wire, count: int = _BODIES, seed: int = 1, habits: Habits = USUAL) -> Iterator[str]:
    made = posts(count, wire.size, seed=seed, habits=habits, render=wire.render)
    with load.rendered(made, wire.path) as path:
        yield path


def must_hold(redis: Any, result: Result, size: int) -> None:
    """Every answer has its batch in the stream, and all said success; then the streams are emptied."""
    lanes = sorted(key.decode() for key in redis.keys("ev:[0-9]*"))
    queued = sum(redis.xlen(lane) for lane in lanes)
    promised = int(redis.hget("accepted:default", "events") or 0)
    if result.errors or queued != result.answered or promised != queued * size:
        raise RuntimeError(f"{result.answered} answers, {result.errors} errors, {queued} queued, {promised} promised")
    empty(redis)


def empty(redis: Any) -> None:
    """Drop what is queued, and let the append-only file be rewritten now rather than in the next round."""
    lanes = [key.decode() for key in redis.keys("ev:[0-9]*")]
    for lane in lanes:
        redis.xtrim(lane, maxlen=0, approximate=False)
    redis.hdel("accepted:default", "events")
    redis.bgrewriteaof()
    while redis.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.05)


def _plan(port: int, path: str, scale: Scale, status: int = 202) -> Plan:
    return Plan(port=port, requests=path, connections=_CONNECTIONS, seconds=scale.seconds, status=status)


def _warm_up(ours: int, bare: int, path: str) -> None:
    for port in (ours, bare):
        load.run(Plan(port=port, requests=path, connections=_CONNECTIONS, seconds=0.5))
