"""Plausible's days come before the site's own, stay as they are, and can be taken out again."""

from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from schema import sketch
from schema.errors import BadRows, ConfigError, InvalidRequest
from tests.make import DAY, HOUR, T0, canonical
from tests.workers.pipeline import Pipeline
from tests.workers.test_daily import site
from workers import imported_days, imported_events, imports, plausible, upkeep

VISITORS = """date,visitors,pageviews,bounces,visits,visit_duration
2025-11-30,120,300,40,150,9000
2025-12-01,100,250,30,110,5500
2026-01-01,7,8,1,7,70
"""
PAGES = """date,hostname,page,visits,visitors,pageviews,total_scroll_depth,total_scroll_depth_visits
2025-11-30,trips.example,/,90,80,200,,
2025-11-30,trips.example,/japan,60,50,100,,
2025-12-01,trips.example,/,100,90,250,,
"""
SOURCES = """date,source,referrer,utm_source,utm_medium,utm_campaign,pageviews,visitors,visits,visit_duration,bounces
2025-11-30,Google,https://www.google.com/search,,,,200,80,100,1000,10
2025-11-30,Newsletter,,news,email,winter,100,40,50,1000,5
"""
DEVICES = "date,device,visitors,visits,visit_duration,bounces,pageviews\n2025-11-30,Mobile,70,90,1,1,180\n"
OWN = "date,name,link_url,path,visitors,events\n2025-11-30,Signup,,,12,15\n2025-11-30,pageview,,,1,1\n"


NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)


def export(path: Path, **tables: str) -> Path:
    files = {"visitors": VISITORS, "pages": PAGES, "sources": SOURCES, "devices": DEVICES, "custom_events": OWN}
    with zipfile.ZipFile(path, "w") as pack:
        for name, text in (files | tables).items():
            pack.writestr(f"export/imported_{name}_20251130_20260101.csv", text)
    return path


def test_the_days_figures_are_those_of_the_export(pipe: Pipeline, tmp_path: Path) -> None:
    _, found = imported_days.run(pipe.settings, export(tmp_path / "p.zip"), "default", NOW)
    assert [str(day.date) for day in found.days] == ["2025-11-30", "2025-12-01", "2026-01-01"]
    assert pipe.rows("SELECT total_views, unique_users, path_stats FROM daily_stats ORDER BY date") == [
        (300, 120, {"/": 200, "/japan": 100}),
        (250, 100, {"/": 250}),
        (8, 7, {}),
    ]
    of_sessions = (
        "SELECT sessions, bounces, page_views, events, length_ms FROM daily_sessions WHERE date = '2025-11-30'"
    )
    assert pipe.row(of_sessions) == (150, 40, 300, 315, 9_000_000)
    of_types = pipe.rows(
        "SELECT event_type, events, sessions, visitors FROM daily_events JOIN event_types USING (event_type_id)"
        " WHERE date = '2025-11-30' ORDER BY 1"
    )
    assert [row[:3] for row in of_types] == [("Signup", 15, 12), ("page_view", 300, 150)]
    assert sketch.estimate(sketch.merge(row[3] for row in of_types)) == pytest.approx(120, rel=0.05)
    dimensions = pipe.rows(
        "SELECT dimension, value, page_views, sessions FROM daily_dimensions WHERE date = '2025-11-30'"
    )
    assert {
        ("path", "/", 200, 90),
        ("path", "/japan", 100, 60),
        ("referrer", "google.com", 200, 100),
        ("referrer", "newsletter", 100, 50),
        ("utm_campaign", "winter", 100, 50),
        ("device", "Mobile", 180, 90),
    } <= set(dimensions)
    assert pipe.rows("SELECT date::text, sum(events) FROM monthly_events GROUP BY 1 ORDER BY 1") == [
        ("2025-11-01", 315),
        ("2025-12-01", 250),
        ("2026-01-01", 8),
    ]


def test_days_that_the_site_has_itself_are_left_out(pipe: Pipeline, tmp_path: Path) -> None:
    pipe.send(canonical(1))
    pipe.roll_up()
    found = imported_days.preview(pipe.settings, export(tmp_path / "p.zip"), "default", NOW)
    assert (len(found.days), found.left_out, found.page_views) == (2, 1, 550)
    late = export(tmp_path / "late.zip", visitors=VISITORS.replace("2025", "2026"))
    with pytest.raises(InvalidRequest, match="lies on or after 2026-01-01"):
        imported_days.run(pipe.settings, late, "default", NOW)


