"""Rollups against an oracle that knows nothing of SQL: every hour in UTC, every day, week and month of the site."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from schema import db, sketch
from schema.event import MICROSECOND, Event
from tests.make import DAY, HOUR, T0, batch, canonical, uid
from tests.workers.pipeline import ROBOT, Pipeline, meanwhile, pipeline, until_blocked, visit
from tests.workers.summed import months_to_date, of_months_to_date
from tests.workers.traffic import counted, traffic
from workers import rollup
from workers.rollup import Rolled

Figures = dict[tuple[Any, str], tuple[int, int, set[str]]]
# Both days on which clocks change, also where they do so at midnight, and zones that are no whole hours from UTC.
ZONES = {
    "utc": ("UTC", [date(2026, 3, 29)]),
    "jerusalem": ("Asia/Jerusalem", [date(2026, 3, 27), date(2026, 10, 25)]),
    "kolkata": ("Asia/Kolkata", [date(2026, 3, 1)]),
    "kathmandu": ("Asia/Kathmandu", [date(2026, 2, 1)]),
    "new_york": ("America/New_York", [date(2026, 3, 8), date(2026, 11, 1)]),
    "azores": ("Atlantic/Azores", [date(2026, 3, 29), date(2026, 10, 25)]),
    "havana": ("America/Havana", [date(2026, 3, 8), date(2026, 11, 1)]),
    "santiago": ("America/Santiago", [date(2026, 4, 5), date(2026, 9, 6)]),
    "lord_howe": ("Australia/Lord_Howe", [date(2026, 4, 5), date(2026, 10, 4)]),
    "apia": ("Pacific/Apia", [date(2026, 1, 1)]),
}


def moment(event: Event) -> datetime:
    return datetime.fromtimestamp(event.occurred_at // MICROSECOND, UTC)


def visitor(event: Event, batch_id: str) -> str:
    return str(event.anonymous_id or event.claimed_user or batch_id)


def figures(events: Iterable[Event], bucket: Callable[[datetime], Any], batch_id: str) -> Figures:
    groups: defaultdict[tuple[Any, str], list[Event]] = defaultdict(list)
    for event in events:
        groups[bucket(moment(event)), event.event_type].append(event)
    return {
        key: (len(group), len({e.session_id for e in group}), {visitor(e, batch_id) for e in group})
        for key, group in groups.items()
    }


def merged(days: Figures, first: Callable[[date], date]) -> Figures:
    spans: Figures = {}
    for (day, kind), (events, sessions, visitors) in days.items():
        before = spans.get((first(day), kind), (0, 0, set()))
        spans[first(day), kind] = (before[0] + events, before[1] + sessions, before[2] | visitors)
    return spans


def together(found: Figures) -> dict[Any, tuple[int, int]]:
    """Events and visitors of all types."""
    whole: dict[Any, tuple[int, set[str]]] = {}
    for (at, _), (events, _, visitors) in found.items():
        before = whole.get(at, (0, set()))
        whole[at] = (before[0] + events, before[1] | visitors)
    return {at: (events, len(visitors)) for at, (events, visitors) in whole.items()}


def stored(pipe: Pipeline, table: str, bucket: str, site_id: str) -> dict[tuple[Any, str], tuple[int, int, bytes]]:
    rows = pipe.rows(f"SELECT {bucket}, event_type, events, sessions, visitors FROM {table}"
                     " JOIN event_types USING (event_type_id) WHERE site_id = %s", site_id)  # fmt: skip
    return {(at, kind): (events, sessions, visitors) for at, kind, events, sessions, visitors in rows}


def exact(pipe: Pipeline, site_id: str) -> dict[tuple[Any, str], int]:
    """How many visitors each hour had, of each type."""
    rows = pipe.rows("SELECT hour, event_type, unique_users FROM rollup_hourly"
                     " JOIN event_types USING (event_type_id) WHERE site_id = %s", site_id)  # fmt: skip
    return {(at, kind): visitors for at, kind, visitors in rows}


def sketched(found: Figures) -> dict[tuple[Any, str], tuple[int, int, bytes]]:
    return {key: (events, sessions, sketch.of(visitors)) for key, (events, sessions, visitors) in found.items()}


def test_every_hour_day_week_and_month_is_what_the_oracle_says(pipe: Pipeline) -> None:
    sent: dict[str, tuple[list[Event], str]] = {}
    for n, (site_id, (zone, days)) in enumerate(ZONES.items()):
        pipe.connection.execute("INSERT INTO sites (site_id, name, time_zone) VALUES (%s, '', %s)", (site_id, zone))
        noons = [datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)) for day in days]
        midnights = [datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)) for day in days]
        around = [round(at.timestamp()) * MICROSECOND for at in (*noons, *midnights)]
        around += [at + shift for at in around for shift in (-HOUR, HOUR)]
        events = traffic(n, 120, around=around)
        sent[site_id] = (counted(events), str(pipe.send(*events, site_id=site_id)))
    pipe.roll_up()
    for site_id, (events, batch_id) in sent.items():
        zone = ZoneInfo(ZONES[site_id][0])
        hours = figures(events, lambda at: at.replace(minute=0, second=0), batch_id)
        days = figures(events, lambda at, zone=zone: at.astimezone(zone).date(), batch_id)
        assert stored(pipe, "rollup_hourly", "hour", site_id) == sketched(hours), site_id
        assert exact(pipe, site_id) == {key: len(visitors) for key, (_, _, visitors) in hours.items()}, site_id
        whole = pipe.rows("SELECT hour, events, unique_users FROM hourly_stats WHERE site_id = %s", site_id)
        assert {at: tuple(of_hour) for at, *of_hour in whole} == together(hours), site_id
        assert stored(pipe, "daily_events", "date", site_id) == sketched(days), site_id
        weeks = merged(days, lambda day: day - timedelta(days=day.weekday()))
        assert stored(pipe, "weekly_events", "date", site_id) == sketched(weeks), site_id
        months = merged(days, lambda day: day.replace(day=1))
        assert stored(pipe, "monthly_events", "date", site_id) == sketched(months), site_id


def hours(pipe: Pipeline) -> list[tuple[Any, ...]]:
    return pipe.rows("SELECT hour, events, sessions FROM rollup_hourly ORDER BY hour, event_type_id")


def everything(pipe: Pipeline) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("rollup_hourly", "daily_events", "weekly_events", "monthly_events")
    return {table: pipe.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables}


def test_a_rollup_does_what_is_dirty_and_a_second_finds_nothing(pipe: Pipeline) -> None:
    pipe.send(*traffic(1, 50))
    before = pipe.row("SELECT (SELECT count(DISTINCT hour) FROM dirty_hours), count(DISTINCT date) FROM dirty_days")
    assert pipe.roll_up() == Rolled(*before)
    after = everything(pipe)
    assert pipe.roll_up() == Rolled(0, 0)
    assert everything(pipe) == after


def test_rolling_up_again_what_did_not_change_gives_the_same_bytes(pipe: Pipeline) -> None:
    pipe.send(*traffic(1, 50))
    pipe.roll_up()
    before = everything(pipe)
    pipe.connection.execute("INSERT INTO dirty_hours SELECT site_id, hour FROM rollup_hourly")
    pipe.connection.execute("INSERT INTO dirty_days SELECT site_id, date FROM daily_events")
    assert pipe.roll_up().hours > 0
    assert everything(pipe) == before


def test_a_late_event_opens_its_hour_again_and_no_other(pipe: Pipeline) -> None:
    pipe.send(visit(1, 1), visit(2, 2), visit(3, 3, occurred_at=T0 + HOUR))
    pipe.roll_up()
    pipe.send(visit(4, 4, occurred_at=T0 + HOUR - 1), received_at=T0 + 90 * DAY)
    assert pipe.roll_up() == Rolled(1, 1)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert hours(pipe) == [(at, 3, 3), (at + timedelta(hours=1), 1, 1)]
    assert pipe.row("SELECT events, sessions FROM daily_events") == (4, 4)


def test_a_late_event_opens_the_week_and_month_of_its_day(pipe: Pipeline) -> None:
    pipe.send(canonical(1), canonical(2, occurred_at=T0 + 40 * DAY))
    pipe.roll_up()
    pipe.send(canonical(3, occurred_at=T0 + DAY))
    pipe.roll_up()
    assert pipe.rows("SELECT date, events, sessions FROM weekly_events ORDER BY 1") == [
        (date(2025, 12, 29), 2, 2),
        (date(2026, 2, 9), 1, 1),
    ]
    assert pipe.rows("SELECT date, events FROM monthly_events ORDER BY 1") == [
        (date(2026, 1, 1), 2),
        (date(2026, 2, 1), 1),
    ]


def test_months_to_date_of_trips_follow_days_that_come_late_and_days_that_go(pipe: Pipeline) -> None:
    trips = [
        visit(n, n, trip_id=1 + n % 3, occurred_at=T0 + day * DAY) for n, day in enumerate((0, 2, 2, 9, 20, 40, 41), 1)
    ]
    pipe.send(*trips, received_at=T0 + 50 * DAY)
    pipe.roll_up()
    later = "SELECT date, xmin::text FROM month_to_date_trips WHERE date < '2026-01-03' OR date > '2026-01-31'"
    before = pipe.rows(later)
    assert (len(before), len(months_to_date(pipe, "default"))) == (3, 13)
    pipe.send(visit(90, 90, trip_id=3, occurred_at=T0 + 4 * DAY), received_at=T0 + 50 * DAY)
    pipe.roll_up()
    assert months_to_date(pipe, "default") == of_months_to_date(pipe, "default")
    assert len(months_to_date(pipe, "default")) == 16
    assert pipe.rows(later) == before
    pipe.connection.execute("DELETE FROM events WHERE occurred_at BETWEEN '2026-01-03' AND '2026-01-04'")
    rollup.mark(pipe.connection, date(2026, 1, 3))
    pipe.roll_up()
    assert months_to_date(pipe, "default") == of_months_to_date(pipe, "default")
    assert pipe.value("SELECT count(*) FROM month_to_date_trips WHERE date = '2026-01-03'") == 0


def test_a_bucket_whose_events_are_gone_is_removed(pipe: Pipeline) -> None:
    pipe.send(canonical(1), canonical(2, occurred_at=T0 + 40 * DAY))
    pipe.roll_up()
    pipe.connection.execute("DELETE FROM events WHERE event_id = %s", (uid(1, 1),))
    pipe.connection.execute("INSERT INTO dirty_hours VALUES ('default', '2026-01-01 00:00Z')")
    pipe.connection.execute("INSERT INTO dirty_days VALUES ('default', '2026-01-01')")
    pipe.roll_up()
    assert [len(rows) for rows in everything(pipe).values()] == [1, 1, 1, 1]


def test_bots_are_in_no_figure_even_where_they_made_it_dirty(pipe: Pipeline) -> None:
    pipe.send(visit(1, 1))
    pipe.send(visit(2, 2), user_agent=ROBOT)
    pipe.roll_up()
    assert [(events, sessions) for _, events, sessions in hours(pipe)] == [(1, 1)]


def test_a_drain_that_commits_during_a_rollup_leaves_its_mark_for_the_next(pipe: Pipeline) -> None:
    pipe.send(visit(1, 1))
    with pipeline(pipe.settings) as other:

        def drain_meanwhile(done: int, _total: int) -> None:
            if done == 1:
                other.send(visit(2, 2), batch_id=uid(4, 1))

        rollup.run_once(pipe.connection, drain_meanwhile)
    assert [events for _, events, _ in hours(pipe)] == [1]
    assert pipe.value("SELECT events FROM daily_events") == 1  # computed after the drain, from the same snapshot
    assert pipe.value("SELECT count(*) FROM dirty_hours") == pipe.value("SELECT count(*) FROM dirty_days") == 1
    assert pipe.roll_up() == Rolled(1, 1)
    assert [events for _, events, _ in hours(pipe)] == [2]
    assert pipe.problems() == []


def test_a_drain_that_is_not_committed_yet_is_rolled_up_next_time(pipe: Pipeline) -> None:
    with pipeline(pipe.settings) as other, other.connection.transaction():
        other.accept(batch(visit(1, 1), n=1))
        other.drain()
        assert pipe.roll_up() == Rolled(0, 0)
    assert pipe.roll_up() == Rolled(1, 1)
    assert [events for _, events, _ in hours(pipe)] == [1]


def test_of_two_rollups_at_once_the_second_waits_and_finds_nothing(pipe: Pipeline) -> None:
    pipe.send(*traffic(1, 30))
    second: list[Rolled] = []

    def roll_up_too() -> None:
        with db.connect(pipe.settings) as connection:
            second.append(rollup.run_once(connection))

    pipe.connection.execute("SELECT pg_advisory_lock(hashtext(%s))", (rollup._LOCK,))
    with meanwhile(roll_up_too) as finished:
        until_blocked(pipe.settings)
        first = pipe.roll_up()  # the lock is had already, and taken once more
        pipe.connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", (rollup._LOCK,))
        finished()
    assert first.hours > 0
    assert second == [Rolled(0, 0)]
    assert pipe.problems() == []


def test_a_rollup_that_dies_leaves_marks_and_rows_as_they_were(pipe: Pipeline) -> None:
    pipe.send(*traffic(1, 30))
    pipe.roll_up()
    before = everything(pipe)
    pipe.send(*traffic(2, 30, first=100))
    marks = pipe.row("SELECT (SELECT count(*) FROM dirty_hours), count(*) FROM dirty_days")

    def die(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rollup.run_once(pipe.connection, die)
    assert everything(pipe) == before
    assert pipe.row("SELECT (SELECT count(*) FROM dirty_hours), count(*) FROM dirty_days") == marks
    pipe.roll_up()
    assert pipe.problems() == []


def test_progress_counts_up_to_what_there_is(pipe: Pipeline) -> None:
    pipe.send(canonical(1), canonical(2, occurred_at=T0 + HOUR))
    said: list[tuple[int, int]] = []
    rollup.run_once(pipe.connection, lambda done, total: said.append((done, total)))
    assert said == [(1, 3), (2, 3), (3, 3)]


def test_a_backlog_of_buckets_is_worked_off_bit_by_bit(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was rolled up before something failed stays rolled up."""
    monkeypatch.setattr(rollup, "_BUCKETS_MAX", 2)
    pipe.send(*(canonical(n, occurred_at=T0 + n * HOUR) for n in range(5)))
    compute, calls = rollup._compute, iter(range(100))

    def fails_in_the_second_transaction(*arguments: Any) -> None:
        if next(calls) == 4:
            raise RuntimeError("the fourth bucket")
        compute(*arguments)

    monkeypatch.setattr(rollup, "_compute", fails_in_the_second_transaction)
    with pytest.raises(RuntimeError, match="fourth"):
        pipe.roll_up()
    assert pipe.value("SELECT count(*) FROM rollup_hourly") == 2
    assert pipe.value("SELECT count(DISTINCT hour) FROM dirty_hours") == 3
    assert pipe.roll_up() == Rolled(3, 0)
    assert pipe.value("SELECT count(*) FROM rollup_hourly") == 5
    assert pipe.problems() == []
