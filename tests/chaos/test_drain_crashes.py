"""kill -9 of the drain at each point, one at a time: what is there at that moment, and that all is well afterwards.

The product's RQ worker is a SimpleWorker: a job runs in the worker's own process, and there is no horse that could be
killed by itself or outlive its worker. kill -9 of the process is kill -9 of both.
"""

from __future__ import annotations

import pytest

from schema import db
from tests.chaos import points
from tests.chaos.conftest import Start
from tests.chaos.processes import HOLD, wait_for_death
from tests.chaos.queue import Queue
from tests.chaos.traffic import UNFORESEEN
from tests.tripstream.waiting import until
from workers.drain import LOCK_SPACE

BATCHES = 20


@pytest.mark.parametrize("point", points.POINTS)
def test_a_drain_killed_at_any_point_harms_nothing(queue: Queue, start: Start, point: str) -> None:
    queue.fill(BATCHES)
    if point == points.BISECTING:
        queue.poison(**UNFORESEEN)
    before = queue.waiting()
    drain = start(queue.drain())
    drain.arm(point)
    wait_for_death(drain, f"the drain reaches {point}")
    if point != points.BISECTING:  # which commits the halves that hold no poison
        assert (queue.rows() > 0) == (point in points.AFTER_COMMIT)
    assert queue.waiting() == (0 if point in points.AFTER_DELETE else before)
    assert (queue.pending() > 0) == (point not in (points.ACKNOWLEDGED, points.SLIDING))
    assert not queue.verdict().faults()


def test_a_drain_killed_at_every_point_in_turn_harms_nothing(queue: Queue, start: Start) -> None:
    for point in points.POINTS:
        queue.fill(3)
        queue.poison(**UNFORESEEN)
        drain = start(queue.drain())
        drain.arm(point)
        wait_for_death(drain, f"the drain reaches {point}")
    assert not queue.verdict().faults()


@pytest.mark.parametrize("point", [points.COPYING, points.WRITTEN, points.COMMITTED, points.DELETED])
def test_a_drain_that_stood_still_may_go_on_after_another_took_over(queue: Queue, start: Start, point: str) -> None:
    queue.fill(BATCHES)
    zombie = start(queue.drain())
    zombie.arm(point, action=HOLD)
    until(zombie.held, f"the drain reaches {point}")
    _end_session(queue, lane=0)  # as Postgres itself does after idle_in_transaction_session_timeout
    start(queue.drain())
    until(lambda: queue.backlog() == 0, "the other drains the lane")
    zombie.go()
    queue.fill(BATCHES)
    until(lambda: queue.backlog() == 0, "what came since is drained, by either")
    assert not queue.verdict().faults()


def _end_session(queue: Queue, lane: int) -> None:
    with db.connect(queue.settings, "owner") as connection:
        query = (
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
            " AND objid = %s AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        assert connection.execute(query, (LOCK_SPACE, lane)).rowcount == 1
