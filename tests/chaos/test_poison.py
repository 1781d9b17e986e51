"""Entries and events that cannot be stored, not be read, or kill who reads them: their neighbours are stored all the
same, and what is bad is kept as dead letters, once.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from schema import db, stream
from tests.chaos import points
from tests.chaos.conftest import Start
from tests.chaos.queue import Queue, batch_of
from tests.chaos.traffic import SPOILS, canonical
from tests.tripstream.waiting import until
from workers import deadletters, jobs
from workers.drain import Drain


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: next(iter(spoil)))
def test_an_event_that_cannot_be_stored_costs_its_neighbours_nothing(queue: Queue, spoil: dict[str, Any]) -> None:
    queue.fill(3)
    queue.poison(**spoil)
    queue.fill(3)
    assert not queue.verdict().faults()


def test_many_bad_events_in_one_batch_are_each_found(queue: Queue) -> None:
    good = [queue.traffic.event() for _ in range(30)]
    bad = [canonical(queue.traffic.event(), **spoil) for spoil in SPOILS]
    queue.history.queued(good, [event.event_id for event in bad])
    events = [canonical(wire) for wire in good] + bad
    queue.chance.shuffle(events)
    queue.append(batch_of(events))
    queue.fill(2)
    assert not queue.verdict().faults()


@pytest.mark.parametrize("shared", [{"ip_prefix": "nowhere"}, {"country": "\0"}, {"user_agent": "\0"}], ids=str)
def test_a_batch_whose_every_row_is_refused_is_kept_event_by_event(queue: Queue, shared: dict[str, str]) -> None:
    events = [canonical(queue.traffic.event()) for _ in range(3)]
    if "user_agent" in shared:
        for event in events:
            event.user_agent = None
    queue.history.queued([], [event.event_id for event in events])
    queue.append(batch_of(events, **shared))
    queue.fill(3)
    assert not queue.verdict().faults()


UNREADABLE: dict[str, dict[str, Any]] = {
    "garbage": {"v": b"1", "s": "default", "n": 2, "d": b"\xc1garbage"},
    "another format": {"v": b"2", "s": "default", "n": 2, "d": b"\x93abc"},
    "a torn payload": {"v": b"1", "s": "default", "n": 2, "d": batch_of([]).pack()[:-3]},
    "a number that is none": {"v": b"1", "s": "default", "n": "two", "d": b""},
    "a number without end": {"v": b"1", "s": "default", "n": "9" * 30, "d": b"\xc1"},
    "a strange site": {"v": b"1", "s": b"\xff\x00", "n": 0, "d": b"\xc1"},
    "no field we know": {"hello": "world"},
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_entry_that_cannot_be_read_is_kept_as_it_came(queue: Queue, name: str) -> None:
    fields = UNREADABLE[name]
    queue.fill(3)
    with queue.redis() as redis:
        entry_id = redis.xadd("ev:0", fields).decode()
        if fields.get("n") == 2:
            redis.hincrby("accepted:default", "events", 2)
    queue.fill(3)
    verdict = queue.verdict()
    assert not verdict.faults()
    with db.connect(queue.settings) as connection:
        found = connection.execute("SELECT stream_id, event_id, raw FROM dead_letters").fetchall()
    assert [row[:2] for row in found] == [(entry_id, None)]
    assert not fields.get("d") or found[0][2] == fields["d"]


def test_an_entry_that_kills_its_drain_is_found_alone_and_kept(queue: Queue, start: Start) -> None:
    queue.fill(4)
    deadly = [canonical(queue.traffic.event(), path=points.DEADLY), canonical(queue.traffic.event())]
    queue.append(batch_of(deadly))
    queue.history.queued([], [event.event_id for event in deadly])
    queue.fill(4)
    deaths = 0
    while queue.backlog():
        drain = start(queue.drain())
        until(lambda: drain.died() or not queue.backlog(), "the drain dies, or empties the lane", 30)  # noqa: B023 called before the loop goes on
        deaths += drain.died()
        assert deaths < 15, "the lane is blocked"
    verdict = queue.verdict()
    assert not verdict.faults()
    with db.connect(queue.settings) as connection:  # with the mistake mended, or a patch, nothing is lost
        ids = deadletters.open_ids(connection)
        assert [r.verdict for r in deadletters.replay(connection, ids, queue.settings)] == ["replayed", "replayed"]


def test_an_outage_makes_no_dead_letters_however_often_the_drain_tries(queue: Queue) -> None:
    queue.fill(5)
    _writer(queue, "REVOKE INSERT ON events FROM")
    with db.connect(queue.settings) as connection, queue.redis() as redis:
        drain = Drain(connection, redis, 0, queue.settings)
        for _ in range(15):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                drain.run_once()
        assert stream.deliveries_max(redis, 0) <= 1
        _writer(queue, "GRANT INSERT ON events TO")
        drain.run_once()
        assert not redis.xlen("ev:0"), "one read is enough: they were not read one by one"
    assert not queue.verdict().faults()


def test_what_another_consumer_left_behind_is_taken_over_after_five_minutes(queue: Queue) -> None:
    queue.fill(5)
    with queue.redis() as redis:
        read = redis.xreadgroup(stream.GROUP, "stranger", {"ev:0": ">"})
        ids = [entry_id for entry_id, _ in read[0][1]]
        assert jobs.drain_plainly(queue.settings) == 0
        redis.xclaim("ev:0", stream.GROUP, "stranger", 0, ids, idle=300_001, justid=True)  # five minutes pass
    assert not queue.verdict().faults()


def test_replaying_dead_letters_twice_and_at_once_stores_them_once(queue: Queue) -> None:
    wires = [queue.traffic.event() for _ in range(5)]
    bad = [canonical(wire, position=1 << 40) for wire in wires]
    queue.append(batch_of(bad))
    queue.drain_all()
    with db.connect(queue.settings) as connection:
        ids = deadletters.open_ids(connection)
        for dead_letter_id in ids:
            deadletters.patch(connection, dead_letter_id, {"position": None})
        for _ in range(2):
            deadletters.replay(connection, ids, queue.settings)
        assert not deadletters.open_ids(connection)
        kept = connection.execute("SELECT event_id FROM dead_letters").fetchall()
        connection.execute("DELETE FROM dead_letters WHERE state = 'replayed'")  # the checker knows only open ones
    assert {row[0] for row in kept} == {UUID(wire["event_id"]) for wire in wires}
    queue.history.queued(wires)
    assert not queue.verdict().faults()


def _writer(queue: Queue, change: str) -> None:
    with db.connect(queue.settings, "owner") as connection:
        connection.execute(f"{change} tripstream_writer")
