"""Verify: silent while all adds up, and one line in words for each thing that does not."""

from __future__ import annotations

import re

import psycopg
import pytest

from schema import db, stream
from schema.event import now
from tests.make import DAY, batch, canonical, uid
from tests.tripstream.waiting import until
from tests.workers.pipeline import Pipeline, meanwhile, until_blocked, visit
from tests.workers.retaining import busy, retain
from tests.workers.traffic import traffic
from workers import upkeep, verify
from workers.drain import LOCK_SPACE, Drain
from workers.verify import REPLAYS, Site


def report(pipe: Pipeline) -> verify.Report:
    return verify.verify(pipe.settings, lambda *_: None)


def everything_that_can_happen(pipe: Pipeline) -> None:
    """Stored, duplicate, dead, unreadable, queued; two sites, two lanes; rolled up and not."""
    pipe.connection.execute("INSERT INTO sites (site_id, name, time_zone) VALUES ('shop', '', 'Asia/Jerusalem')")
    pipe.send(*traffic(1, 60), lane=0, received_at=now())
    pipe.send(*traffic(2, 60), lane=1, site_id="shop", received_at=now())
    pipe.roll_up()
    pipe.send(*traffic(1, 10), canonical(900, trip_id=0), canonical(901, session_id=None), lane=1, received_at=now())
    pipe.redis.xadd("ev:0", {"v": b"1", "s": "shop", "b": uid(4, 77).bytes, "n": 3, "d": b"\xc1"})
    pipe.redis.hincrby("accepted:shop", "events", 3)
    pipe.drain()
    pipe.accept(batch(visit(950, 1), visit(951, 2), n=1), lane=1)


def test_all_that_can_happen_adds_up(pipe: Pipeline) -> None:
    everything_that_can_happen(pipe)
    found = report(pipe)
    assert found.problems == []
    assert found.sites == [
        Site("default", accepted=74, stored=61, duplicate=10, dead=1, discarded=0, queued=2),
        Site("shop", accepted=63, stored=60, duplicate=0, dead=3, discarded=0, queued=0),
    ]
    assert [site.residual for site in found.sites] == [0, 0]
    pipe.drain(1)
    assert report(pipe).problems == []


def test_nothing_at_all_adds_up(pipe: Pipeline) -> None:
    found = report(pipe)
    assert found.problems == []
    assert found.sites == [Site("default", 0, 0, 0, 0, 0, 0)]


def test_it_changes_nothing_but_due_rollups(pipe: Pipeline) -> None:
    everything_that_can_happen(pipe)
    pipe.roll_up()
    tables = [name for (name,) in pipe.rows("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
              " AND NOT relispartition AND relnamespace = 'public'::regnamespace"
              " AND relname <> 'rolled_up'")]  # fmt: skip
    before = [pipe.rows(f"SELECT t.*::text FROM {name} AS t ORDER BY 1") for name in tables]
    report(pipe)
    assert [pipe.rows(f"SELECT t.*::text FROM {name} AS t ORDER BY 1") for name in tables] == before
    assert stream.backlog(pipe.redis, [1])[0].batches == 1


