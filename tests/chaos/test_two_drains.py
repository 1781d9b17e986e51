"""Drains that meet: on one lane without its lock, in one visitor from two lanes, in a deadlock."""

from __future__ import annotations

import contextlib

import psycopg

from schema import db
from tests.chaos.conftest import Start
from tests.chaos.processes import Process, drains
from tests.chaos.queue import Queue, batch_of
from tests.chaos.traffic import canonical
from tests.tripstream.waiting import until
from tests.workers.pipeline import meanwhile, until_blocked
from workers.drain import Drain

RIVALS = 3


def test_drains_of_one_lane_need_no_lock_to_be_right(queue: Queue, start: Start) -> None:
    queue.fill(100)
    for _ in range(RIVALS):
        start(queue.drain(locked=False))
    queue.fill(100)
    until(lambda: queue.backlog() == 0, "the lane is drained", 60)
    assert not queue.verdict().faults()


def test_the_same_events_in_two_lanes_are_stored_once(queue: Queue, start: Start) -> None:
    for _ in range(60):
        events = queue.traffic.batch()
        queue.put(events, lane=0)
        queue.put(events[::-1], lane=1)
    for lane in (0, 1):
        start(queue.drain(lane))
    until(lambda: queue.backlog() == 0, "both lanes are drained", 60)
    assert not queue.verdict().faults()


def test_the_same_entry_in_two_lanes_is_one_batch(queue: Queue, start: Start) -> None:
    for _ in range(30):
        wires = queue.traffic.batch()
        queue.history.queued(wires)
        batch = batch_of([canonical(wire) for wire in wires])
        for lane in (0, 1):  # an append-only file of yesterday, put back: what was drained is there again
            queue.append(batch, lane)
    for _ in range(RIVALS):
        start(Process(drains, queue.settings, [0, 1], False))
    until(lambda: queue.backlog() == 0, "both lanes are drained", 60)
    verdict = queue.verdict()
    assert verdict.problems[0].endswith("accepted events are nowhere"), "it was promised twice, and is one"
    assert not verdict._replace(problems=[]).faults()


def test_a_drain_that_loses_a_deadlock_tries_again(queue: Queue) -> None:
    seen = queue.traffic.event() | {"event_type": "click_trip", "trip_id": 7}
    queue.put([seen])
    queue.drain_all()
    wire = queue.traffic.event() | {"event_type": "click_trip", "trip_id": 7}
    batch = batch_of([canonical(wire)])
    queue.history.queued([wire])
    queue.append(batch)
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(psycopg.connect(queue.settings.database_url))
        other.execute("SET deadlock_timeout = '1min'")  # the drain will be the one to notice, and to give way
        other.execute("SELECT FROM trip_interactions WHERE trip_id = 7 FOR UPDATE")
        connection = stack.enter_context(db.connect(queue.settings))
        drain = Drain(connection, stack.enter_context(queue.redis()), 0, queue.settings)
        stack.enter_context(meanwhile(drain.run_once))
        until_blocked(queue.settings)
        other.execute(
            "INSERT INTO batches (batch_id, site_id, received_at, accepted, stored)"
            " VALUES (%s, 'default', now(), 0, 0)",
            (batch.batch_id,),
        )
        other.rollback()
    assert queue.backlog() == 0
    assert not queue.verdict().faults()
