"""A whole Tripstream under test: private servers, ingest over HTTP, a drain a lane, senders. In: servers and a seed.
Out: faults may be done to any part of it, and `settle` says what became of what was sent.

What a supervisor does in the product (start again whatever ended) the test does here, and nothing more: no queue is
mended, no row touched.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from redis import Redis

from schema import db, sites, stream
from schema.event import Batch
from schema.settings import Settings
from tests.chaos.checker import Verdict, check
from tests.chaos.history import FAIL, OK, UNKNOWN, History
from tests.chaos.processes import Process, drains, web
from tests.chaos.traffic import Traffic, Wire
from tests.conftest import Servers
from tests.tripstream.waiting import until
from workers import jobs

ACCEPT_SECONDS = 0.5
SENDERS = 3
_PACE_SECONDS = 0.008


class Rig:
    """`drains` are by lane. Start and stop servers from the main thread only."""

    def __init__(self, servers: Servers, chance: Random) -> None:
        self.servers = servers
        self.chance = chance
        self.settings = servers.settings(
            port=free_port(), redis_seconds_max=ACCEPT_SECONDS, drain_entries_max=200, drain_events_max=500
        )
        self.traffic = Traffic(Random(chance.getrandbits(64)))
        self.history = History()
        sites.announce(self.settings)
        self.web = Process(web, self.settings)
        self.drains = {lane: self.new_drain(lane) for lane in range(self.settings.lanes)}
        until(lambda: self.post(self.traffic.batch()) == OK, "ingest accepts", 30)

    def new_drain(self, lane: int, *, locked: bool = True) -> Process:
        return Process(drains, self.settings, [lane], locked)

    def revive(self) -> None:
        """Start again what died, as a supervisor does."""
        for lane, process in self.drains.items():
            if process.code is not None:
                process.end()
                self.drains[lane] = self.new_drain(lane)
        if self.web.code is not None:
            self.web.end()
            self.web = Process(web, self.settings)

    def redis(self) -> Redis:
        """A client for the test's own looks; close it."""
        return stream.connect(self.settings.streams_url, seconds_max=2.0)

    def post(self, events: Sequence[Wire], seconds_max: float = 5.0) -> str:
        """Send one batch on a connection of its own, and write down how it went."""
        sender = Sender(self, 0)
        try:
            return sender.post(events, seconds_max)
        finally:
            sender.hang_up()

    def recovered(self) -> bool:
        """Whether what is sent now is accepted and stored: one event, asked for until it is there."""
        probe = [self.traffic.event()]
        until(lambda: self.post(probe) == OK, "a batch is accepted again", 30)
        until(lambda: self.stored(probe[0]["event_id"]), "what was accepted is stored", 30)
        return True

    def stored(self, event_id: str) -> bool:
        with db.connect(self.settings) as connection:
            query = "SELECT FROM event_ids WHERE site_id = 'default' AND event_id = %s"
            return connection.execute(query, (uuid.UUID(event_id),)).rowcount == 1

    def backlog(self) -> int:
        """Entries queued or not acknowledged."""
        with self.redis() as redis:
            return backlog(redis, self.settings)

    def pending(self, lane: int) -> int:
        """Entries delivered and not acknowledged."""
        with self.redis() as redis:
            return int(redis.xpending(f"ev:{lane}", stream.GROUP)["pending"])

    def append_only_file(self) -> Path:
        """What Valkey writes its promises to."""
        return max(self.settings.state.glob("valkey/appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime)

    def poison(self, lane: int) -> None:
        """Queue a batch with an event that cannot be stored."""
        batch, good, bad = self.traffic.poison()
        self.history.queued(good, [bad])
        with self.redis() as redis:
            promise(redis, lane, batch)

    def unreadable(self, lane: int) -> None:
        """Queue an entry that cannot be read."""
        batch_id = uuid.UUID(self.traffic.uuid())
        self.history.queued([], unreadable=[batch_id])
        fields = {"v": b"1", "s": "default", "b": batch_id.bytes, "n": 2, "d": self.chance.randbytes(40)}
        with self.redis() as redis, redis.pipeline(transaction=True) as pipe:
            pipe.xadd(f"ev:{lane}", fields)
            pipe.hincrby("accepted:default", "events", 2)
            pipe.execute()

    def settle(self) -> Verdict:
        """Let the drains finish by themselves, stop everything, and judge."""
        self.revive()
        until(lambda: self.backlog() == 0, f"the queue runs empty; see {self.web.log}", 60)
        self.end()
        return check(self.settings, self.history)

    def end(self) -> None:
        """Stop our processes; the servers are somebody else's."""
        for process in (*self.drains.values(), self.web):
            process.end()

    @contextmanager
    def senders(self) -> Iterator[None]:
        """Visitors keep coming during the block; who is owed an answer asks again, most of the time."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=Sender(self, self.chance.getrandbits(64)).run, args=(stop,)) for _ in range(SENDERS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)


class Sender:
    """One browser: posts, and resends what was not answered, with the same ids."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._chance = Random(seed)
        self._traffic = Traffic(Random(seed + 1))
        self._line: http.client.HTTPConnection | None = None

    def run(self, stop: threading.Event) -> None:
        again: list[list[Wire]] = []
        while not stop.wait(_PACE_SECONDS):
            events = again.pop() if again and self._chance.random() < 0.5 else self._traffic.batch()
            outcome = self.post(events)
            if outcome == OK and self._chance.random() < 0.1:  # a resend nobody needed, perhaps with new events in it
                again.append(events[: self._chance.randint(1, len(events))] + self._traffic.batch(2))
            elif outcome == UNKNOWN and self._chance.random() < 0.7:
                again.append(events)
            if outcome != OK:
                stop.wait(0.05)
        self.hang_up()

    def post(self, events: Sequence[Wire], seconds_max: float = 5.0) -> str:
        history = self._rig.history
        history.invoke(events)
        began = time.monotonic()
        try:
            status, retry_after, answer = self._exchange(events, seconds_max)
            outcome = _outcome(status, retry_after, answer, len(events))
        except ConnectionRefusedError:
            outcome = FAIL
        except (OSError, http.client.HTTPException):
            outcome = UNKNOWN
        if outcome != OK:
            self.hang_up()
        history.complete(events, outcome, time.monotonic() - began)
        return outcome

    def _exchange(self, events: Sequence[Wire], seconds_max: float) -> tuple[int, str, Any]:
        if self._line is None:
            self._line = http.client.HTTPConnection("127.0.0.1", self._rig.settings.port, timeout=seconds_max)
        body = json.dumps({"events": list(events)})
        self._line.request("POST", "/api/events/batch", body, {"content-type": "application/json"})
        response = self._line.getresponse()
        return response.status, response.getheader("retry-after", ""), json.loads(response.read())

    def hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def _outcome(status: int, retry_after: str, answer: Any, n: int) -> str:
    """202 is a promise; 503 says "perhaps", except before anything was sent to Redis, when it says so."""
    if status == 202:
        assert answer["accepted"] == n, answer
        assert answer["durability"] == "fsync", answer
        return OK
    assert (status, answer["code"]) == (503, "busy"), (status, answer)
    assert retry_after.isdigit(), "a 503 says when to come back"
    return FAIL if "is full" in answer["message"] else UNKNOWN


def promise(redis: Redis, lane: int, batch: Batch) -> None:
    """Accept a batch without HTTP."""
    with redis.pipeline(transaction=True) as pipe:
        stream.append(pipe, lane, batch)
        pipe.execute()


def backlog(redis: Redis, settings: Settings) -> int:
    """Entries queued or not acknowledged."""
    lanes = stream.known_lanes(redis, settings.lanes)
    waiting = sum(each.batches for each in stream.backlog(redis, lanes))
    return waiting + sum(redis.xpending(f"ev:{lane}", stream.GROUP)["pending"] for lane in lanes)


def drain_all(settings: Settings) -> None:
    """A last, honest drain, as `tripstream drain --until-empty` does it."""
    with stream.connect(settings.streams_url) as redis:
        until(lambda: (jobs.drain_plainly(settings), backlog(redis, settings))[1] == 0, "the queue runs empty", 30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
