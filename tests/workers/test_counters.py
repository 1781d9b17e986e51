"""What moves which counter (DESIGN.md, §4), for every event type in the registry."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from tests.make import HOUR, MINUTE, T0, batch, canonical, uid
from tests.workers.pipeline import Pipeline, visit
from workers.resolve import moment

SESSION = ("page_view_count", "search_count", "click_count", "save_count", "contact_count", "event_count")
USER = ("total_searches", "total_clicks", "total_events")
TRIP = (
    "impression_count",
    "click_count",
    "save_count",
    "whatsapp_contact_count",
    "phone_contact_count",
    "booking_start_count",
    "dwell_count",
    "total_dwell_time_ms",
)

# Type -> what one event of it adds to its session, its user and its trip, besides 1 to the counts of all events.
MOVES: dict[str, tuple[set[str], set[str], set[str]]] = {
    "page_view": ({"page_view_count"}, set(), set()),
    "search_submit": ({"search_count"}, {"total_searches"}, set()),
    "search.performed": ({"search_count"}, {"total_searches"}, set()),
    "click_trip": ({"click_count"}, {"total_clicks"}, {"click_count"}),
    "click": ({"click_count"}, {"total_clicks"}, {"click_count"}),
    "save_trip": ({"save_count"}, set(), {"save_count"}),
    "contact_whatsapp": ({"contact_count"}, set(), {"whatsapp_contact_count"}),
    "contact_phone": ({"contact_count"}, set(), {"phone_contact_count"}),
    "impression": (set(), set(), {"impression_count"}),
    "booking_start": (set(), set(), {"booking_start_count"}),
    "trip_dwell": (set(), set(), {"dwell_count"}),
}


def counted(pipe: Pipeline, table: str, key: str, columns: tuple[str, ...]) -> dict[Any, dict[str, int]]:
    found = pipe.rows(f"SELECT {key}, {', '.join(columns)} FROM {table}")
    return {name: dict(zip(columns, figures, strict=True)) for name, *figures in found}


def test_each_type_moves_exactly_its_counters_in_either_of_two_batches(pipe: Pipeline) -> None:
    types = [name for (name,) in pipe.rows("SELECT event_type FROM event_types WHERE seeded ORDER BY event_type_id")]
    assert MOVES.keys() < set(types)
    for repeat in range(2):  # the first batch inserts every counter row, the second updates it
        pipe.send(
            *(
                visit(100 * repeat + n, n, event_type=name, trip_id=n + 1, metadata='{"duration_seconds": 1.5}')
                for n, name in enumerate(types)
            )
        )
    moves = {n: MOVES.get(name, (set(), set(), set())) for n, name in enumerate(types)}
    always = {"event_count", "total_events"}
    expect = [
        {n: {c: 2 * (c in always | moves[n][part]) for c in columns} for n in moves}
        for part, columns in enumerate((SESSION, USER, TRIP[:-1]))
    ]
    assert counted(pipe, "sessions", "session_id", SESSION) == {uid(2, n): row for n, row in expect[0].items()}
    link = "JOIN identities USING (user_id)"
    assert counted(pipe, f"users {link}", "value::uuid", USER) == {uid(3, n): row for n, row in expect[1].items()}
    dwelt = {n + 1: row | {"total_dwell_time_ms": 1500 * row["dwell_count"]} for n, row in expect[2].items()}
    assert counted(pipe, "trip_interactions", "trip_id", TRIP) == dwelt


def test_an_event_without_a_trip_moves_no_trip(pipe: Pipeline) -> None:
    pipe.send(canonical(event_type="click_trip"))
    assert pipe.rows("SELECT * FROM trip_interactions") == []


def test_counters_of_one_trip_session_and_user_add_up_over_chunks_and_lanes(pipe: Pipeline) -> None:
    kinds = ["impression"] * 8 + ["click_trip"] * 4 + ["save_trip", "unsave_trip", "contact_phone", "contact_whatsapp"]
    for n, kind in enumerate(kinds):
        pipe.accept(batch(canonical(n, event_type=kind, trip_id=7), n=n), lane=n % 2)
    pipe.settings = pipe.settings.model_copy(update={"drain_events_max": 3})
    assert pipe.drain(0) + pipe.drain(1) == len(kinds)
    rates = "impression_count, click_count, save_count, ctr, save_rate, contact_rate, avg_dwell_time_seconds"
    found = pipe.row(f"SELECT {rates} FROM trip_interactions")
    assert found == (8, 4, 1, Decimal("0.5"), Decimal("0.25"), Decimal("0.5"), None)
    assert pipe.row("SELECT event_count, click_count, save_count, contact_count FROM sessions") == (16, 4, 1, 2)
    assert pipe.row("SELECT total_events, total_clicks FROM users") == (16, 4)


def test_rates_are_null_when_there_is_nothing_to_divide_by(pipe: Pipeline) -> None:
    pipe.send(canonical(event_type="save_trip", trip_id=7))
    rates = "ctr, save_rate, contact_rate, avg_dwell_time_seconds, total_dwell_time_seconds"
    assert pipe.row(f"SELECT {rates} FROM trip_interactions") == (None, None, None, None, 0)


def test_a_dwell_is_averaged_over_the_dwells_that_say_how_long(pipe: Pipeline) -> None:
    said = ("1.0005", "0", "2.4994", '"3"', "-1", "null", "1000000.001", "true")
    events = [
        canonical(n, event_type="trip_dwell", trip_id=7, metadata=f'{{"duration_seconds": {text}}}')
        for n, text in enumerate(said)
    ]
    pipe.send(*events, canonical(90, event_type="trip_dwell", trip_id=7), canonical(91, trip_id=7))
    columns = "dwell_count, total_dwell_time_ms, total_dwell_time_seconds, avg_dwell_time_seconds"
    assert pipe.row(f"SELECT {columns} FROM trip_interactions") == (3, 3500, 3.5, 3.5 / 3)


def test_trips_sessions_and_users_of_two_sites_are_apart(pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('other', 'Other')")
    event = canonical(event_type="click_trip", trip_id=7)
    for site in ("default", "other"):
        pipe.send(event, site_id=site)
    assert pipe.rows("SELECT site_id, click_count FROM trip_interactions ORDER BY 1") == [("default", 1), ("other", 1)]
    assert pipe.rows("SELECT site_id, click_count FROM sessions ORDER BY 1") == [("default", 1), ("other", 1)]
    assert pipe.rows("SELECT site_id, total_clicks FROM users ORDER BY 1") == [("default", 1), ("other", 1)]


def test_first_and_last_seen_are_the_earliest_and_latest_event_in_any_order(pipe: Pipeline) -> None:
    for n, at in enumerate((HOUR, 0, 2 * HOUR, MINUTE)):
        pipe.send(canonical(n, occurred_at=T0 + at))
    expected = (moment(T0), moment(T0) + timedelta(hours=2))
    assert pipe.row("SELECT first_seen_at, last_seen_at FROM users") == expected
    assert pipe.row("SELECT started_at, last_seen_at FROM sessions") == expected


@pytest.mark.parametrize("late_first", [False, True])
def test_a_session_is_described_by_its_earliest_event(pipe: Pipeline, late_first: bool) -> None:
    early = canonical(1, device_type="phone", owner_code=None, share_code="s1", referrer="https://a")
    late = canonical(2, device_type="desktop", owner_code="o2", share_code="s2", contact_id="c2")
    for event in (late, early) if late_first else (early, late):
        pipe.send(event, ip_prefix="203.0.113.0/24", country="IL", user_agent="curl/8")
    described = "device_type, owner_code, share_code, contact_id, referrer, country, user_agent, anonymous_id"
    expected = ("phone", "o2", "s1", "c2", "https://a", "IL", "curl/8", uid(3))
    assert pipe.row(f"SELECT {described} FROM readable_sessions") == expected


def test_what_describes_a_session_does_not_depend_on_the_order_of_arrival(pipe: Pipeline) -> None:
    """Also where events of several drains overlap in time and say different things."""
    said = [
        {"occurred_at": T0 + 10, "referrer": "https://10", "share_code": "ten"},
        {"occurred_at": T0 + 5, "device_type": "phone"},
        {"occurred_at": T0 + 7, "referrer": "https://7", "contact_id": "seven"},
        {"occurred_at": T0 + 7, "referrer": "https://7b", "owner_code": "o"},
        {"occurred_at": T0 + 12, "device_type": "desktop", "contact_id": "twelve"},
    ]
    described = "device_type, referrer, share_code, contact_id, owner_code, mixed"
    for turn, order in enumerate(permutations(range(len(said)))):
        session_id = uid(7, turn)
        for pair in (order[:2], order[2:3], order[3:]):
            pipe.send(*(canonical(100 * turn + n, session_id=session_id, **said[n]) for n in pair))
        found = pipe.row(f"SELECT {described} FROM readable_sessions WHERE session_id = %s", session_id)
        assert found == ("phone", "https://7", "ten", "seven", "o", False), order
    assert pipe.problems() == []
