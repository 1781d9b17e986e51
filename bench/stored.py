"""From HTTP to rows, watched from outside. In: settings of a running product. Out: what was stored, what waits, and
ways to post fresh events and to wait for their rows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg
from redis import Redis

from bench import load
from bench.accepting import bodies
from bench.load import Plan, Result
from bench.traffic import USUAL, Habits
from schema.settings import Settings

Sample = TypeVar("Sample")
_PATIENCE_SECONDS = 120.0


def events_stored(connection: psycopg.Connection) -> int:
    """Events that left the queue, duplicates and dead ones included."""
    row = connection.execute("SELECT coalesce(sum(stored + duplicate + dead), 0) FROM drained").fetchone()
    return int(row[0]) if row else 0


def rows(connection: psycopg.Connection) -> int:
    """Rows in events."""
    row = connection.execute("SELECT count(*) FROM events").fetchone()
    return int(row[0]) if row else 0


def until_stored(connection: psycopg.Connection, events: int) -> None:
    """Wait until that many events left the queue. Raises RuntimeError when nothing moves any more."""
    before, moved = -1, time.monotonic()
    while (now := events_stored(connection)) < events:
        if now != before:
            before, moved = now, time.monotonic()
        elif time.monotonic() - moved > _PATIENCE_SECONDS:
            raise RuntimeError(f"{now} of {events} events stored, and nothing moves")
        time.sleep(0.01)


def post_all(
    port: int,
    requests: int,
    size: int,
    *,
    seed: int,
    connections: int = 64,
    rate: float = 0.0,
    habits: Habits = USUAL,
) -> Result:
    """Post that many fresh batches, each once; with `rate` so many requests a second."""
    with bodies(size, requests, seed, habits) as path:
        plan = Plan(port=port, requests=path, connections=connections, once=True)
        if rate:
            plan = Plan(port=port, requests=path, connections=connections, rate=rate, seconds=requests / rate)
        result = load.run(plan)
    if result.errors or result.answered < requests - 1:
        raise RuntimeError(f"{result.answered} answers and {result.errors} errors for {requests} requests")
    return result


@contextmanager
def backlog_watched(settings: Settings) -> Iterator[list[int]]:
    """Samples of how many batches wait, ten a second, for as long as the block lasts."""
    with Redis.from_url(settings.redis_url) as redis:

        def waiting() -> int:
            return sum(int(str(redis.xlen(f"ev:{lane}"))) for lane in range(settings.lanes))

        with sampled(waiting, 0.1) as found:
            yield found


@contextmanager
def sampled(sample: Callable[[], Sample], every_seconds: float) -> Iterator[list[Sample]]:
    """What `sample` returns, again and again in a thread, for as long as the block lasts."""
    found: list[Sample] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(every_seconds):
            found.append(sample())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
