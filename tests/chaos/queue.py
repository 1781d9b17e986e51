"""The pipeline without HTTP: batches queued as accept queues them, and what is known of them. In: settings and a seed.
Out: entries in lanes, a history of them, and the checker's verdict.
"""

from __future__ import annotations

import uuid
from random import Random
from typing import Any

from redis import Redis

from schema import db, sites, stream
from schema.event import Batch, Event, new_id, now
from schema.settings import Settings
from tests.chaos.checker import Verdict, check
from tests.chaos.history import History
from tests.chaos.processes import Process, drains
from tests.chaos.traffic import SPOILS, Traffic, Wire, canonical
from tests.tripstream.waiting import until
from workers import jobs


class Queue:
    """Lanes to put batches into. Everything put in is promised."""

    def __init__(self, settings: Settings, chance: Random) -> None:
        self.settings = settings
        self.chance = chance
        self.traffic = Traffic(Random(chance.getrandbits(64)))
        self.history = History()
        self._sent: list[list[Wire]] = []
        sites.announce(settings)

    def redis(self) -> Redis:
        """A client for the test's own looks; close it."""
        return stream.connect(self.settings.streams_url, seconds_max=2.0)

    def drain(self, lane: int = 0, *, locked: bool = True, mistake: str = "") -> Process:
        """A process that drains this lane."""
        return Process(drains, self.settings, [lane], locked, mistake)

    def put(self, events: list[Wire], lane: int = 0) -> None:
        """Promise one batch."""
        self.history.queued(events)
        self.append(batch_of([canonical(wire) for wire in events]), lane)

    def fill(self, batches: int, lane: int = 0) -> None:
        """Promise so many batches; every fifth is followed by an earlier one, from a sender who missed the answer."""
        for n in range(batches):
            self._sent.append(self.traffic.batch())
            self.put(self._sent[-1], lane)
            if n % 5 == 4:
                self.put(self.chance.choice(self._sent), lane)

    def append(self, batch: Batch, lane: int = 0) -> None:
        with self.redis() as redis, redis.pipeline(transaction=True) as pipe:
            stream.append(pipe, lane, batch)
            pipe.execute()

    def poison(self, lane: int = 0, **spoil: Any) -> None:
        """Promise a batch in which one event cannot be stored, for this reason or any.

        Accept would refuse it: this is what an ingest process with a mistake, or of another version, may queue.
        """
        good = self.traffic.batch()
        events = [canonical(wire) for wire in good]
        bad = canonical(self.traffic.event(), **spoil or self.chance.choice(SPOILS))
        events.insert(self.chance.randint(0, len(events)), bad)
        self.history.queued(good, [bad.event_id])
        self.append(batch_of(events), lane)

    def unreadable(self, lane: int = 0) -> None:
        """Queue an entry that cannot be read."""
        batch_id = uuid.UUID(self.traffic.uuid())
        self.history.queued([], unreadable=[batch_id])
        fields = {"v": b"1", "s": "default", "b": batch_id.bytes, "n": 2, "d": self.chance.randbytes(40)}
        with self.redis() as redis, redis.pipeline(transaction=True) as pipe:
            pipe.xadd(f"ev:{lane}", fields)
            pipe.hincrby("accepted:default", "events", 2)
            pipe.execute()

    def waiting(self, lane: int = 0) -> int:
        """Entries in the lane."""
        with self.redis() as redis:
            return stream.backlog(redis, [lane])[0].batches

    def pending(self, lane: int = 0) -> int:
        """Entries delivered and not acknowledged."""
        with self.redis() as redis:
            return int(redis.xpending(f"ev:{lane}", stream.GROUP)["pending"])

    def backlog(self) -> int:
        """Entries queued or not acknowledged, in all lanes."""
        with self.redis() as redis:
            return backlog(redis, self.settings)

    def stored(self, event_id: str) -> bool:
        with db.connect(self.settings) as connection:
            query = "SELECT FROM event_ids WHERE site_id = 'default' AND event_id = %s"
            return connection.execute(query, (uuid.UUID(event_id),)).rowcount == 1

    def rows(self) -> int:
        """Events stored."""
        with db.connect(self.settings) as connection:
            return int(connection.execute("SELECT count(*) FROM events").fetchall()[0][0])

    def drain_all(self) -> None:
        """A last, honest drain, as `tripstream drain --until-empty` does it."""
        until(lambda: (jobs.drain_plainly(self.settings), self.backlog())[1] == 0, "the queue runs empty", 30)

    def verdict(self) -> Verdict:
        """Drain what is left, and judge."""
        self.drain_all()
        return check(self.settings, self.history)


def batch_of(events: list[Event], **shared: Any) -> Batch:
    """A batch received now."""
    at = now()
    return Batch(**{"site_id": "default", "batch_id": new_id(at), "received_at": at, "events": events} | shared)


def backlog(redis: Redis, settings: Settings) -> int:
    """Entries queued or not acknowledged, in all lanes."""
    lanes = stream.known_lanes(redis, settings.lanes)
    waiting = sum(each.batches for each in stream.backlog(redis, lanes))
    return waiting + sum(redis.xpending(f"ev:{lane}", stream.GROUP)["pending"] for lane in lanes)
