"""The clock: every tick once however many clocks run, missed ones made up for within bounds, one drain a lane."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schema import db, stream
from schema.errors import StorageError
from schema.settings import Settings
from tests.workers.pipeline import Pipeline, pipeline
from workers import clock, queue
from workers.clock import CHORES, Chore

AT = datetime(2026, 1, 2, 12, 0, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NAMES = [chore.name for chore in CHORES]


def tick(pipe: Pipeline, at: datetime = AT) -> list[str]:
    return clock.run_once(pipe.connection, pipe.redis, pipe.redis, pipe.settings, at)


def slots(pipe: Pipeline, chore: str) -> list[datetime]:
    return [slot for (slot,) in pipe.rows("SELECT slot FROM clock_ticks WHERE chore = %s ORDER BY 1", chore)]


def queued(pipe: Pipeline, name: str = queue.CHORES) -> list[tuple[Any, ...]]:
    return [(job.func_name, *job.args) for job in queue.queue(pipe.redis, name).jobs]


def test_the_first_tick_asks_for_a_drain_a_lane_and_for_each_chore(pipe: Pipeline) -> None:
    assert tick(pipe) == ["drain 0", "drain 1", *NAMES]
    assert queued(pipe, queue.DRAIN) == [("workers.jobs.drain_lane", 0), ("workers.jobs.drain_lane", 1)]
    assert queued(pipe) == [
        ("workers.jobs.run_chore", "mirror", "2026-01-02T12:00:00+00:00"),
        ("workers.jobs.run_chore", "identities", "2026-01-02T12:00:05+00:00"),
        ("workers.jobs.run_chore", "rollup", "2026-01-02T12:00:00+00:00"),
        ("workers.jobs.run_chore", "outbox", "2026-01-02T12:00:05+00:00"),
        ("workers.jobs.run_chore", "snapshot", "2026-01-02T12:00:00+00:00"),
        ("workers.jobs.run_chore", "erasures", "2026-01-02T12:00:00+00:00"),
        ("workers.jobs.run_chore", "prune", "2026-01-02T12:00:00+00:00"),
        ("workers.jobs.run_chore", "partitions", "2026-01-02T02:00:00+00:00"),
        ("workers.jobs.run_chore", "retention", "2026-01-02T02:00:00+00:00"),
    ]


def test_nothing_is_asked_for_twice_also_not_by_a_second_clock(pipe: Pipeline) -> None:
    tick(pipe)
    with pipeline(pipe.settings) as other:
        assert tick(other) == tick(pipe) == tick(pipe, AT + timedelta(seconds=2)) == []
    assert len(queued(pipe)) == len(CHORES)


def test_each_chore_comes_when_its_time_comes(pipe: Pipeline) -> None:
    tick(pipe)
    often = ["identities", "rollup", "outbox", "snapshot", "erasures"]
    assert tick(pipe, AT + timedelta(seconds=3)) == ["identities", "outbox", "snapshot"]
    assert tick(pipe, AT + timedelta(seconds=8)) == ["mirror", "identities", "outbox"]
    assert tick(pipe, AT + timedelta(seconds=53)) == ["mirror", *often]
    assert tick(pipe, AT + 15 * MINUTE) == ["mirror", *often, "prune"]
    assert tick(pipe, AT + timedelta(hours=13, minutes=59)) == ["mirror", *often, "prune"]
    assert tick(pipe, AT + timedelta(hours=14)) == NAMES
    assert slots(pipe, "partitions")[-1] == datetime(2026, 1, 3, 2, tzinfo=UTC)


def test_missed_ticks_are_made_up_for_within_bounds(pipe: Pipeline) -> None:
    tick(pipe)
    done = tick(pipe, AT + timedelta(days=10))
    assert {name: done.count(name) for name in NAMES} == dict.fromkeys(NAMES, 1) | {"partitions": 3}
    assert slots(pipe, "partitions") == [datetime(2026, 1, day, 2, tzinfo=UTC) for day in (2, 10, 11, 12)]


def test_a_clock_that_goes_backwards_asks_for_nothing(pipe: Pipeline) -> None:
    tick(pipe)
    assert tick(pipe, AT - timedelta(days=1)) == []


@pytest.mark.parametrize(
    ("last", "at", "expected"),
    [
        (None, 100, [100]),
        (None, 109, [100]),
        (100, 100, []),
        (100, 109, []),
        (100, 110, [110]),
        (100, 125, [110, 120]),
        (100, 155, [130, 140, 150]),
        (100, 90, []),
    ],
)
def test_what_is_due(last: int | None, at: int, expected: list[int]) -> None:
    def moment(seconds: int) -> datetime:
        return datetime.fromtimestamp(seconds, UTC)

    chore = Chore("x", lambda _: None, timedelta(seconds=10), catch_up=3)
    found = clock.due(chore, None if last is None else moment(last), moment(at))
    assert found == [moment(seconds) for seconds in expected]


def test_a_slot_is_shifted_by_its_offset() -> None:
    chore = Chore("x", lambda _: None, timedelta(days=1), offset=timedelta(hours=2))
    assert chore.slot(datetime(2026, 1, 2, 1, 59, tzinfo=UTC)) == datetime(2026, 1, 1, 2, tzinfo=UTC)
    assert chore.slot(datetime(2026, 1, 2, 2, tzinfo=UTC)) == datetime(2026, 1, 2, 2, tzinfo=UTC)


def test_no_drain_is_asked_for_where_one_waits_or_works(pipe: Pipeline) -> None:
    stream.beat(pipe.redis, 0, 5)
    queue.enqueue_drain(pipe.redis, 1, pipe.settings)
    assert tick(pipe) == NAMES


def test_a_removed_lane_gets_a_drain_until_it_is_forgotten(pipe: Pipeline) -> None:
    stream.open_lanes(pipe.redis, 3)
    assert "drain 2" in tick(pipe)
    stream.forget_lane(pipe.redis, 2)
    pipe.redis.delete("rq:queue:drain")
    assert tick(pipe, AT + timedelta(seconds=1)) == ["drain 0", "drain 1"]


def test_a_tick_whose_job_could_not_be_queued_is_no_tick(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(queue, "enqueue_chore", full)
        with pytest.raises(ConnectionError):
            tick(pipe)
    assert slots(pipe, "mirror") == []
    assert tick(pipe) == NAMES


def run(settings: Settings, name: str) -> None:
    clock.run_chore(settings, name, AT.replace(second=0).isoformat())


def outcome(pipe: Pipeline) -> tuple[bool, bool, str | None]:
    return pipe.row(
        "SELECT started_at IS NOT NULL, finished_at IS NOT NULL, error FROM clock_ticks WHERE chore = 'rollup'"
    )


def test_a_chore_writes_down_that_it_was_done(pipe: Pipeline) -> None:
    tick(pipe)
    pipe.send()
    assert outcome(pipe) == (False, False, None)
    run(pipe.settings, "rollup")
    assert outcome(pipe) == (True, True, None)
    assert pipe.value("SELECT count(*) FROM rollup_hourly") == 1


def test_a_chores_error_is_written_down_in_a_line_and_raised(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Settings) -> None:
        raise StorageError("no\nway" + "x" * 1000)

    tick(pipe)
    with monkeypatch.context() as broken:
        broken.setitem(clock._BY_NAME, "rollup", Chore("rollup", fails, MINUTE))
        with pytest.raises(StorageError):
            run(pipe.settings, "rollup")
    assert outcome(pipe) == (True, True, "StorageError: no")
    run(pipe.settings, "rollup")
    assert outcome(pipe) == (True, True, None)


def test_a_chore_that_was_killed_says_so(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_: Settings) -> None:
        raise SystemExit

    tick(pipe)
    monkeypatch.setitem(clock._BY_NAME, "rollup", Chore("rollup", killed, MINUTE))
    with pytest.raises(SystemExit):
        run(pipe.settings, "rollup")
    assert outcome(pipe) == (True, True, "killed or unreachable")


def test_every_chore_does_its_work(pipe: Pipeline) -> None:
    tick(pipe)
    for chore in CHORES:
        clock.run_chore(pipe.settings, chore.name, chore.slot(AT).isoformat())
    done = "SELECT count(*) FROM clock_ticks WHERE finished_at IS NOT NULL AND error IS NULL"
    assert pipe.value(done) == len(CHORES)


def test_the_loop_waits_while_postgres_or_redis_is_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(clock.time, "sleep", pauses.append)
    away = settings.model_copy(update={"database_url": "postgresql:///nothing?host=/nowhere"})
    clock.run(away, lambda: len(pauses) >= 3)
    assert pauses == [2, 2, 2]


def test_the_loop_ticks_once_a_second_and_says_that_it_lives(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(clock, "heed", lambda *given: pauses.append(given[-1]))
    clock.run(pipe.settings, lambda: len(pauses) >= 2)
    assert pauses == [1, 1]
    assert stream.is_ticking(pipe.redis)
    assert len(queued(pipe, queue.DRAIN)) == 2


def test_a_change_of_the_catalogue_asks_for_a_snapshot_at_once_and_for_one_only(pipe: Pipeline) -> None:
    pipe.connection.execute("LISTEN catalogue")
    with db.connect(pipe.settings) as other:
        with other.transaction():
            other.execute("SELECT pg_notify('catalogue', '1'), pg_notify('catalogue', '2')")
        assert clock.heed(pipe.connection, pipe.redis, 60) == ["snapshot"]
    assert [job[1] for job in queued(pipe)] == ["snapshot"]
    assert clock.heed(pipe.connection, pipe.redis, 0) == []


def test_the_loop_listens_for_what_chores_want_to_hear(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[list[str]] = []

    def tell(*given: Any) -> None:
        pipe.connection.execute("SELECT pg_notify('catalogue', '')")
        heard.append(heed(*given))

    heed = clock.heed
    monkeypatch.setattr(clock, "heed", tell)
    clock.run(pipe.settings, lambda: bool(heard))
    assert heard == [["snapshot"]]
