"""What RQ calls. In: a lane, or a chore's name and tick. Out: nothing; the work is in drain, rollup and upkeep.

Each function opens its own connections and may be killed at any point; running one twice changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from schema import db, stream
from schema import settings as config
from schema.settings import Settings
from workers import queue
from workers.drain import Drain, lane_lock

_BEAT_SECONDS = 5
_BLOCK_MS = 1000
_LINGER_SECONDS = 0.1  # a transaction of few events costs nearly twice as much for each: let some more come together


def drain_lane(lane: int) -> None:
    """Drain one lane for up to `drain_seconds_max`, then ask for a successor."""
    settings = config.load()
    until = time.monotonic() + settings.drain_seconds_max
    with drains(settings, [lane]) as found:
        for drain in found:
            while time.monotonic() < until and not queue.stopping.is_set():
                stream.beat(drain.redis, lane, _BEAT_SECONDS)
                drained = drain.run_once(_BLOCK_MS)
                if drained == 0 and _is_retired(drain, settings):
                    return
                if stream.is_paused(drain.redis):
                    return
                if 0 < drained < settings.drain_events_max // 4:
                    queue.stopping.wait(_LINGER_SECONDS)
    if found and not queue.stopping.is_set():
        with stream.connect(settings.redis_url) as redis:
            queue.enqueue_drain(redis, lane, settings)


def run_chore(name: str, slot: str) -> None:
    """Run one chore of the clock's table, and write down how it went."""
    from workers import clock  # it imports the chores' modules, which a drain never needs

    clock.run_chore(config.load(), name, slot)


def drain_plainly(settings: Settings, seconds_max: float | None = None, lanes: list[int] | None = None) -> int:
    """Drain every lane that can be locked until it is empty, without RQ. Returns events and requests drained."""
    until = None if seconds_max is None else time.monotonic() + seconds_max
    total = 0
    with stream.connect(settings.streams_url) as redis:
        wanted = stream.known_lanes(redis, settings.lanes) if lanes is None else lanes
    with drains(settings, wanted) as found:
        for drain in found:
            total += drain.run_until_empty(_deadline(until))
    return total


@contextmanager
def drains(settings: Settings, lanes: list[int]) -> Iterator[list[Drain]]:
    """A drain for each of the lanes whose lock is free, all on one connection."""
    with ExitStack() as stack:
        connection = stack.enter_context(db.connect(settings))
        redis = stack.enter_context(stream.connect(settings.streams_url))
        stream.open_lanes(redis, settings.lanes)
        free = [lane for lane in lanes if stack.enter_context(lane_lock(connection, lane))]
        for lane in free:
            stream.adopt(redis, lane)
        yield [Drain(connection, redis, lane, settings) for lane in free]


def _is_retired(drain: Drain, settings: Settings) -> bool:
    """Whether this lane was removed from the settings and is empty: then it needs no drain any more."""
    return drain.lane >= settings.lanes and stream.forget_lane(drain.redis, drain.lane)


def _deadline(until: float | None) -> Callable[[], bool]:
    return lambda: queue.stopping.is_set() or (until is not None and time.monotonic() >= until)
