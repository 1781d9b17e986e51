"""Everything derived can be rebuilt from events, bit for bit, and does not depend on how the events arrived."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from schema.event import Event
from tests.make import DAY, T0, batch
from tests.workers.pipeline import Pipeline, meanwhile, until_blocked
from tests.workers.traffic import traffic
from workers import rollup, verify
from workers.derive import DERIVED

DUMP = {table.name: (*table.key, *table.columns) for table in DERIVED} | {
    "trip_interactions": (
        "site_id",
        "trip_id",
        "ctr",
        "save_rate",
        "contact_rate",
        "avg_dwell_time_seconds",
        "click_count",
    )
}


def rebuild(pipe: Pipeline) -> list[tuple[str, int, int]]:
    said: list[tuple[str, int, int]] = []
    verify.rebuild(pipe.settings, lambda *progress: said.append(progress))
    return said


def derived(pipe: Pipeline) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: sorted(pipe.rows(f"SELECT {', '.join(columns)} FROM {name}"), key=str) for name, columns in DUMP.items()
    }


@pytest.fixture
def busy(pipe: Pipeline) -> Pipeline:
    """Two sites, in two zones, with two months of traffic that is rolled up."""
    pipe.connection.execute("INSERT INTO sites (site_id, name, time_zone) VALUES ('shop', '', 'Asia/Jerusalem')")
    for n, site_id in enumerate(("default", "shop")):
        pipe.send(*traffic(n, 150, around=[T0, T0 + 40 * DAY]), site_id=site_id)
    pipe.roll_up()
    return pipe


def test_corrupted_counters_and_rollups_come_back_bit_for_bit(busy: Pipeline) -> None:
    before = derived(busy)
    for table in DERIVED:
        figure = table.columns[-1] if table.columns[-1] != "visitors" else "events"
        busy.connection.execute(f"UPDATE {table.name} SET {figure} = {figure} + 1")
        busy.connection.execute(f"DELETE FROM {table.name} WHERE ctid = (SELECT min(ctid) FROM {table.name})")
    busy.connection.execute("INSERT INTO trip_interactions (site_id, trip_id) VALUES ('shop', 99)")
    busy.connection.execute("INSERT INTO daily_events VALUES ('shop', '1999-01-01', 1, 1, 1, '')")
    assert derived(busy) != before
    assert len(busy.problems()) > len(DERIVED)
    rebuild(busy)
    assert derived(busy) == before
    assert busy.problems() == []


def test_a_rebuild_of_what_is_right_changes_no_figure(busy: Pipeline) -> None:
    before = derived(busy)
    said = rebuild(busy)
    assert derived(busy) == before
    assert {name for name, _, _ in said} == {"counters", "rollups", "replacing"}
    assert all(done <= total for _, done, total in said)


def test_what_was_dirty_is_clean_afterwards(busy: Pipeline) -> None:
    busy.send(*traffic(9, 20, first=1000))
    rebuild(busy)
    assert busy.value("SELECT count(*) FROM dirty_hours") == busy.value("SELECT count(*) FROM dirty_days") == 0
    assert busy.problems() == []


def test_counting_goes_on_from_what_was_rebuilt(busy: Pipeline) -> None:
    rebuild(busy)
    busy.send(*traffic(9, 20, first=1000))
    busy.roll_up()
    assert busy.problems() == []


def test_a_rebuild_that_dies_changes_nothing(busy: Pipeline) -> None:
    busy.connection.execute("UPDATE users SET total_events = 0")
    before = derived(busy)

    def die(step: str, done: int, _total: int) -> None:
        if (step, done) == ("replacing", 4):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify.rebuild(busy.settings, die)
    assert derived(busy) == before
    rebuild(busy)
    assert busy.problems() == []


def test_a_rebuild_waits_for_a_rollup_under_way(busy: Pipeline) -> None:
    busy.send(*traffic(9, 20, first=1000))
    busy.connection.execute("SELECT pg_advisory_lock(hashtext(%s))", (rollup._LOCK,))
    with meanwhile(lambda: rebuild(busy)) as finished:
        until_blocked(busy.settings)
        assert busy.roll_up().hours > 0
        busy.connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", (rollup._LOCK,))
        finished()
    assert busy.problems() == []


def arrive(pipe: Pipeline, site_id: str, events: Sequence[Event], batch_events: int, chunk_events: int) -> None:
    """Send the events as one site's, in batches of a size and on both lanes, and drain them in chunks of a size."""
    pipe.connection.execute("INSERT INTO sites (site_id, name, time_zone) VALUES (%s, '', 'Asia/Kolkata')", (site_id,))
    pipe.settings = pipe.settings.model_copy(update={"drain_events_max": chunk_events})
    for start in range(0, len(events), batch_events):
        number = next(pipe.numbers)
        pipe.accept(batch(*events[start : start + batch_events], site_id=site_id, n=number), lane=number % 2)
    for lane in (1, 0):
        pipe.drain(lane)


