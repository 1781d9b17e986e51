"""Each event counts once: within a batch, across batches and lanes, and when a drain dies at any point."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from schema import stream
from tests.make import DAY, batch, canonical, uid
from tests.workers.pipeline import Pipeline, meanwhile, pipeline, until_blocked, visit
from workers import drain, store
from workers.drain import Drain

COUNTED = (
    "SELECT (SELECT count(*) FROM events), (SELECT sum(event_count) FROM sessions),"
    " (SELECT sum(total_events) FROM users), (SELECT sum(click_count) FROM trip_interactions)"
)
EVERYTHING = (
    "events",
    "event_ids",
    "users",
    "identities",
    "sessions",
    "trip_interactions",
    "dirty_hours",
    "dirty_days",
)


def click(n: int, **fields: Any) -> Any:
    return canonical(n, **{"event_type": "click_trip", "trip_id": 7} | fields)


def receipts(pipe: Pipeline) -> list[tuple[Any, ...]]:
    """With verdicts, less the names of their events."""
    rows = pipe.rows("SELECT accepted, stored, duplicate, dead, verdicts FROM batches ORDER BY batch_id")
    named = ("event_id", "event_type")
    return [(*row, told and [{k: v for k, v in one.items() if k not in named} for one in told]) for *row, told in rows]


def duplicates(*at: int) -> list[dict[str, Any]]:
    return [{"index": index, "verdict": "duplicate"} for index in at]


def snapshot(pipe: Pipeline) -> dict[str, list[str]]:
    return {
        table: [row for (row,) in pipe.rows(f"SELECT t::text FROM {table} AS t ORDER BY 1")] for table in EVERYTHING
    }


def test_an_id_twice_in_a_batch_counts_once_and_the_first_wins(pipe: Pipeline) -> None:
    pipe.send(click(1, path="/first"), click(2), click(1, path="/second"), click(1))
    assert pipe.row(COUNTED) == (2, 2, 2, 2)
    assert pipe.value("SELECT path FROM readable_events WHERE event_id = %s", uid(1, 1)) == "/first"
    assert receipts(pipe) == [(4, 2, 2, 0, duplicates(2, 3))]


def test_an_id_in_two_batches_of_one_chunk_counts_once_and_the_first_wins(pipe: Pipeline) -> None:
    pipe.accept(batch(click(1, path="/first"), n=1), batch(click(2), click(1, path="/second"), n=2))
    assert pipe.drain() == 3
    assert pipe.row(COUNTED) == (2, 2, 2, 2)
    assert pipe.value("SELECT path FROM readable_events WHERE event_id = %s", uid(1, 1)) == "/first"
    assert receipts(pipe) == [(1, 1, 0, 0, None), (2, 1, 1, 0, duplicates(1))]


@pytest.mark.parametrize("lane", [0, 1])
def test_an_id_that_was_stored_before_counts_once_whatever_its_lane(pipe: Pipeline, lane: int) -> None:
    pipe.send(click(1), click(2))
    pipe.send(click(3), click(2), click(1), lane=lane)
    assert pipe.row(COUNTED) == (3, 3, 3, 3)
    assert receipts(pipe) == [(2, 2, 0, 0, None), (3, 1, 2, 0, duplicates(1, 2))]


def test_the_time_is_no_part_of_what_an_event_is_known_by(pipe: Pipeline) -> None:
    pipe.send(click(1))
    pipe.send(click(1, occurred_at=canonical().occurred_at - 40 * DAY, event_type="payment.completed"))
    assert pipe.row(COUNTED) == (1, 1, 1, 1)


def test_another_sites_event_of_the_same_id_is_another_event(pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('other', 'Other')")
    pipe.send(click(1))
    pipe.send(click(1), site_id="other")
    assert pipe.row(COUNTED) == (2, 2, 2, 2)
    assert [row[1:4] for row in receipts(pipe)] == [(1, 0, 0), (1, 0, 0)]


def test_duplicates_change_nothing_but_their_receipt(pipe: Pipeline) -> None:
    pipe.send(click(1), visit(2, 5, session_id=None))
    before = snapshot(pipe)
    pipe.send(click(1, anonymous_id=uid(3, 8), session_id=None), visit(2, 6, path="/else"), click(1, trip_id=8))
    assert snapshot(pipe) == before


def test_a_duplicate_that_comes_with_fresh_events_pulls_them_into_no_session(pipe: Pipeline) -> None:
    pipe.send(canonical(1, session_id=uid(2, 1)))
    resent = canonical(1, session_id=uid(2, 9), occurred_at=canonical().occurred_at + 9 * DAY)
    fresh = canonical(2, session_id=None, occurred_at=canonical().occurred_at + 9 * DAY)
    pipe.send(resent, fresh)
    assert pipe.value("SELECT session_id FROM events WHERE event_id = %s", uid(1, 2)) != uid(2, 9)


def test_a_batch_that_was_drained_is_only_acknowledged(pipe: Pipeline) -> None:
    one = batch(click(1), click(2), click(1), n=1)
    pipe.accept(one)
    pipe.drain()
    before, totals = snapshot(pipe), pipe.rows("SELECT batches, stored, duplicate FROM drained")
    pipe.accept(one)
    assert pipe.drain() == 0
    assert snapshot(pipe) == before
    assert pipe.rows("SELECT batches, stored, duplicate FROM drained") == totals
    assert receipts(pipe) == [(3, 2, 1, 0, duplicates(2))]
    assert pipe.redis.xlen("ev:0") == pipe.redis.xpending("ev:0", stream.GROUP)["pending"] == 0


def dies(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


CRASHES: dict[str, tuple[object, str, int]] = {
    "before anything is written": (store, "_new_batches", 0),
    "after the events": (store, "_settle", 0),
    "before COMMIT": (drain, "add_drained", 0),
    "between COMMIT and XDEL": (stream, "forget", 3),
    "after XDEL and XACK": (Drain, "_slide", 3),
}


def test_a_drain_that_dies_at_any_point_loses_and_doubles_nothing(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, (crash, (owner, name, stored)) in enumerate(CRASHES.items()):
        events = [click(10 * n + i) for i in (1, 2, 1, 3)]
        pipe.accept(batch(*events[:3], n=2 * n), batch(events[3], n=2 * n + 1))
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, dies)
            with pytest.raises(KeyboardInterrupt):
                pipe.drain()
        assert pipe.value("SELECT count(*) FROM events") == 3 * n + stored, crash
        pipe.drain()
        assert pipe.row(COUNTED) == (3 * n + 3,) * 4, crash
        assert [row[:4] for row in receipts(pipe)[-2:]] == [(3, 2, 1, 0), (1, 1, 0, 0)], crash
        totals = pipe.row("SELECT sum(batches), sum(stored), sum(duplicate) FROM drained")
        assert totals == (2 * n + 2, 3 * n + 3, n + 1), crash
        assert pipe.redis.xlen("ev:0") == pipe.redis.xpending("ev:0", stream.GROUP)["pending"] == 0, crash
    assert pipe.problems() == []


def test_an_entry_deleted_and_not_acknowledged_is_acknowledged(pipe: Pipeline) -> None:
    pipe.accept(batch())
    (entry,) = stream.read(pipe.redis, 0, 10, 0)
    pipe.redis.xdel("ev:0", entry.entry_id)
    assert Drain(pipe.connection, pipe.redis, 0, pipe.settings).run_once() == 0
    assert pipe.redis.xpending("ev:0", stream.GROUP)["pending"] == 0
    assert receipts(pipe) == []


def test_batches_that_were_drained_do_not_end_the_draining_of_those_behind_them(pipe: Pipeline) -> None:
    pipe.settings = pipe.settings.model_copy(update={"drain_entries_max": 1})
    pipe.accept(batch(n=1))
    pipe.drain()
    pipe.accept(batch(n=1), batch(n=2))
    assert pipe.drain() == 1
    assert pipe.redis.xlen("ev:0") == 0


def test_what_another_consumer_holds_is_left_to_it_and_not_waited_for(pipe: Pipeline) -> None:
    pipe.accept(batch(n=1))
    pipe.redis.xreadgroup(stream.GROUP, "stranger", {"ev:0": ">"})
    pipe.accept(batch(n=2))
    assert pipe.drain() == 1
    assert [row[:2] for row in receipts(pipe)] == [(1, 1)]


def test_pending_entries_come_before_new_ones(pipe: Pipeline) -> None:
    pipe.accept(batch(n=1))
    stream.read(pipe.redis, 0, 10, 0)  # a drain took it, and died
    pipe.accept(batch(n=2))
    one = Drain(pipe.connection, pipe.redis, 0, pipe.settings)
    seen = [one.run_once() and pipe.value("SELECT max(batch_id::text)::uuid FROM batches") for _ in range(2)]
    assert seen == [uid(4, 1), uid(4, 2)]


def test_two_drains_of_the_same_event_at_once_store_it_once(pipe: Pipeline) -> None:
    for n, (ending, stored) in enumerate((("COMMIT", 1), ("ROLLBACK", 2))):
        pipe.accept(batch(click(10 * n), click(10 * n + 1), n=n))
        with pipeline(pipe.settings) as other:
            other.connection.execute("BEGIN")
            other.connection.execute("INSERT INTO event_ids VALUES ('default', %s, now())", (uid(1, 10 * n),))
            with meanwhile(pipe.drain) as finished:
                until_blocked(pipe.settings)
                other.connection.execute(ending)
                finished()
        assert pipe.value("SELECT count(*) FROM events WHERE batch_id = %s", uid(4, n)) == stored
    assert pipe.redis.xlen("ev:0") == 0


def test_two_drains_of_the_same_batch_at_once_store_it_once(pipe: Pipeline) -> None:
    receipt = (
        "INSERT INTO batches (batch_id, site_id, received_at, accepted, stored) VALUES (%s, 'default', now(), 1, 1)"
    )
    for n, (ending, stored) in enumerate((("COMMIT", 0), ("ROLLBACK", 1))):
        pipe.accept(batch(click(n), n=n))
        with pipeline(pipe.settings) as other:
            other.connection.execute("BEGIN")
            other.connection.execute(receipt, (uid(4, n),))
            with meanwhile(pipe.drain) as finished:
                until_blocked(pipe.settings)
                other.connection.execute(ending)
                finished()
        assert pipe.value("SELECT count(*) FROM events WHERE batch_id = %s", uid(4, n)) == stored
    assert pipe.redis.xlen("ev:0") == 0


def test_a_deadlock_is_tried_again_and_dead_letters_nobody(pipe: Pipeline) -> None:
    pipe.send(click(1), click(2, trip_id=8))
    with psycopg.connect(pipe.settings.database_url) as other:
        other.execute("SET deadlock_timeout = '60s'")  # the drain notices first, and is the one that gives way
        other.execute("UPDATE trip_interactions SET save_count = 1 WHERE trip_id = 8")
        with meanwhile(lambda: pipe.send(click(3), click(4, trip_id=8))) as finished:
            until_blocked(pipe.settings)
            other.execute("UPDATE trip_interactions SET save_count = 1 WHERE trip_id = 7")
            other.commit()
            finished()
    assert pipe.row(COUNTED) == (4, 4, 4, 4)
    assert pipe.value("SELECT count(*) FROM dead_letters") == 0
