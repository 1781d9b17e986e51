"""Which days figures are of, and until when they are complete: changes of a zone, `as_of`, days asked for by name."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from schema import db, sites
from schema.settings import Settings
from tests.make import DAY, HOUR, T0, batch, canonical, uid
from tests.workers.pipeline import Pipeline, pipeline, visit
from tests.workers.test_daily import CHROME, expected, site, stored
from tests.workers.traffic import counted, traffic
from tripstream.cli import app
from workers import process, reclassify, resolve, rollup
from workers.agents import Verdict, classify
from workers.daily import DAILY

NEW_YEAR = date(2026, 1, 1)


def zones(pipe: Pipeline) -> list[tuple[str, date | None]]:
    return sites.zones(pipe.connection, "shop")


def change(pipe: Pipeline, zone: str) -> None:
    pipe.connection.execute("UPDATE sites SET time_zone = %s WHERE site_id = 'shop'", (zone,))


def starts(pipe: Pipeline, day: date) -> datetime:
    found = pipe.value("SELECT site_day_starts('shop', %s)", day)
    assert isinstance(found, datetime)
    return found


def test_a_site_without_a_past_changes_its_zone_altogether(pipe: Pipeline) -> None:
    site(pipe, "shop", "UTC")
    change(pipe, "Asia/Kathmandu")
    assert zones(pipe) == [("Asia/Kathmandu", None)]
    pipe.send(canonical(1, occurred_at=T0 - 4 * HOUR), site_id="shop")
    pipe.roll_up()
    assert pipe.value("SELECT date FROM daily_stats") == NEW_YEAR


def test_a_site_with_a_past_changes_from_a_midnight_to_come(pipe: Pipeline) -> None:
    site(pipe, "shop", "UTC")
    pipe.send(canonical(1), site_id="shop")
    today = datetime.now(UTC).date()
    before = [starts(pipe, today + timedelta(days=n)) for n in range(-500, 1)]
    change(pipe, "Asia/Jerusalem")
    first, (zone, since) = zones(pipe)
    assert (first, zone) == (("UTC", None), "Asia/Jerusalem")
    assert since is not None
    midnight = datetime(since.year, since.month, since.day, tzinfo=ZoneInfo("Asia/Jerusalem"))
    assert starts(pipe, since) == midnight
    assert timedelta(hours=1) - timedelta(minutes=1) <= midnight - datetime.now(UTC) <= timedelta(hours=26)
    assert [starts(pipe, today + timedelta(days=n)) for n in range(-500, 0)] == before[:-1]
    change(pipe, "Asia/Kolkata")
    assert [zone for zone, _ in zones(pipe)] == ["UTC", "Asia/Kolkata"]
    change(pipe, "UTC")
    assert zones(pipe) == [("UTC", None)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Asia/Kolkata", "UTC"),
        ("UTC", "Asia/Kathmandu"),
        ("Asia/Jerusalem", "America/New_York"),
        ("America/New_York", "Asia/Kathmandu"),
        ("Pacific/Kiritimati", "Pacific/Pago_Pago"),
        ("Pacific/Pago_Pago", "Pacific/Kiritimati"),
    ],
)
def test_days_before_a_change_of_zone_are_the_old_zones_and_each_event_is_of_one_day(
    pipe: Pipeline, old: str, new: str
) -> None:
    first = date(2026, 1, 3)
    site(pipe, "shop", old)
    pipe.move("shop", new, first)
    moved_at = datetime(2026, 1, 3, tzinfo=ZoneInfo(new))

    def day(at: datetime) -> date:
        if at >= moved_at:
            return at.astimezone(ZoneInfo(new)).date()
        return min(at.astimezone(ZoneInfo(old)).date(), first - timedelta(days=1))

    at = round(moved_at.timestamp()) * 1_000_000
    events = traffic(1, 200, around=[at, at - 12 * HOUR, at + 12 * HOUR])
    batch_id = pipe.send(*events, site_id="shop")
    pipe.roll_up()
    assert stored(pipe, "shop") == expected(events, day, batch_id)
    assert pipe.value("SELECT sum(events)::int FROM daily_sessions") == len(counted(events))
    begin = [starts(pipe, first + timedelta(days=n)) for n in range(-4, 5)]
    assert all(one <= other for one, other in pairwise(begin))
    assert pipe.problems() == []


def test_the_command_changes_a_zone_and_says_from_when(pipe: Pipeline, environment: Settings) -> None:
    site(pipe, "shop", "UTC")
    pipe.send(canonical(1), site_id="shop")
    said = CliRunner().invoke(app, ["site", "change", "shop", "--time-zone", "Asia/Kathmandu"])
    assert (said.exit_code, zones(pipe)[-1][0]) == (0, "Asia/Kathmandu")
    assert f"from {zones(pipe)[-1][1]} on" in said.output
    refused = CliRunner().invoke(app, ["site", "change", "shop", "--time-zone", "Mars/Olympus"])
    assert "Mars/Olympus" in str(refused.exception)
    assert len(zones(pipe)) == 2


def as_of(pipe: Pipeline) -> datetime | None:
    found = pipe.value("SELECT nullif(as_of, '-infinity') FROM rolled_up")
    assert found is None or isinstance(found, datetime)
    return found


def test_figures_are_as_of_the_last_rollup_that_left_nothing_dirty(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert as_of(pipe) is None
    monkeypatch.setattr(rollup, "_BUCKETS_MAX", 2)
    pipe.send(*(canonical(n, occurred_at=T0 + n * HOUR) for n in range(5)))
    before = pipe.value("SELECT clock_timestamp()")
    said: list[datetime | None] = []
    with pipeline(pipe.settings) as other:
        rollup.run_once(pipe.connection, lambda *_: said.append(as_of(other)))
    assert len(said) == 6 and set(said) == {None}
    assert (at := as_of(pipe)) is not None
    assert at >= before
    pipe.roll_up()
    assert (later := as_of(pipe)) is not None
    assert later > at


def test_what_commits_during_a_rollup_is_after_its_as_of(pipe: Pipeline) -> None:
    pipe.send(visit(1, 1))
    with pipeline(pipe.settings) as other:
        committed = []

        def drain_meanwhile(done: int, _total: int) -> None:
            if done == 1:
                other.send(visit(2, 2), batch_id=uid(4, 1))
                committed.append(other.value("SELECT clock_timestamp()"))

        rollup.run_once(pipe.connection, drain_meanwhile)
    assert pipe.value("SELECT total_views FROM daily_stats") == 1
    at = as_of(pipe)
    assert at is not None
    assert at < committed[0]


def test_a_day_can_be_asked_for_by_name(pipe: Pipeline, environment: Settings) -> None:
    site(pipe, "shop", "Asia/Kolkata")
    for site_id in ("default", "shop"):
        pipe.send(*traffic(1, 60), site_id=site_id)
    pipe.roll_up()
    right = {site_id: stored(pipe, site_id)[NEW_YEAR] for site_id in ("default", "shop")}
    hours = pipe.rows("SELECT * FROM rollup_hourly ORDER BY 1, 2, 3")
    for one in DAILY:
        pipe.connection.execute(f"DELETE FROM {one.name}")
    pipe.connection.execute(
        "DELETE FROM rollup_hourly WHERE hour >= '2025-12-31 18:00Z' AND hour < '2026-01-01 19:00Z'"
    )

    def ask(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["rollup", *arguments])

    assert "1 days" in ask("--day", "2026-01-01", "--site", "shop").output
    assert stored(pipe, "shop") == {NEW_YEAR: right["shop"]}
    assert stored(pipe, "default") == {}
    assert ask("--day", "2026-01-01").exit_code == 0
    assert stored(pipe, "default") == {NEW_YEAR: right["default"]}
    assert pipe.rows("SELECT * FROM rollup_hourly WHERE site_id = 'shop' ORDER BY 1, 2, 3") == [
        row for row in hours if row[0] == "shop"
    ]
    assert "no site 'nowhere'" in str(ask("--day", "2026-01-01", "--site", "nowhere").exception)
    assert "--day" in str(ask("--site", "shop").exception)
    assert ask("--day", "yesterday").exit_code == 2


def test_process_events_makes_the_days_current(pipe: Pipeline, environment: Settings) -> None:
    pipe.accept(batch(canonical(1), n=1))
    assert process.process_events(pipe.settings) == (1, 1)
    assert pipe.row("SELECT date, total_views, unique_users FROM daily_stats") == (NEW_YEAR, 1, 1)
    assert as_of(pipe) is not None


def test_a_browser_that_gets_another_name_has_it_in_the_days_that_were(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.send(canonical(1, user_agent=CHROME))
    pipe.send(canonical(2, occurred_at=T0 + DAY))
    pipe.roll_up()
    renamed = Verdict("Chromium", *classify(CHROME)[1:])
    monkeypatch.setattr(reclassify, "classify", lambda _: renamed)
    for module in (reclassify, resolve):
        monkeypatch.setattr(module, "rules", lambda: "others")
    monkeypatch.setattr("workers.agents.rules", lambda: "others")
    reclassify.reclassify(pipe.settings, lambda *_: None)
    assert pipe.rows("SELECT date FROM dirty_days") == [(NEW_YEAR,)]
    pipe.roll_up()
    assert pipe.value("SELECT value FROM daily_dimensions WHERE dimension = 'browser'") == "Chromium"
    assert pipe.problems() == []


def test_a_reader_finds_the_zones_of_its_site(pipe: Pipeline) -> None:
    site(pipe, "shop", "Asia/Kolkata")
    with db.reading(pipe.settings, db.Scope("shop")) as reader:
        row = reader.execute("SELECT site_day_starts('shop', '2026-01-01')").fetchone()
    assert row == (datetime(2025, 12, 31, 18, 30, tzinfo=UTC),)
