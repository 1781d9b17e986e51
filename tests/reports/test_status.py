"""What operators look at: backlog, totals, chores, what fails most, how far behind the figures are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from reports import status
from reports.status import Freshness
from schema import db, migrate, stream
from schema.event import new_id, now
from tests.make import HOUR, T0, asked, batch, canonical, uid
from tests.workers.pipeline import Pipeline, visit
from workers.resolve import moment


def test_the_queue_is_counted_over_all_lanes_also_removed_ones(pipe: Pipeline) -> None:
    assert status.queue(pipe.redis, pipe.settings)[:2] == (0, 0)
    stream.open_lanes(pipe.redis, 4)
    for lane in (0, 1, 3):
        pipe.accept(batch(n=lane), lane=lane)
    long_ago = now() // 1000 - 90_000
    pipe.redis.xadd("ev:2", {"x": "y"}, id=f"{long_ago}-0")
    found = status.queue(pipe.redis, pipe.settings)
    assert found.batches == 4
    assert 90 <= found.oldest_seconds < 120
    assert 0 < found.memory_share < 1


def test_the_age_of_a_queue_is_never_negative(pipe: Pipeline) -> None:
    pipe.redis.xadd("ev:0", {"x": "y"}, id=f"{now() // 1000 + 3_600_000}-0")
    assert status.queue(pipe.redis, pipe.settings).oldest_seconds == 0


def test_totals_are_listed_per_site_and_lane(pipe: Pipeline) -> None:
    pipe.send(canonical(1), canonical(1), canonical(2, trip_id=0), lane=1)
    (row,) = status.drained(pipe.connection)
    expected = {"site_id": "default", "lane": 1, "batches": 1, "stored": 1, "duplicate": 1, "dead": 1, "discarded": 0}
    assert expected.items() <= row.items()
    assert row["transactions"] == 1 and row["seconds"] > 0


def test_chores_are_listed_with_what_is_due_and_done_and_their_last_error(pipe: Pipeline) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    ticks = [
        ("mirror", at - timedelta(minutes=2), at, None),
        ("mirror", at - timedelta(minutes=1), at, "StorageError: no"),
        ("mirror", at, None, None),
        ("prune", at - timedelta(days=2), at, "RedisError: old"),
    ]
    for tick in ticks:
        pipe.connection.execute(
            "INSERT INTO clock_ticks (chore, slot, finished_at, error) VALUES (%s, %s, %s, %s)", tick
        )
    found = status.chores(pipe.connection)
    assert [0 <= row.pop("waiting_seconds") < 60 for row in found] == [True, True]
    assert found == [
        {"chore": "mirror", "due": at, "done": at - timedelta(minutes=2), "error": "StorageError: no"},
        {"chore": "prune", "due": at - timedelta(days=2), "done": None, "error": None},
    ]


def test_what_fails_most_comes_first_whatever_is_in_it(pipe: Pipeline) -> None:
    bad = [
        canonical(1, trip_id=0),
        canonical(2, trip_id=0),
        canonical(3, path="NUL \0 in text"),
        canonical(4, event_type='odd "type\0"', metadata="{"),
    ]
    pipe.send(*bad)
    pipe.redis.xadd("ev:0", {"v": b"1", "s": "default", "b": uid(4, 7).bytes, "n": 9, "d": b"\xc1"})
    pipe.drain()
    found = [(row["event_type"], row["events"]) for row in status.dead_by_reason(pipe.connection)]
    assert found[:2] == [("unreadable", 9), ("page_view", 2)]
    assert [events for _, events in found[2:]] == [1, 1]
    assert "page_view" in dict(found[2:])


def test_a_letter_that_was_replayed_fails_no_more(pipe: Pipeline) -> None:
    pipe.send(canonical(1, trip_id=0))
    pipe.connection.execute("UPDATE dead_letters SET state = 'replayed'")
    assert status.dead_by_reason(pipe.connection) == []


def test_freshness_says_how_far_behind_the_figures_are(pipe: Pipeline) -> None:
    assert status.freshness(pipe.connection) == Freshness(None, None, 0, 0)
    began = pipe.value("SELECT clock_timestamp()")
    pipe.send(visit(1, 1), visit(2, 1), visit(3, 1, occurred_at=T0 + HOUR))
    found = status.freshness(pipe.connection)
    assert found.last_drained is not None and began < found.last_drained < pipe.value("SELECT clock_timestamp()")
    assert found[1:] == (None, 2, 1)
    pipe.roll_up()
    assert status.freshness(pipe.connection) == Freshness(found.last_drained, moment(T0 + HOUR), 0, 0)


def test_a_chore_waits_since_the_first_tick_after_the_one_that_was_done(pipe: Pipeline) -> None:
    for minutes, finished in ((30, True), (20, False), (10, False)):
        pipe.connection.execute(
            "INSERT INTO clock_ticks (chore, slot, enqueued_at, finished_at)"
            " SELECT 'mirror', at, at, CASE WHEN %s THEN at END FROM (SELECT now() - %s) AS t (at)",
            (finished, timedelta(minutes=minutes)),
        )
    (row,) = status.chores(pipe.connection)
    assert 1200 <= row["waiting_seconds"] < 1260
    pipe.connection.execute("UPDATE clock_ticks SET finished_at = now()")
    (row,) = status.chores(pipe.connection)
    assert row["waiting_seconds"] is None


def test_rates_are_of_the_last_minute_and_hour_by_the_batches_ids(pipe: Pipeline) -> None:
    for n, age in enumerate((1, 20, 90, 3000, 4000)):
        made = new_id(now() - age * 1_000_000)
        pipe.send(*(canonical(100 * n + i) for i in range(60)), batch_id=made)
    assert status.rates(pipe.connection) == (120 / 60, 240 / 3600)


def test_the_monitor_may_ask_for_totals_and_version(pipe: Pipeline) -> None:
    pipe.send()
    with db.connect(pipe.settings, "tripstream_monitor") as monitor:
        assert len(status.drained(monitor)) == 1
        assert status.chores(monitor) == []
        assert status.rates(monitor) == (0, 0)
        assert status.asked(monitor) == (0, 0)
        assert status.marked(monitor) == (0, 0)
        assert status.outbox(monitor) == (0, 0, 0)
        assert status.schema_warnings(monitor) == []
        assert status.freshness(monitor).dirty_days == 1
        version, server = status.schema_version(monitor)
    assert version == migrate.head()
    assert server >= 150_000


def test_requests_of_the_last_hour_are_counted_and_those_without_a_result(pipe: Pipeline) -> None:
    assert status.asked(pipe.connection) == (0, 0)
    at = now()
    pipe.ask(asked(1, requested_at=at), asked(2, requested_at=at - 2 * HOUR))
    pipe.ask(asked(3, requested_at=at, results=[], primary_count=0, relaxed_count=0))
    assert status.asked(pipe.connection) == (2, 1)
