"""Draining the same kind of backlog with one worker and with two. In: two lanes filled over HTTP. Out: events/s.

What holds: everything that was posted left the queue. Postgres, Valkey and the drains share the machine's cores.
"""

from __future__ import annotations

from bench.draining import fill_and_drain
from bench.rounds import Pairs, Scale, by_turns
from bench.servers import Servers, free_port, web

_LANES = 2


def measure(servers: Servers, scale: Scale) -> Pairs:
    """A drain each of the two lanes, or one that takes one after the other."""
    with servers.fresh(port=free_port(), lanes=_LANES) as settings, web(settings):
        fill_and_drain(settings, scale.events // 6)  # dictionaries and months
        return by_turns(
            scale.rounds,
            lambda: fill_and_drain(settings, scale.events),
            lambda: fill_and_drain(settings, scale.events, [[0, 1]]),
        )