# What is done behind the pipeline's back, and the line that must come of it. Each is left in place for the next.
SQL_CORRUPTIONS = (
    ("UPDATE users SET total_events = total_events + 1 WHERE user_id = 1", r"users user_id=1: total_events is \d+"),
    ("UPDATE users SET first_seen_at = '1999-01-01' WHERE user_id = 2", "users user_id=2: first_seen_at is 1999"),
    ("UPDATE sessions SET save_count = save_count - 1 WHERE (site_id, session_id) IN"
     " (SELECT site_id, session_id FROM sessions LIMIT 1)", r"sessions site_id=\w+, session_id=.*: save_count is"),
    ("UPDATE trip_interactions SET total_dwell_time_ms = 1 WHERE trip_id = 2 AND site_id = 'shop'",
     "trip_interactions site_id=shop, trip_id=2: total_dwell_time_ms is"),
    ("DELETE FROM trip_interactions WHERE trip_id = 1 AND site_id = 'shop'",
     "trip_interactions site_id=shop, trip_id=1: is missing"),
    ("INSERT INTO trip_interactions (site_id, trip_id) VALUES ('shop', 99)", "trip_id=99: should not be there"),
    ("UPDATE rollup_hourly SET events = events + 1 WHERE ctid = (SELECT min(ctid) FROM rollup_hourly)",
     r"rollup_hourly site_id=.*: events is \d+, should be \d+"),
    ("UPDATE rollup_hourly SET unique_users = 99 WHERE ctid = (SELECT max(ctid) FROM rollup_hourly)",
     r"rollup_hourly site_id=.*: .*unique_users is 99, should be \d+"),
    ("UPDATE daily_events SET sessions = 0 WHERE ctid = (SELECT min(ctid) FROM daily_events)",
     "daily_events .*: sessions is 0, should be"),
    ("UPDATE daily_trips SET clicks = clicks || impressions WHERE ctid = (SELECT min(ctid) FROM daily_trips)",
     "daily_trips site_id=.*: clicks: the bytes differ"),
    ("UPDATE daily_walks SET began = began || '\\x00' WHERE ctid = (SELECT min(ctid) FROM daily_walks)",
     "daily_walks site_id=.*: began: the bytes differ"),
    ("DELETE FROM daily_steps WHERE ctid = (SELECT min(ctid) FROM daily_steps)", "daily_steps .*: is missing"),
    ("UPDATE hourly_stats SET events = 0 WHERE ctid = (SELECT min(ctid) FROM hourly_stats)",
     "hourly_stats .*: events is 0, should be"),
    ("UPDATE weekly_events SET visitors = '' WHERE ctid = (SELECT min(ctid) FROM weekly_events)",
     "weekly_events .*: visitors' sketch differs"),
    ("DELETE FROM monthly_events WHERE ctid = (SELECT min(ctid) FROM monthly_events)", "monthly_events .*: is missing"),
    ("UPDATE weekly_dimensions SET sessions = 0 WHERE ctid = (SELECT min(ctid) FROM weekly_dimensions)",
     "weekly_dimensions .*: sessions is 0, should be"),
    ("UPDATE month_to_date_trips SET days = days || days WHERE ctid = (SELECT min(ctid) FROM month_to_date_trips)",
     "month_to_date_trips site_id=.*: days: the bytes differ"),
    ("UPDATE batches SET accepted = accepted + 1, stored = stored + 1 WHERE ctid = (SELECT min(ctid) FROM batches)",
     r"stored is \d+, but the receipts say \d+"),
    ("UPDATE batches SET accepted = accepted + 1, dead = dead + 1 WHERE site_id = 'shop' AND dead > 0",
     "site shop: dead is 3, but the receipts say 4"),
    ("DELETE FROM dead_letters WHERE site_id = 'default'", "site default: dead is 1, but the dead letters say 0"),
    ("UPDATE drained SET duplicate = duplicate - 1 WHERE site_id = 'default' AND lane = 1",
     "site default: duplicate is 9, but the receipts say 10"),
    ("UPDATE accepted_mirror SET accepted = 1000", "site shop: 937 accepted events are nowhere"),
    ("DELETE FROM event_ids WHERE event_id = (SELECT event_id FROM events WHERE site_id = 'shop' LIMIT 1)",
     "event .* of site shop is not in the dedupe ledger"),
    ("INSERT INTO events SELECT * FROM events WHERE site_id = 'shop' LIMIT 1", "event .* of site shop is stored 2"),
    ("DELETE FROM events WHERE event_id = (SELECT max(event_id::text)::uuid FROM events WHERE site_id = 'default')",
     "site default: stored is 61, but the events table say 60"),
)  # fmt: skip


def test_each_thing_that_does_not_agree_is_named(pipe: Pipeline) -> None:
    everything_that_can_happen(pipe)
    pipe.connection.execute("INSERT INTO accepted_mirror VALUES ('shop', 0, now())")
    seen = set(report(pipe).problems)
    assert seen == set()
    for statement, expected in SQL_CORRUPTIONS:
        assert pipe.connection.execute(statement).rowcount > 0, statement
        fresh = set(report(pipe).problems) - seen
        assert [line for line in fresh if re.search(expected, line)], (statement, fresh)
        seen |= fresh


MERGED = ("weekly_events", "monthly_events", "weekly_dimensions", "month_to_date_trips")


@pytest.mark.parametrize("change", ["DELETE FROM {0}", "UPDATE {0} SET date = date - 728"])
def test_weeks_and_months_of_closed_days_are_compared_and_repaired_too(pipe: Pipeline, change: str) -> None:
    busy(pipe)
    upkeep.mirror(pipe.settings)
    retain(pipe)
    right = {table: sorted(pipe.rows(f"SELECT * FROM {table}")) for table in MERGED}
    assert report(pipe).problems == []
    for table in MERGED:
        query = change.format(table) + " WHERE date < '2026-01-10'"
        assert pipe.connection.execute(query).rowcount > 0, table
    found = report(pipe).problems
    assert all(any(line.startswith(table) for line in found) for table in MERGED), found
    verify.rebuild(pipe.settings, lambda *_: None)
    assert {table: sorted(pipe.rows(f"SELECT * FROM {table}")) for table in MERGED} == right
    assert report(pipe).problems == []


