"""A whole Tripstream under test: private servers, ingest over HTTP, a drain a lane, chores, senders. In: servers and a
seed. Out: faults may be done to any part of it, and `settle` says what became of what was sent.

What a supervisor does in the product (start again whatever ended) the test does here, and nothing more: no queue is
mended, no row touched.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.chaos.checker import Verdict, check
from tests.chaos.history import OK
from tests.chaos.processes import Process, chores, end_all, web
from tests.chaos.queue import Queue
from tests.chaos.sender import Sender
from tests.chaos.traffic import Wire
from tests.conftest import Servers
from tests.tripstream.waiting import until

ACCEPT_SECONDS = 0.5
SENDERS = 3


class Rig(Queue):
    """`drains` are by lane. Start and stop servers from the main thread only."""

    def __init__(self, servers: Servers, chance: Random) -> None:
        settings = servers.settings(
            port=_free_port(), redis_seconds_max=ACCEPT_SECONDS, drain_entries_max=200, drain_events_max=500
        )
        super().__init__(settings, chance)
        self.servers = servers
        self.web = Process(web, settings)
        self.chores = Process(chores, settings)
        self.drains = {lane: self.drain(lane) for lane in range(settings.lanes)}
        until(lambda: self.post(self.traffic.batch()) == OK, "ingest accepts", 30)

    def revive(self) -> None:
        """Start again what died, as a supervisor does."""
        for lane, process in self.drains.items():
            if process.code is not None:
                process.end()
                self.drains[lane] = self.drain(lane)
        if self.chores.code is not None:
            self.chores.end()
            self.chores = Process(chores, self.settings)
        if self.web.code is not None:
            self.web.end()
            self.web = Process(web, self.settings)

    def post(self, events: Sequence[Wire]) -> str:
        """Send one batch on a connection of its own, and write down how it went."""
        sender = Sender(self.history, self.settings.port, 0)
        try:
            return sender.post(events)
        finally:
            sender.hang_up()

    def recovered(self) -> bool:
        """Whether what is sent now is accepted and stored: one event, asked for until it is there."""
        probe = [self.traffic.event()]
        until(lambda: self.post(probe) == OK, "a batch is accepted again", 30)
        until(lambda: self.stored(probe[0]["event_id"]), "what was accepted is stored", 30)
        return True

    def append_only_file(self) -> Path:
        """What Valkey writes its promises to."""
        return max(self.settings.state.glob("valkey/appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime)

    def settle(self) -> Verdict:
        """Let the drains finish by themselves, stop everything, and judge."""
        self.revive()
        until(lambda: self.backlog() == 0, "the queue runs empty", 60)
        self.end()
        return check(self.settings, self.history)

    def end(self) -> None:
        """Stop our processes; the servers are somebody else's."""
        end_all([*self.drains.values(), self.chores, self.web])

    @contextmanager
    def senders(self) -> Iterator[None]:
        """Visitors keep coming during the block."""
        stop = threading.Event()
        seeds = [self.chance.getrandbits(64) for _ in range(SENDERS)]
        senders = [Sender(self.history, self.settings.port, seed) for seed in seeds]
        threads = [threading.Thread(target=sender.run, args=(stop,)) for sender in senders]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
