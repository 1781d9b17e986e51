"""Against what one would otherwise write: the plain pipeline, and one INSERT per event.

In: the same unique events posted in the same way to the whole product and to the other. Out: events/s from the first
request to the last row, ours over theirs. Only one of the two runs at a time.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from itertools import count

import psycopg

from bench.measured import Measured
from bench.rounds import Pairs, Scale, by_turns
from bench.servers import Servers, free_port, process, served, stack
from bench.stored import events_stored, post_all, until_stored
from schema.settings import Settings

_seeds = count(5000)


def against_plain(servers: Servers, scale: Scale) -> Measured:
    """One event a request, both."""
    ours, theirs = scale.events // 3, scale.events // 6
    pairs = by_turns(
        min(scale.rounds, 3),
        lambda: _ours(servers, ours, 1),
        lambda: _plain(servers, theirs),
    )
    return _told(pairs, "FastAPI, XADD a request, batch insert")


def against_inserts(servers: Servers, scale: Scale) -> Measured:
    """Ten events a request, both; theirs commits each."""
    ours, theirs = scale.events, scale.events // 30
    pairs = by_turns(
        min(scale.rounds, 3),
        lambda: _ours(servers, ours, 10),
        lambda: _inserts(servers, theirs, 10),
    )
    return _told(pairs, "an INSERT and three counters per event")


def _told(pairs: Pairs, who: str) -> Measured:
    return Measured(
        pairs.ratio,
        f"{statistics.median(pairs.ours):,.0f} events/s",
        f"{statistics.median(pairs.reference):,.0f} events/s ({who})",
        pairs.details(),
    )


def _ours(servers: Servers, events: int, size: int) -> float:
    with servers.fresh(port=free_port()) as settings, stack(settings), psycopg.connect(settings.database_url) as stored:
        stored.autocommit = True
        warm = max(events // 10 // size, 20)
        post_all(settings.port, warm, size, seed=next(_seeds))
        until_stored(stored, warm * size)
        before = events_stored(stored)
        return _timed(settings, events, size, lambda: until_stored(stored, before + events // size * size))


def _plain(servers: Servers, events: int) -> float:
    with servers.fresh(port=free_port()) as settings, served("bench.plain:app", settings):
        worker = process([sys.executable, "-m", "bench.plain"], settings, "plain-worker")
        with worker, psycopg.connect(settings.database_url) as stored:
            stored.autocommit = True
            _until(lambda: _exists(stored))
            post_all(settings.port, events // 10, 1, seed=next(_seeds))
            _until(lambda: _newest(stored) >= events // 10)
            return _timed(settings, events, 1, lambda: _until(lambda: _newest(stored) >= events + events // 10))


def _inserts(servers: Servers, events: int, size: int) -> float:
    with servers.fresh(port=free_port()) as settings, served("bench.inserting:app", settings):
        post_all(settings.port, events // 10 // size, size, seed=next(_seeds))
        return _timed(settings, events, size, lambda: None)


def _timed(settings: Settings, events: int, size: int, until: Callable[[], None]) -> float:
    result = post_all(settings.port, events // size, size, seed=next(_seeds))
    until()
    return events // size * size / (time.time() - result.began_at)


def _exists(stored: psycopg.Connection) -> bool:
    row = stored.execute("SELECT to_regclass('plain_events') IS NOT NULL").fetchone()
    return bool(row and row[0])


def _newest(stored: psycopg.Connection) -> int:
    row = stored.execute("SELECT coalesce(max(id), 0) FROM plain_events").fetchone()
    return int(row[0]) if row else 0


def _until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"did not happen within {seconds:.0f} s")
        time.sleep(0.01)
