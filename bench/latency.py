"""Accept's p99 at half of its capacity, open loop, while workers drain what comes in.

In: the whole stack. Out: the 99th percentile from when a request was due to its 202, and beside it that of an fsync
of 4 KB on the same disk at the same time. Capacity is measured first, under the same conditions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench.measured import Measured
from bench.rounds import Scale
from bench.servers import Servers, free_port, stack
from bench.stored import post_all, sampled, until_stored

_SIZE = 10
_CONNECTIONS = 128


def measure(servers: Servers, scale: Scale) -> Measured:
    """Capacity, then half of it for twice as long."""
    requests = scale.events // _SIZE
    with servers.fresh(port=free_port()) as settings, stack(settings), psycopg.connect(settings.database_url) as rows:
        rows.autocommit = True
        post_all(settings.port, requests // 4, _SIZE, seed=1)
        capacity = post_all(settings.port, requests, _SIZE, seed=2).per_second
        until_stored(rows, (requests // 4 + requests) * _SIZE)
        with fsyncs_timed(settings.state) as fsyncs:
            result = post_all(settings.port, requests, _SIZE, seed=3, rate=capacity / 2, connections=_CONNECTIONS)
    p99, fsync_p99 = result.percentile(0.99), sorted(fsyncs)[int(0.99 * len(fsyncs))]
    return Measured(
        p99,
        f"p50 {result.percentile(0.5):.1f} ms, p99 {p99:.1f} ms at {capacity / 2:,.0f} requests/s",
        f"fsync of 4 KB: p99 {fsync_p99:.1f} ms; capacity {capacity:,.0f} requests/s",
        {"p999_ms": result.percentile(0.999), "fsync_p99_ms": fsync_p99, "capacity": capacity},
    )


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
