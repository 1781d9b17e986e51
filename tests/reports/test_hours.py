"""The series by hour, in zones whose days begin in the middle of an hour, and over days of any length."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.make import DAY, T0
from tests.reports.asking import Get
from tests.workers.pipeline import Pipeline
from tests.workers.traffic import traffic

HOURS = (
    "SELECT local_day(hour, time_zone, until)::text, to_char(hour AT TIME ZONE time_zone, 'HH24:MI'), hour"
    " FROM generate_series(date_trunc('hour', site_day_starts('default', %s), 'UTC'),"
    " site_day_starts('default', %s::date + 1) - interval '1 microsecond', '1 hour') AS hour"
    " JOIN site_zones ON hour >= starts AND hour < ends ORDER BY hour"
)
OF_HOUR = (
    "SELECT count(*), count(DISTINCT session_id), count(DISTINCT visitor_key(anonymous_id, claimed_user, batch_id))"
    " FROM events JOIN event_types USING (event_type_id) WHERE NOT is_bot AND occurred_at >= %s AND occurred_at < %s"
    " AND event_type = coalesce(%s, event_type)"
)
KINDS = ([None], ["page_view", "booking_complete", "click_trip"])  # booking_complete never came


def asked(get: Get, start: date, end: date, kinds: list[Any]) -> list[tuple[Any, ...]]:
    types = "".join(f"&type={kind}" for kind in kinds if kind)
    rows = get(f"/api/stats/series?start={start}&end={end}&interval=hour{types}").json()["rows"]
    names = ("date", "hour", "type", "events", "sessions", "visitors")
    return [(datetime.fromisoformat(one["at"]), *(one[name] for name in names)) for one in rows]


def counted(pipe: Pipeline, start: date, end: date, kinds: list[Any]) -> list[tuple[Any, ...]]:
    """The same, asked of events."""
    found = []
    for day, hour, at in pipe.rows(HOURS, start, end):
        for kind in kinds:
            events, sessions, visitors = pipe.row(OF_HOUR, at, at + timedelta(hours=1), kind)
            found.append((at.astimezone(UTC), day, hour, kind, events, sessions if kind else None, visitors))
    return found


def check(pipe: Pipeline, get: Get, middle: date) -> None:
    """Five days around one, and each of them."""
    around = [middle + timedelta(days=n) for n in range(-2, 3)]
    for kinds in KINDS:
        for start, end in ((around[0], around[-1]), *zip(around, around, strict=True)):
            assert asked(get, start, end, kinds) == counted(pipe, start, end, kinds), (start, end, kinds)


@pytest.mark.parametrize(
    ("zone", "middle"),
    [
        ("Asia/Kathmandu", "2026-01-01"),
        ("America/St_Johns", "2026-03-08"),
        ("America/St_Johns", "2026-11-01"),
        ("Australia/Lord_Howe", "2026-04-05"),
    ],
)
def test_hours_are_what_their_events_say_where_clocks_change_too(
    pipe: Pipeline, get: Get, zone: str, middle: str
) -> None:
    day = date.fromisoformat(middle)
    pipe.connection.execute("UPDATE sites SET time_zone = %s", (zone,))
    moment = T0 + (day - date(2026, 1, 1)).days * DAY
    pipe.send(*traffic(1, 100, around=[moment]), received_at=moment + 10 * DAY)
    pipe.roll_up()
    check(pipe, get, day)


@pytest.mark.parametrize(
    ("was", "now"),
    [("Asia/Kathmandu", "America/Los_Angeles"), ("America/Los_Angeles", "Asia/Kathmandu"), ("UTC", "America/St_Johns")],
)
def test_hours_are_what_their_events_say_where_the_site_changes_its_zone(
    pipe: Pipeline, get: Get, was: str, now: str
) -> None:
    pipe.connection.execute("UPDATE sites SET time_zone = %s", (was,))
    pipe.move("default", now, date(2026, 1, 3))
    pipe.send(*traffic(1, 100, around=[T0 + 2 * DAY]), received_at=T0 + 10 * DAY)
    pipe.roll_up()
    check(pipe, get, date(2026, 1, 3))


@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
def test_only_a_type_that_never_was_is_refused(pipe: Pipeline, get: Get, interval: str) -> None:
    pipe.send(*traffic(1, 50), received_at=T0 + 10 * DAY)
    pipe.roll_up()
    ask = f"/api/stats/series?start=2026-01-01&days=2&interval={interval}&type="
    assert get(f"{ask}page_view,booking_complete").status_code == 200
    refused = get(f"{ask}page_view,flight,booking_complete")
    assert (refused.status_code, "no event type flight" in refused.text) == (422, True)