@pytest.mark.parametrize(
    ("by", "expected"),
    [(1, "site default: 1 accepted events are nowhere"), (-2, "site default: 2 events were never accepted")],
)
def test_a_promise_that_was_not_kept_or_never_made_is_named(pipe: Pipeline, by: int, expected: str) -> None:
    pipe.send(*traffic(1, 5))
    pipe.redis.hincrby("accepted:default", "events", by)
    assert report(pipe).problems == [expected]


def test_an_entry_that_vanished_from_the_queue_is_missed(pipe: Pipeline) -> None:
    pipe.accept(batch(canonical(1), canonical(2), n=1), batch(canonical(3), n=2))
    pipe.redis.xdel("ev:0", pipe.redis.xrange("ev:0")[0][0])
    assert report(pipe).problems == ["site default: 2 accepted events are nowhere"]


def test_a_lost_redis_is_noticed_by_the_mirror(pipe: Pipeline) -> None:
    pipe.send(*traffic(1, 5))
    pipe.connection.execute("INSERT INTO accepted_mirror VALUES ('default', 7, now())")
    pipe.redis.flushall()
    assert report(pipe).problems == ["site default: 2 accepted events are nowhere"]


def test_a_batch_stored_and_not_yet_deleted_from_the_queue_is_counted_once(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.accept(batch(canonical(1), canonical(2)))
    monkeypatch.setattr(stream, "forget", lambda *_: None)
    Drain(pipe.connection, pipe.redis, 0, pipe.settings).run_once()
    assert report(pipe).sites == [Site("default", 2, 2, 0, 0, 0, queued=0)]
    assert report(pipe).problems == []


def test_events_of_a_removed_lane_are_still_queued(pipe: Pipeline) -> None:
    stream.open_lanes(pipe.redis, 4)
    pipe.accept(batch(), lane=3)
    assert report(pipe).sites == [Site("default", 1, 0, 0, 0, 0, queued=1)]


def test_it_waits_for_a_drain_to_let_go_and_asks_it_to(pipe: Pipeline) -> None:
    pipe.connection.execute("SELECT pg_advisory_lock(%s, 1)", (LOCK_SPACE,))
    with meanwhile(lambda: report(pipe)) as finished:
        until_blocked(pipe.settings)
        until(lambda: stream.is_paused(pipe.redis), "drains are asked to make way")
        pipe.connection.execute("SELECT pg_advisory_unlock(%s, 1)", (LOCK_SPACE,))
        finished()


def test_meanwhile_nothing_is_drained_and_nothing_replayed(pipe: Pipeline) -> None:
    with verify.standstill(pipe.settings):
        for lane in (0, 1, REPLAYS):
            assert pipe.value("SELECT pg_try_advisory_lock(%s, %s)", LOCK_SPACE, lane) is False
    for lane in (0, 1, REPLAYS):
        assert pipe.value("SELECT pg_try_advisory_lock(%s, %s)", LOCK_SPACE, lane) is True


def test_accepting_goes_on_meanwhile(pipe: Pipeline) -> None:
    numbers = iter(range(5000, 6000))
    pipe.send(*traffic(1, 30))

    def accept_meanwhile(*_: object) -> None:
        pipe.accept(batch(canonical(n := next(numbers)), n=n))

    found = verify.verify(pipe.settings, accept_meanwhile)
    assert found.problems == []
    assert stream.backlog(pipe.redis, [0])[0].batches > 5


def test_an_old_event_needs_no_ledger_entry(pipe: Pipeline) -> None:
    pipe.settings = pipe.settings.model_copy(update={"dedupe_window_days": 30})
    pipe.send(canonical(1), received_at=now() - 31 * DAY)
    pipe.connection.execute("DELETE FROM event_ids")
    assert report(pipe).problems == []


def test_it_leaves_no_temporary_table_behind_a_failure(pipe: Pipeline) -> None:
    pipe.send(*traffic(1, 5))
    with db.connect(pipe.settings) as connection:
        for _ in range(2):
            with pytest.raises(psycopg.errors.DivisionByZero), verify.derive.derived(connection, lambda *_: None):
                connection.execute("SELECT 1 / 0")
        with verify.derive.derived(connection, lambda *_: None):
            found = [verify.derive.differences(connection, table) for table in verify.derive.DERIVED[:3]]
    assert found == [[], [], []]