def test_imported_days_survive_verify_and_rebuild_beside_the_sites_own(pipe: Pipeline, tmp_path: Path) -> None:
    imported_days.run(pipe.settings, export(tmp_path / "p.zip"), "default", NOW)
    pipe.send(canonical(1, occurred_at=T0 + 3 * DAY), canonical(2, occurred_at=T0 + 4 * DAY))
    upkeep.mirror(pipe.settings)
    pipe.roll_up()
    before = pipe.rows("SELECT t::text FROM weekly_events AS t ORDER BY 1")
    assert pipe.problems() == []
    from workers import verify

    verify.rebuild(pipe.settings, lambda *_: None)
    assert pipe.rows("SELECT t::text FROM weekly_events AS t ORDER BY 1") == before
    assert pipe.value("SELECT count(*) FROM daily_stats") == 5
    assert pipe.problems() == []


def test_an_event_of_an_imported_day_is_a_dead_letter_that_says_so(pipe: Pipeline, tmp_path: Path) -> None:
    imported_days.run(pipe.settings, export(tmp_path / "p.zip"), "default", NOW)
    pipe.send(canonical(1, occurred_at=T0 - 10 * DAY), canonical(2, occurred_at=T0 + 3 * DAY))
    assert pipe.value("SELECT count(*) FROM events") == 1
    assert "2026-01-02" in pipe.value("SELECT reason FROM dead_letters")


def test_umami_rows_of_imported_days_are_refused_and_can_be_left_out(pipe: Pipeline, tmp_path: Path) -> None:
    imported_days.run(pipe.settings, export(tmp_path / "p.zip"), "default", NOW)
    path = tmp_path / "u.csv"
    path.write_text("session_id,created_at,url_path,event_type\ns,2025-12-24,/,1\ns,2026-01-03,/,1\n")
    now = T0 + 30 * DAY
    with pytest.raises(InvalidRequest, match="before 2026-01-02 are closed: leave them out with --since 2026-01-02"):
        imported_events.run(pipe.settings, path, "default", now)
    assert imported_events.preview(pipe.settings, path, "default", now, datetime(2026, 1, 2, tzinfo=UTC)).rows == 1


def test_an_import_that_is_undone_leaves_the_days_open_again(pipe: Pipeline, tmp_path: Path) -> None:
    pipe.send(canonical(1, occurred_at=T0 + 3 * DAY))
    upkeep.mirror(pipe.settings)
    pipe.roll_up()
    tables = (
        "daily_stats",
        "daily_events",
        "daily_dimensions",
        "daily_sessions",
        "weekly_events",
        "weekly_dimensions",
        "monthly_events",
        "floors",
    )
    before = {name: pipe.rows(f"SELECT t::text FROM {name} AS t ORDER BY 1") for name in tables}
    import_id, _ = imported_days.run(pipe.settings, export(tmp_path / "p.zip"), "default", NOW)
    with pytest.raises(InvalidRequest, match="figures of 3 of these days already"):
        imported_days.run(
            pipe.settings, export(tmp_path / "p2.zip", devices=DEVICES.replace("70", "71")), "default", NOW
        )
    assert imported_days.take_back(pipe.settings, import_id) == 3
    assert {name: pipe.rows(f"SELECT t::text FROM {name} AS t ORDER BY 1") for name in tables} == before
    assert pipe.problems() == []
    assert [one["undone_at"] is not None for one in imports.listed(pipe.connection)] == [True]
    imported_days.run(pipe.settings, export(tmp_path / "p.zip"), "default", NOW)


