"""What RQ calls: drains that hand over to a successor, lanes that are removed, and draining without RQ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import psycopg
import pytest

from schema import stream
from schema.settings import Settings
from tests.make import T0, asked, batch, canonical
from tests.tripstream.waiting import until
from tests.workers.pipeline import Pipeline, meanwhile
from workers import jobs, process, queue
from workers.drain import LOCK_SPACE
from workers.process import Processed


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes a drain job's life end after so many reads, of which none waits."""

    def live(count: int) -> None:
        hours: Iterator[int] = iter([0, *[1] * count])
        monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: next(hours, 10_000)))
        monkeypatch.setattr(jobs, "_BLOCK_MS", 0)

    return live


def successors(pipe: Pipeline) -> list[int]:
    return sorted(queue.queued_lanes(pipe.redis))


def hold(pipe: Pipeline, lane: int) -> None:
    pipe.connection.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_SPACE, lane))


def test_a_drain_hands_over_to_a_successor(
    pipe: Pipeline, environment: Settings, rounds: Callable[[int], None]
) -> None:
    pipe.accept(batch(n=1), batch(n=2))
    rounds(2)
    jobs.drain_lane(0)
    assert pipe.value("SELECT count(*) FROM events") == 2
    assert successors(pipe) == [0]
    assert stream.is_draining(pipe.redis, 0)


def test_a_drain_lets_more_come_together_after_a_few_events_or_requests_and_not_after_nothing(
    pipe: Pipeline, environment: Settings, rounds: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(queue.stopping, "wait", waits.append)
    stream.append_asked(pipe.redis, 0, asked(1))
    pipe.accept(batch(n=1), lane=1)
    for lane, expected in ((0, 1), (1, 2), (0, 2)):
        rounds(1)
        jobs.drain_lane(lane)
        assert len(waits) == expected


def test_a_drain_that_is_asked_to_stop_stops_and_names_no_successor(
    pipe: Pipeline, environment: Settings, rounds: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.accept(batch(n=1))
    rounds(5)
    monkeypatch.setattr(stream, "beat", lambda *_: queue.stopping.set())  # while it works
    jobs.drain_lane(0)
    assert pipe.value("SELECT count(*) FROM events") == 1  # what it had begun it ended
    assert successors(pipe) == []
    pipe.accept(batch(n=2))
    jobs.drain_lane(0)
    assert pipe.redis.xlen("ev:0") == 1


def test_a_paused_drain_lets_go_of_its_lane_and_names_no_successor(
    pipe: Pipeline, environment: Settings, rounds: Callable[[int], None]
) -> None:
    stream.pause(pipe.redis, 5)
    rounds(5)
    jobs.drain_lane(0)
    assert successors(pipe) == []
    assert pipe.value("SELECT pg_try_advisory_lock(%s, 0)", LOCK_SPACE)


def test_a_second_drain_of_a_lane_leaves_at_once(
    pipe: Pipeline, environment: Settings, rounds: Callable[[int], None]
) -> None:
    pipe.accept(batch())
    hold(pipe, 0)
    rounds(5)
    jobs.drain_lane(0)
    assert pipe.redis.xlen("ev:0") == 1
    assert successors(pipe) == []
    assert not stream.is_draining(pipe.redis, 0)


def test_a_removed_lane_is_drained_until_it_is_empty_and_then_forgotten(
    pipe: Pipeline, environment: Settings, rounds: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPSTREAM_LANES", "2")
    stream.open_lanes(pipe.redis, 4)
    pipe.accept(batch(n=1), batch(n=2), lane=3)
    rounds(9)
    jobs.drain_lane(3)
    assert pipe.value("SELECT count(*) FROM events") == 2
    assert stream.known_lanes(pipe.redis, 2) == [0, 1, 2]
    assert successors(pipe) == []


def test_a_lane_in_use_is_never_forgotten(pipe: Pipeline, environment: Settings, rounds: Callable[[int], None]) -> None:
    rounds(2)
    jobs.drain_lane(1)
    assert pipe.redis.smembers(stream.LANES_KEY) == {b"0", b"1"}
    assert successors(pipe) == [1]


def test_an_empty_redis_is_given_its_lanes_again(
    pipe: Pipeline, environment: Settings, rounds: Callable[[int], None]
) -> None:
    pipe.redis.flushall()
    pipe.accept(batch())
    rounds(1)
    jobs.drain_lane(0)
    assert pipe.value("SELECT count(*) FROM events") == 1


def test_the_plain_drain_empties_every_lane_also_removed_ones(pipe: Pipeline) -> None:
    stream.open_lanes(pipe.redis, 4)
    for lane in range(4):
        pipe.accept(batch(n=lane), lane=lane)
    assert jobs.drain_plainly(pipe.settings) == 4
    assert pipe.value("SELECT count(*) FROM events") == 4


def test_the_plain_drain_passes_over_lanes_that_another_holds(pipe: Pipeline) -> None:
    pipe.accept(batch(n=0), lane=0)
    pipe.accept(batch(n=1), lane=1)
    hold(pipe, 0)
    assert jobs.drain_plainly(pipe.settings) == 1
    assert jobs.drain_plainly(pipe.settings, lanes=[0]) == 0
    assert pipe.redis.xlen("ev:0") == 1


def test_the_plain_drain_ends_when_its_time_is_up(pipe: Pipeline) -> None:
    pipe.accept(batch())
    assert jobs.drain_plainly(pipe.settings, seconds_max=0) == 0
    assert jobs.drain_plainly(pipe.settings, seconds_max=60) == 1


def test_processing_drains_what_was_queued_and_rolls_up(pipe: Pipeline) -> None:
    pipe.send(canonical(100))
    for lane in (0, 1):
        pipe.accept(batch(canonical(lane), canonical(10), n=lane), lane=lane)
    assert process.process_events(pipe.settings) == Processed(events=4, days=1)
    assert pipe.value("SELECT sum(events) FROM daily_events") == 4
    assert process.process_events(pipe.settings) == Processed(events=0, days=0)


def test_processing_waits_for_a_drain_that_holds_a_lane(pipe: Pipeline) -> None:
    pipe.accept(batch(n=1))
    hold(pipe, 0)
    done: list[Processed] = []
    tries = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND query LIKE 'SELECT pg_try_advisory_lock%'"
    )
    with (
        psycopg.connect(pipe.settings.database_url, autocommit=True) as owner,
        meanwhile(lambda: done.append(process.process_events(pipe.settings))) as finished,
    ):
        until(lambda: owner.execute(tries).fetchall(), "it tries the lane")
        pipe.drain()
        pipe.connection.execute("SELECT pg_advisory_unlock_all()")
        finished()
    assert done == [Processed(events=1, days=1)]


def test_processing_is_bounded(pipe: Pipeline) -> None:
    bounded = pipe.settings.model_copy(update={"process_events_seconds_max": 0})
    pipe.accept(batch(canonical(1, occurred_at=T0)))
    assert process.process_events(bounded) == Processed(events=0, days=0)
