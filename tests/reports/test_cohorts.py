"""GET /api/stats/retention: who came back, beside a plain count; weeks of the site's own zone, and what is refused."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schema.event import MICROSECOND, Event
from tests.make import DAY, HOUR, T0, uid
from tests.reports.asks import Get
from tests.workers.pipeline import ROBOT, Pipeline, visit
from workers import mover

WEEK = 7 * DAY
MONDAY = T0 - 3 * DAY  # 2025-12-29
Table = list[tuple[str, int, list[int]]]


def retention(ask: Get, **query: Any) -> Table:
    found = ask("retention", **query)
    assert found.status_code == 200, found.text
    return [(row["week"], row["users"], list(row["active"].values())) for row in found.json()["cohorts"]]


def seen(pipe: Pipeline, *events: tuple[int, int, int]) -> None:
    """Each visitor in a session at a moment."""
    sent = [visit(n, who, session_id=uid(2, s), occurred_at=at) for n, (who, s, at) in enumerate(events)]
    pipe.send(*sent, received_at=max(at for _, _, at in events))


def oracle(events: list[Event], zone: str, start: date, weeks: int) -> Table:
    """By who was first seen when, and in which weeks a session of theirs began or ended."""

    def week(at: int) -> int:
        local = datetime.fromtimestamp(at / MICROSECOND, tz=UTC).astimezone(ZoneInfo(zone)).date()
        return (local - start).days // 7

    sessions: defaultdict[object, list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event.occurred_at):
        sessions[event.session_id].append(event)
    first: dict[object, int] = {}
    for event in sorted(events, key=lambda event: event.occurred_at):
        first.setdefault(event.anonymous_id, week(event.occurred_at))
    newcomers = first.items()
    there = {(s[0].anonymous_id, week(one.occurred_at)) for s in sessions.values() for one in (s[0], s[-1])}
    return [
        (
            str(start + timedelta(weeks=n)),
            sum(begun == n for begun in first.values()),
            [sum(begun == n and (m == n or (who, m) in there) for who, begun in newcomers) for m in range(n, weeks)],
        )
        for n in range(weeks)
    ]


def test_who_came_back_counts_once_a_week(pipe: Pipeline, ask: Get) -> None:
    seen(pipe, (1, 1, MONDAY), (1, 2, MONDAY + HOUR), (1, 3, MONDAY + WEEK), (1, 4, MONDAY + WEEK + DAY),
         (2, 5, MONDAY + 1), (2, 6, MONDAY + 2 * WEEK), (3, 7, MONDAY + WEEK - 1), (4, 8, MONDAY + WEEK))  # fmt: skip
    assert retention(ask, weeks=3, end="2026-01-12") == [
        ("2025-12-29", 3, [3, 1, 1]),
        ("2026-01-05", 1, [1, 0]),
        ("2026-01-12", 0, [0]),
    ]
    shown = ask("retention", weeks=3, end="2026-01-14").json()
    assert (shown["start"], shown["end"], shown["weeks"]) == ("2025-12-29", "2026-01-18", 3)
    assert shown["cohorts"][0]["rate"] == {"0": 1.0, "1": 0.333333, "2": 0.333333}
    assert shown["cohorts"][2]["rate"] == {"0": None}


def test_a_session_into_the_next_week_is_of_both_and_a_bot_of_none(pipe: Pipeline, ask: Get) -> None:
    seen(pipe, (1, 1, MONDAY + WEEK - HOUR), (1, 1, MONDAY + WEEK + HOUR))
    pipe.send(visit(9, 2, occurred_at=MONDAY), user_agent=ROBOT)
    assert retention(ask, weeks=2, end="2026-01-05") == [("2025-12-29", 1, [1, 1]), ("2026-01-05", 0, [0])]


def test_weeks_begin_on_monday_in_the_sites_zone_and_those_to_come_are_left_out(pipe: Pipeline, ask: Get) -> None:
    pipe.connection.execute("UPDATE sites SET time_zone = 'Asia/Kathmandu'")  # 5:45 ahead
    seen(pipe, (1, 1, MONDAY - 6 * HOUR), (2, 2, MONDAY - 5 * HOUR))
    assert retention(ask, weeks=2, end="2026-01-04") == [("2025-12-22", 1, [1, 0]), ("2025-12-29", 1, [1])]
    weeks = [week for week, _, _ in retention(ask, weeks=2, end="2026-04-08")]
    assert weeks == ["2026-03-30"], "it is the 31st of March"
    assert retention(ask, weeks=2, end="2027-01-01") == []


def test_one_person_on_two_devices_came_when_the_first_of_them_did(pipe: Pipeline, ask: Get) -> None:
    pipe.send(visit(1, 1, occurred_at=MONDAY), visit(2, 2, occurred_at=MONDAY + WEEK), received_at=MONDAY + WEEK)
    assert [row[:2] for row in retention(ask, weeks=2, end="2026-01-05")] == [("2025-12-29", 1), ("2026-01-05", 1)]
    for n in (1, 2):
        at = MONDAY + WEEK + n * HOUR
        pipe.send(visit(10 + n, n, auth_user_id="ann", occurred_at=at), received_at=at)
    mover.run_once(pipe.connection)
    assert retention(ask, weeks=2, end="2026-01-05") == [("2025-12-29", 1, [1, 1]), ("2026-01-05", 0, [0])]


visits = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 4 * 7 * 24 * 4 - 8)), min_size=1, max_size=25
)
zones = st.sampled_from(["UTC", "Asia/Jerusalem", "Asia/Kathmandu"])


@given(visits, zones, st.sampled_from([date(2026, 3, 9), date(2025, 10, 13)]))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_visits_count_as_they_do_one_by_one(
    pipe: Pipeline, ask: Get, visits: list[tuple[int, int, int]], zone: str, start: date
) -> None:
    """Of weeks in which clocks go forward, and back."""
    began = int(datetime(start.year, start.month, start.day, tzinfo=ZoneInfo(zone)).timestamp()) * MICROSECOND
    events = [
        visit(next(pipe.numbers), who, session_id=uid(2, who * 10 + session), occurred_at=began + quarter * HOUR // 4)
        for who, session, quarter in visits
    ]
    for table in ("users", "sessions", "identities", "events"):
        pipe.connection.execute(f"DELETE FROM {table}")
    pipe.connection.execute("UPDATE sites SET time_zone = %s", (zone,))
    pipe.send(*events, received_at=max(event.occurred_at for event in events))
    assert retention(ask, weeks=4, end=str(start + timedelta(weeks=3))) == oracle(events, zone, start, 4)


def test_as_csv_a_cohort_is_a_row(pipe: Pipeline, ask: Get) -> None:
    seen(pipe, (1, 1, MONDAY), (1, 2, MONDAY + WEEK))
    found = ask("retention", weeks=2, end="2026-01-05", format="csv")
    assert found.text.splitlines() == [
        "week,users,active.0,active.1,rate.0,rate.1",
        "2025-12-29,1,1,1,1.0,1.0",
        "2026-01-05,0,0,,,",
    ]


def test_a_wrong_parameter_is_named(ask: Get) -> None:
    for query, field in (
        ({"weeks": 0}, "weeks"),
        ({"weeks": 105}, "weeks"),
        ({"end": "monday"}, "end"),
        ({"x": 1}, "x"),
    ):
        found = ask("retention", **query)
        assert (found.status_code, found.json()["fields"][0]["field"]) == (422, field)


def test_weeks_from_before_a_change_of_zone_begin_where_they_did(pipe: Pipeline, ask: Get) -> None:
    pipe.move("default", "America/New_York", date(2026, 3, 10))
    monday = round(datetime(2026, 3, 2, 2, tzinfo=UTC).timestamp()) * 1_000_000
    seen(pipe, (1, 1, monday))
    (before, after) = ask("retention", weeks=2, end="2026-03-15").json()["cohorts"]
    assert (before["users"], after["users"]) == (1, 0)