@pytest.mark.parametrize(
    ("table", "text", "why"),
    [
        ("visitors", VISITORS.replace("300", "many"), "line 2: imported_visitors: pageviews is no whole number"),
        (
            "visitors",
            VISITORS.replace("2025-12-01", "2025-11-30"),
            "line 3: imported_visitors: 2025-11-30 is there twice",
        ),
        ("pages", PAGES.replace("2025-12-01", "1 December"), "line 4: imported_pages: date is no day"),
        ("devices", DEVICES + "2025-11-30,x\n", "line 3: imported_devices: it has another number of fields"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_imported(
    pipe: Pipeline, tmp_path: Path, table: str, text: str, why: str
) -> None:
    with pytest.raises(BadRows, match=why):
        imported_days.run(pipe.settings, export(tmp_path / "p.zip", **{table: text}), "default", NOW)
    assert pipe.rows("SELECT FROM daily_stats") == []


def test_what_is_no_export_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"no zip")
    with pytest.raises(ConfigError, match="cannot be read"):
        plausible.read(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as pack:
        pack.writestr("a.csv", "")
    with pytest.raises(ConfigError, match="no export of Plausible's"):
        plausible.read(tmp_path / "other.zip")


def test_today_and_days_to_come_stay_open_to_events(pipe: Pipeline, tmp_path: Path) -> None:
    site(pipe, "shop", "Asia/Kathmandu")
    still_new_year = datetime(2026, 1, 1, 18, tzinfo=UTC)
    path = export(tmp_path / "p.zip", visitors=VISITORS + "2999-01-01,1,1,1,1,1\n9999-12-31,1,1,1,1,1\n")
    _, found = imported_days.run(pipe.settings, path, "shop", still_new_year)
    assert ([str(day.date) for day in found.days], found.left_out) == (["2025-11-30", "2025-12-01"], 3)
    pipe.send(canonical(1, occurred_at=T0 + 18 * HOUR), site_id="shop", received_at=T0 + 19 * HOUR)
    assert pipe.value("SELECT count(*) FROM events") == 1


def test_a_day_begins_where_it_did_before_the_site_changed_its_zone(pipe: Pipeline, tmp_path: Path) -> None:
    site(pipe, "shop", "Asia/Kathmandu")
    pipe.send(canonical(1, occurred_at=T0 + 3 * DAY), site_id="shop", received_at=T0 + 4 * DAY)
    pipe.connection.execute("UPDATE sites SET time_zone = 'America/New_York' WHERE site_id = 'shop'")
    imported_days.run(pipe.settings, export(tmp_path / "p.zip"), "shop", NOW)
    at = datetime(2026, 1, 1, 18, 15, tzinfo=UTC)
    assert pipe.row("SELECT floor, floor_at, closed_hour FROM floors") == (date(2026, 1, 2), at, at.replace(minute=0))
    pipe.send(canonical(2, occurred_at=T0 + 19 * HOUR), site_id="shop", received_at=T0 + 20 * HOUR)
    assert pipe.value("SELECT count(*) FROM events") == 2


def test_undoing_one_import_leaves_the_days_of_another_closed(pipe: Pipeline, tmp_path: Path) -> None:
    head, *days = VISITORS.splitlines()
    files = [export(tmp_path / f"{n}.zip", visitors=f"{head}\n{day}\n") for n, day in enumerate(days)]
    newer, older, newest = (imported_days.run(pipe.settings, files[n], "default", NOW)[0] for n in (1, 0, 2))
    assert pipe.value("SELECT closed FROM floors") == date(2026, 1, 2)
    imported_days.take_back(pipe.settings, newer)
    imported_days.take_back(pipe.settings, newest)
    assert pipe.value("SELECT closed FROM floors") == date(2025, 12, 1)
    imported_days.take_back(pipe.settings, older)
    assert pipe.rows("SELECT FROM floors") == []


def test_days_between_those_of_another_import_would_go_with_it(pipe: Pipeline, tmp_path: Path) -> None:
    imported_days.run(pipe.settings, export(tmp_path / "p.zip"), "default", NOW)
    between = export(tmp_path / "q.zip", visitors=VISITORS.splitlines()[0] + "\n2025-12-20,1,1,1,1,1\n")
    with pytest.raises(InvalidRequest, match="lie among those of import 1"):
        imported_days.run(pipe.settings, between, "default", NOW)


def test_days_whose_events_retention_dropped_are_the_sites_own_still(pipe: Pipeline, tmp_path: Path) -> None:
    pipe.send(canonical(1, occurred_at=T0 - 20 * DAY), canonical(2, occurred_at=T0 + 3 * DAY))
    pipe.roll_up()
    pipe.connection.execute("DELETE FROM events WHERE occurred_at < '2026-01-01'")
    found = imported_days.preview(pipe.settings, export(tmp_path / "p.zip"), "default", NOW)
    assert (len(found.days), found.left_out) == (2, 1)


def test_an_event_called_page_view_is_no_second_row_of_page_views(pipe: Pipeline, tmp_path: Path) -> None:
    path = export(tmp_path / "p.zip", custom_events=OWN + "2025-11-30,page_view,,,3,4\n")
    imported_days.run(pipe.settings, path, "default", NOW)
    own = "SELECT events FROM daily_events JOIN event_types USING (event_type_id) WHERE date = '2025-11-30' ORDER BY 1"
    assert pipe.rows(own) == [(15,), (300,)]
