"""Accept's p99 at half of its capacity, open loop, while workers drain what comes in and rebuild the snapshot of trips.

In: the whole stack. Out: the 99th percentile from when a request was due to its 202, and beside it that of an fsync
of 4 KB on the same disk at the same time; the median of three spells. Capacity is what the stack can go on taking:
requests a second from the first sent to the last row stored. Answers alone come faster for as long as the queue may
grow; half of that rate is measured beside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psycopg
from redis import Redis

from bench.measured import Measured
from bench.rounds import Scale
from bench.servers import Servers, free_port, stack
from bench.stored import events_stored, post_all, sampled, until_stored
from recommender import seed
from schema import db
from schema.settings import Settings
from workers import queue

_SIZE = 10
_CONNECTIONS = 128
_OCCURRENCES = 100_000


class Spell(NamedTuple):
    """Some seconds at one rate. `rate` in requests a second, the rest in ms."""

    rate: float
    p50: float
    p99: float
    p999: float
    fsync_p99: float


def measure(servers: Servers, scale: Scale) -> Measured:
    """Capacity, then half of it."""
    requests = scale.events // _SIZE
    with ExitStack() as open_:
        settings = open_.enter_context(servers.fresh(port=free_port()))
        with db.connect(settings, "owner", statement_seconds_max=0) as owner:
            seed.fill(owner, _OCCURRENCES, datetime.now(UTC).date())
        open_.enter_context(stack(settings))
        rows = open_.enter_context(psycopg.connect(settings.database_url, autocommit=True))
        post_all(settings.port, requests // 4, _SIZE, seed=1)
        until_stored(rows, requests // 4 * _SIZE)
        burst = post_all(settings.port, requests * 2, _SIZE, seed=2)
        until_stored(rows, (requests // 4 + requests * 2) * _SIZE)
        capacity = requests * 2 / (time.time() - burst.began_at)
        spells = [_spell(settings, rows, requests, capacity / 2, one) for one in range(3, 3 + min(scale.rounds, 3))]
        beside = _spell(settings, rows, requests, burst.per_second / 2, seed=6)
    middle = sorted(spells, key=lambda spell: spell.p99)[len(spells) // 2]
    return Measured(
        middle.p99,
        f"p50 {middle.p50:.1f} ms, p99 {middle.p99:.1f} ms at {middle.rate:,.0f} requests/s",
        f"fsync of 4 KB: p99 {middle.fsync_p99:.1f} ms; at {beside.rate:,.0f} requests/s, half of what it answers while"
        f" the queue grows, p99 {beside.p99:.1f} ms",
        {"spells": [spell._asdict() for spell in spells], "beside": beside._asdict(), "capacity": capacity},
    )


def _spell(settings: Settings, rows: psycopg.Connection, requests: int, rate: float, seed: int) -> Spell:
    before = events_stored(rows)
    rows.execute("INSERT INTO catalogue_changes VALUES (NULL)")  # everything changed: the snapshot is built anew
    with Redis.from_url(settings.redis_url) as redis:
        queue.enqueue_chore(redis, "snapshot", datetime.now(UTC).isoformat(), 300, 10)
    with fsyncs_timed(settings.state) as fsyncs:
        result = post_all(settings.port, requests, _SIZE, seed=seed, rate=rate, connections=_CONNECTIONS)
    until_stored(rows, before + result.answered * _SIZE)
    p50, p99, p999 = (result.percentile(share) for share in (0.5, 0.99, 0.999))
    return Spell(rate, p50, p99, p999, sorted(fsyncs)[int(0.99 * len(fsyncs))])


@contextmanager
def fsyncs_timed(directory: Path) -> Iterator[list[float]]:
    """How long an fsync takes, in ms, a hundred times a second for as long as the block lasts."""
    with (directory / "fsync.probe").open("wb", buffering=0) as file:

        def probe() -> float:
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            return (time.perf_counter() - began) * 1000

        with sampled(probe, 0.01) as found:
            yield found
