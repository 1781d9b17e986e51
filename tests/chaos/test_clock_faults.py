"""Clocks that are two, that stop, that jump, that die between two steps. Time is a number here, not a wait."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schema import db, stream
from tests.chaos.queue import Queue
from tests.workers.pipeline import meanwhile
from workers import clock
from workers import queue as rq_queue
from workers.clock import CHORES

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOURS = timedelta(hours=1)


def test_two_clocks_make_each_tick_once_and_ask_for_each_chore_once(queue: Queue) -> None:
    times = [AT + timedelta(seconds=15) * n for n in range(16)]  # soon over: a job waits for ten seconds
    together = threading.Barrier(2)
    failures: list[BaseException] = []

    def tick() -> None:
        try:
            with clock_of(queue) as run:
                for at in times:
                    together.wait(30)
                    run(at)
        except BaseException as error:
            failures.append(error)
            together.abort()

    clocks = [threading.Thread(target=tick) for _ in range(2)]
    for thread in clocks:
        thread.start()
    for thread in clocks:
        thread.join(60)
    assert not failures
    assert asked(queue) == dict.fromkeys(ticks(queue), 1)
    expected = {"mirror": 16, "rollup": 4, "prune": 1, "partitions": 1}
    assert expected.items() <= Counter(name for name, _ in ticks(queue)).items()
    with queue.redis() as redis:
        drains = [job.args for job in rq_queue.queue(redis, rq_queue.DRAIN).jobs]
    assert 2 <= len(drains) <= 4, "one for each lane; the clocks may both have seen it missing, once"


@pytest.mark.parametrize("away", [3 * HOURS, 30 * 24 * HOURS], ids=["three hours", "a month"])
def test_a_clock_that_stood_still_catches_up_within_bounds(queue: Queue, away: timedelta) -> None:
    with clock_of(queue) as run:
        run(AT)
        before = set(ticks(queue))
        run(AT + away)
        made = Counter(name for name, _ in set(ticks(queue)) - before)
        for chore in CHORES:
            missed = (chore.slot(AT + away) - chore.slot(AT)) // chore.every
            assert made[chore.name] == min(missed, chore.catch_up), chore.name
        assert not [name for name in run(AT + away) if not name.startswith("drain")], "a second look finds nothing due"


def test_a_clock_that_is_set_back_makes_no_tick_twice(queue: Queue) -> None:
    with clock_of(queue) as run:
        run(AT)
        before = ticks(queue)
        for back in (timedelta(seconds=1), HOURS, 48 * HOURS):
            run(AT - back)
        assert ticks(queue) == before
        run(AT + timedelta(seconds=15))
        assert {chore for chore, _ in set(ticks(queue)) - set(before)} == {"mirror", "identities", "outbox", "snapshot"}


def test_a_clock_that_dies_between_asking_and_writing_it_down_asks_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue = rq_queue.enqueue_chore

    def die(*args: Any) -> None:
        enqueue(*args)
        raise SystemExit("killed")

    with clock_of(queue) as run, monkeypatch.context() as patch:
        patch.setattr(rq_queue, "enqueue_chore", die)
        with pytest.raises(SystemExit):
            run(AT)
    assert not ticks(queue)
    with clock_of(queue) as run:
        run(AT)
    assert set(asked(queue)) == set(ticks(queue)), "one of them twice, which does no harm"
    assert sum(asked(queue).values()) == len(ticks(queue)) + 1


@pytest.mark.parametrize("chore", [chore.name for chore in CHORES])
def test_a_chore_done_twice_at_once_changes_nothing(queue: Queue, chore: str) -> None:
    queue.fill(10)
    queue.drain_all()
    for _ in range(2):  # as when RQ calls a job abandoned that is still at work
        with meanwhile(lambda: clock.run_chore(queue.settings, chore, AT.isoformat())):
            clock.run_chore(queue.settings, chore, AT.isoformat())
    assert not queue.verdict().faults()


@contextmanager
def clock_of(queue: Queue) -> Iterator[Callable[[datetime], list[str]]]:
    """A clock with connections of its own; called with the time, it does what the clock does every second."""
    with db.connect(queue.settings) as connection, queue.redis() as redis:
        yield lambda at: clock.run_once(connection, redis, redis, queue.settings, at)


def ticks(queue: Queue) -> list[tuple[str, datetime]]:
    with db.connect(queue.settings) as connection:
        return connection.execute("SELECT chore, slot FROM clock_ticks ORDER BY 1, 2").fetchall()


def asked(queue: Queue) -> Counter[tuple[str, datetime]]:
    """How often each chore's slot is in the queue."""
    with stream.connect(queue.settings.redis_url) as redis:
        jobs = rq_queue.queue(redis, rq_queue.CHORES).jobs
        return Counter((job.args[0], datetime.fromisoformat(job.args[1])) for job in jobs)
