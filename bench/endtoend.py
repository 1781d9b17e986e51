"""End to end: from HTTP to rows, batches of ten, on the whole stack (one web process, two drains, chores, clock).

In: unique events at a fixed rate. Out: events/s from the first request to the last committed row, at a rate at which
the backlog stays bounded: never more than two seconds of traffic. What holds: every accepted event is a row.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import psycopg

from bench.measured import Measured
from bench.rounds import Scale
from bench.servers import Servers, free_port, stack
from bench.stored import backlog_watched, events_stored, post_all, rows, until_stored
from schema.settings import Settings

_SIZE = 10
_BOUND_SECONDS = 2.0
_STEPS = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5)


class Run(NamedTuple):
    """One run at a rate. `backlog` is the most batches that waited."""

    per_second: float
    backlog: int
    is_bounded: bool


def measure(servers: Servers, scale: Scale) -> Measured:
    """As fast as it accepts first, which says about what rate to try; then at rates below that."""
    requests = scale.events // _SIZE * 2
    with servers.fresh(port=free_port()) as settings, stack(settings), psycopg.connect(settings.database_url) as stored:
        stored.autocommit = True
        _run(settings, stored, requests // 4, 0.0)
        flat_out = _run(settings, stored, requests, 0.0)
        tried = []
        for share in _STEPS:
            tried.append(_run(settings, stored, requests, share * flat_out.per_second / _SIZE))
            if tried[-1].is_bounded:
                break
        if rows(stored) != events_stored(stored):
            raise RuntimeError("some events are no rows")
    last = tried[-1]
    bounded = "" if last.is_bounded else " (NOT bounded)"
    return Measured(
        last.per_second,
        f"{last.per_second:,.0f} events/s; at most {last.backlog:,} batches waited{bounded}",
        f"flat out {flat_out.per_second:,.0f} events/s, {flat_out.backlog:,} batches waited",
        {"tried": [run._asdict() for run in tried], "flat_out": flat_out._asdict()},
    )


def _run(settings: Settings, stored: psycopg.Connection, requests: int, rate: float) -> Run:
    before = events_stored(stored)
    with backlog_watched(settings) as backlog:
        result = post_all(settings.port, requests, _SIZE, seed=requests + before, rate=rate)
        until_stored(stored, before + result.answered * _SIZE)
        seconds = time.time() - result.began_at
    most = max(backlog, default=0)
    return Run(result.answered * _SIZE / seconds, most, most <= _BOUND_SECONDS * result.answered / seconds)