def outcome(pipe: Pipeline, site_id: str) -> dict[str, list[tuple[Any, ...]]]:
    """A site's derived rows; its users by their visitor's name, because numbers are given in order of arrival."""
    found = {}
    for table in DERIVED:
        columns = [c for c in DUMP[table.name] if c not in ("site_id", "user_id")]
        source = f"{table.name} AS t"
        if table.name == "sessions":  # two sites give the same word two ids
            words = {"device_type_id": "device_type", "user_agent_id": "user_agent", "referrer_id": "referrer"}
            columns, source = [words.get(c, c) for c in columns], "readable_sessions"
        if table.name == "users":
            columns = ["kind", "value", *columns]
            source = "users AS t JOIN identities USING (site_id, user_id)"
        where = "" if table.name != "users" else " AND kind <> 'batch'"
        query = f"SELECT {', '.join(columns)} FROM {source} WHERE site_id = %s{where} ORDER BY 1, 2, 3"
        found[table.name] = pipe.rows(query, site_id)
    return found


def test_counters_and_rollups_do_not_depend_on_the_order_of_arrival(pipe: Pipeline) -> None:
    events = [event for event in traffic(3, 200, around=[T0]) if event.anonymous_id or event.claimed_user]
    arrive(pipe, "ordered", events, batch_events=100, chunk_events=1000)
    for n, (batch_events, chunk_events) in enumerate(((1, 1), (7, 3), (20, 50), (1, 1000))):
        shuffled = events + events[:20]  # and some arrive twice
        random.Random(n).shuffle(shuffled)
        arrive(pipe, f"shuffled{n}", shuffled, batch_events, chunk_events)
    pipe.roll_up()
    expected = outcome(pipe, "ordered")
    nothing = {"recommendation_daily"}  # nobody asked: see test_recommendation_rollup.py
    assert {name for name, rows in expected.items() if not rows} == nothing
    for n in range(4):
        assert outcome(pipe, f"shuffled{n}") == expected
    assert pipe.problems() == []


def test_what_the_earliest_event_says_of_its_session_stands_whatever_the_order_of_arrival(pipe: Pipeline) -> None:
    events = [event for event in traffic(3, 60) if event.anonymous_id and event.user_agent is None]
    earliest = {event.session_id: event for event in sorted(events, key=lambda e: e.occurred_at, reverse=True)}
    for n in range(3):
        random.Random(n).shuffle(events)
        arrive(pipe, f"site{n}", events, batch_events=5, chunk_events=5)
        query = "SELECT session_id, device_type, referrer FROM readable_sessions WHERE site_id = %s"
        described = pipe.rows(query, f"site{n}")
        for session_id, device_type, referrer in described:
            first = earliest[session_id]
            assert first.device_type in (None, device_type)
            assert first.referrer in (None, referrer)
