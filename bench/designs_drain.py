"""Draining the same kind of backlog with one worker and with two. In: two lanes filled over HTTP. Out: events/s.

What holds: everything that was posted is a row. Postgres, Valkey and the drains share the machine's cores.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import psycopg

from bench.draining import finish_drain, start_drain
from bench.rounds import Pairs, Scale, by_turns
from bench.servers import Servers, free_port, web
from bench.stored import post_all, rows
from schema.settings import Settings

_LANES = 2
# As draining's own, for any lanes, one after the other: a worker that has two takes turns in production, too.
_DRAIN = """
import time
from schema import collector, settings as config
from workers import jobs
with jobs.drains(config.load(), {lanes}) as found:
    collector.spare()
    print("ready", flush=True); input()
    began = time.perf_counter(); cpu = time.process_time()
    events = sum(drain.run_until_empty() for drain in found)
    print(events, time.perf_counter() - began, time.process_time() - cpu)
"""
_seeds = count(9000)


def measure(servers: Servers, scale: Scale) -> Pairs:
    """A drain each of the two lanes, or one for both."""
    with servers.fresh(port=free_port(), lanes=_LANES) as settings, web(settings):
        _fill_and_drain(settings, scale.events // 6, [[0, 1]])  # dictionaries and months
        return by_turns(
            scale.rounds,
            lambda: _fill_and_drain(settings, scale.events, [[0], [1]]),
            lambda: _fill_and_drain(settings, scale.events, [[0, 1]]),
        )


def _fill_and_drain(settings: Settings, events: int, workers: list[list[int]]) -> float:
    """Events/s of drains that each have those lanes, until the last is done."""
    with psycopg.connect(settings.database_url, autocommit=True) as stored:
        before = rows(stored)
        post_all(settings.port, events // 10, 10, seed=next(_seeds))
        children = [start_drain(settings, _DRAIN.format(lanes=lanes)) for lanes in workers]
        with ThreadPoolExecutor(len(children)) as pool:
            done = list(pool.map(finish_drain, children))
        if rows(stored) - before != sum(drained for drained, *_ in done):
            raise RuntimeError(f"drained {done}, stored {rows(stored) - before}")
    return sum(drained for drained, *_ in done) / max(seconds for _, seconds, _ in done)
