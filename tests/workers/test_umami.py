"""An export of Umami's becomes events, once, and can be taken back without a trace."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import dict_row

from schema.errors import BadRows, ConfigError, InvalidRequest, NotFound
from schema.settings import Settings
from tests.make import DAY, T0, canonical
from tests.workers.pipeline import Pipeline
from workers import imported_events, imports, retention, umami, upkeep, verify

NOW = T0 + 30 * DAY
COLUMNS = (
    "website_id", "session_id", "visit_id", "event_id", "hostname", "browser", "os", "device", "screen", "language",
    "country", "url_path", "url_query", "referrer_domain", "referrer_path", "page_title", "event_type", "event_name",
    "created_at",
)  # fmt: skip


def row(n: int, **said: Any) -> dict[str, Any]:
    """The n-th page view, n minutes into 2024, of visitor n / 3."""
    return {
        "website_id": "w", "session_id": f"s{n // 3}", "visit_id": f"v{n // 3}", "event_id": f"e{n}",
        "hostname": "trips.example", "browser": "firefox", "os": "Linux", "device": "desktop", "screen": "1920x1080",
        "language": "he-IL", "country": "il" if n % 2 else "US", "url_path": f"/trips/{n}", "event_type": "1",
        "url_query": "utm_source=news&page=2", "referrer_domain": "google.com", "referrer_path": "/",
        "created_at": f"{datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=n)}",
    } | said  # fmt: skip


def export(path: Path, *rows: dict[str, Any]) -> Path:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(out.getvalue())
    return path


def bring(pipe: Pipeline, path: Path) -> imported_events.Imported:
    """Import and drain."""
    done = imported_events.run(pipe.settings, path, "default", NOW)
    for lane in range(pipe.settings.lanes):
        pipe.drain(lane)
    return done


def test_a_row_is_an_event_with_all_that_was_said_of_it(pipe: Pipeline, tmp_path: Path) -> None:
    bring(pipe, export(tmp_path / "u.csv", row(1), row(2, event_type="2", event_name="Book now", url_query="")))
    with pipe.connection.cursor(row_factory=dict_row) as cursor:
        view, own = cursor.execute("SELECT * FROM readable_events ORDER BY occurred_at").fetchall()
    assert view["occurred_at"].isoformat() == "2024-01-01T00:01:00+00:00"
    assert (view["event_type"], own["event_type"]) == ("page_view", "Book now")
    assert (view["path"], view["page_url"]) == ("/trips/1", "https://trips.example/trips/1?utm_source=news&page=2")
    assert (view["referrer"], view["device_type"], view["screen"]) == ("https://google.com/", "desktop", "1920x1080")
    assert (view["country"], own["country"]) == ("IL", "US")
    assert (view["utm"], own["utm"]) == ({"utm_source": "news"}, None)
    assert view["metadata"] == {"imported_from": "umami", "browser": "firefox", "os": "Linux", "language": "he-IL"}
    assert view["session_id"] == own["session_id"] and view["anonymous_id"] == own["anonymous_id"]
    assert pipe.row("SELECT page_view_count, event_count FROM sessions") == (1, 2)


def test_the_zip_that_the_export_comes_in_is_read_as_it_is(pipe: Pipeline, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as pack:
        pack.write(export(tmp_path / "u.csv", *(row(n) for n in range(250))), "export/website_event.csv")
        pack.writestr("session_data.csv", "other\n")
    assert bring(pipe, tmp_path / "export.zip").events == 250
    assert pipe.value("SELECT count(*) FROM events") == 250
    assert pipe.value("SELECT count(*) FROM users") == 84


def test_a_dry_run_counts_and_brings_nothing(pipe: Pipeline, tmp_path: Path) -> None:
    path = export(tmp_path / "u.csv", row(0), row(4), row(5, event_type="2", event_name="x"))
    found = imported_events.preview(pipe.settings, path, "default", NOW)
    assert (found.rows, found.visitors, found.types) == (3, 2, {"page_view": 2, "x": 1})
    assert (f"{found.first:%H:%M}", f"{found.last:%H:%M}") == ("00:00", "00:05")
    assert pipe.rows("SELECT FROM imports") == []
    assert pipe.redis.xlen("ev:0") == pipe.redis.xlen("ev:1") == 0


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"created_at": "yesterday"}, "created_at is no time"),
        ({"created_at": "2031-01-01 00:00:00"}, "in the future"),
        ({"created_at": "1999-01-01 00:00:00"}, "before 2005"),
        ({"session_id": ""}, "session_id is empty"),
        ({"event_type": "7"}, "event_type is '7'"),
        ({"event_type": "2"}, "event_name is empty"),
        ({"event_type": "2", "event_name": "n" * 101}, "1 to 100 characters"),
        ({"url_path": "/" + "p" * 2048}, "url_path has 2049 characters"),
        ({"screen": "a\0b"}, "U\\+0000"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_imported(
    pipe: Pipeline, tmp_path: Path, said: dict[str, Any], why: str
) -> None:
    path = export(tmp_path / "u.csv", row(0), row(1, **said), row(2))
    with pytest.raises(BadRows, match=rf"line 3: .*{why}"):
        imported_events.run(pipe.settings, path, "default", NOW)
    assert pipe.rows("SELECT FROM imports") == []


def test_what_is_no_export_is_told_apart(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="no column created_at, event_type, session_id, url_path"):
        imported_events.preview(settings, tmp_path / "other.csv", "default", NOW)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as pack:
        pack.writestr("x.csv", "")
    with pytest.raises(ConfigError, match=r"no website_event\.csv"):
        imported_events.preview(settings, tmp_path / "other.zip", "default", NOW)
    with pytest.raises(ConfigError, match="cannot be read"):
        imported_events.preview(settings, tmp_path / "nowhere.csv", "default", NOW)
    with pytest.raises(InvalidRequest, match="holds no events"):
        imported_events.preview(settings, export(tmp_path / "empty.csv"), "default", NOW)
    with pytest.raises(NotFound, match="no site nobody"):
        imported_events.preview(settings, export(tmp_path / "empty.csv"), "nobody", NOW)


def test_rows_of_another_length_than_the_header_are_bad(tmp_path: Path) -> None:
    (tmp_path / "u.csv").write_text("session_id,created_at,url_path,event_type\ns,2024-01-01\na,b,c,d,e\n")
    with pytest.raises(BadRows) as raised:
        list(umami.read(tmp_path / "u.csv", "default", NOW))
    assert [line for line, _ in raised.value.problems] == [2, 3]


def test_a_file_imported_again_is_refused_and_a_longer_one_adds_what_is_new(pipe: Pipeline, tmp_path: Path) -> None:
    first = export(tmp_path / "a.csv", row(0), row(1))
    bring(pipe, first)
    with pytest.raises(InvalidRequest, match="imported before, as number 1"):
        imported_events.run(pipe.settings, first, "default", NOW)
    bring(pipe, export(tmp_path / "b.csv", row(0), row(1), row(2)))
    assert pipe.value("SELECT count(*) FROM events") == 3
    assert [one["stored"] for one in imports.listed(pipe.connection)] == [2, 1]


def test_an_import_cut_short_is_finished_by_importing_again(
    pipe: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export(tmp_path / "u.csv", *(row(n) for n in range(350)))
    monkeypatch.setattr(imported_events, "_AT_ONCE", 2)

    def cut(queued: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported_events.run(pipe.settings, path, "default", NOW, told=cut)
    for lane in range(pipe.settings.lanes):
        pipe.drain(lane)
    assert 0 < pipe.value("SELECT count(*) FROM events") < 350
    assert bring(pipe, path).import_id == 1
    assert pipe.value("SELECT count(*) FROM events") == 350
    upkeep.mirror(pipe.settings)
    assert pipe.problems() == []


def test_an_import_that_is_undone_leaves_nothing_of_it(pipe: Pipeline, tmp_path: Path) -> None:
    pipe.send(canonical(1), canonical(2))
    upkeep.mirror(pipe.settings)
    pipe.roll_up()
    tables = ("users", "sessions", "identities", "event_ids", "rollup_hourly", "daily_events", "monthly_events")
    before = {name: pipe.rows(f"SELECT t::text FROM {name} AS t ORDER BY 1") for name in tables}
    path = export(tmp_path / "u.csv", *(row(n) for n in range(300)))
    done = bring(pipe, path)
    pipe.roll_up()
    assert pipe.value("SELECT count(*) FROM events") == 302
    assert imported_events.take_back(pipe.settings, done.import_id, lambda *_: None) == 300
    assert pipe.value("SELECT count(*) FROM events") == 2
    assert pipe.problems() == []
    assert {name: pipe.rows(f"SELECT t::text FROM {name} AS t ORDER BY 1") for name in tables} == before
    with pytest.raises(NotFound, match="no import 1"):
        imported_events.take_back(pipe.settings, done.import_id, lambda *_: None)
    assert bring(pipe, path).import_id == 2
    assert pipe.value("SELECT count(*) FROM events") == 302


def test_what_is_still_queued_is_not_undone(pipe: Pipeline, tmp_path: Path) -> None:
    done = imported_events.run(pipe.settings, export(tmp_path / "u.csv", row(1)), "default", NOW)
    with pytest.raises(InvalidRequest, match="1 batches of this import are still queued"):
        imported_events.take_back(pipe.settings, done.import_id, lambda *_: None)


def test_an_import_under_way_is_neither_undone_nor_begun_again(pipe: Pipeline, tmp_path: Path) -> None:
    path = export(tmp_path / "u.csv", row(1))
    refused: list[str] = []

    def meanwhile(_queued: int) -> None:
        for lane in range(pipe.settings.lanes):
            pipe.drain(lane)
        with pytest.raises(InvalidRequest) as undoing:
            imported_events.take_back(pipe.settings, 1, lambda *_: None)
        with pytest.raises(InvalidRequest) as importing:
            imported_events.run(pipe.settings, path, "default", NOW)
        refused.extend(str(one.value) for one in (undoing, importing))

    imported_events.run(pipe.settings, path, "default", NOW, told=meanwhile)
    assert refused == ["Import 1 is being imported or undone elsewhere: let that end first."] * 2
    assert imported_events.take_back(pipe.settings, 1, lambda *_: None) == 1


def test_what_of_an_import_was_dead_cannot_be_replayed_once_it_is_undone(pipe: Pipeline, tmp_path: Path) -> None:
    done = imported_events.run(pipe.settings, export(tmp_path / "u.csv", row(1), row(2)), "default", NOW)
    at = datetime(2024, 1, 1, 0, 2, tzinfo=UTC)
    pipe.connection.execute("INSERT INTO floors (site_id, floor, floor_at) VALUES ('default', '2024-01-01', %s)", (at,))
    for lane in range(pipe.settings.lanes):
        pipe.drain(lane)
    pipe.connection.execute("DELETE FROM floors")
    assert (pipe.value("SELECT count(*) FROM events"), pipe.value("SELECT count(*) FROM dead_letters")) == (1, 1)
    upkeep.mirror(pipe.settings)
    imported_events.take_back(pipe.settings, done.import_id, lambda *_: None)
    assert pipe.rows("SELECT FROM dead_letters") == []
    assert pipe.row("SELECT sum(stored), sum(dead), sum(discarded) FROM batches") == (0, 0, 2)
    assert pipe.problems() == []


def test_an_import_whose_rows_retention_dropped_is_not_undone(pipe: Pipeline, tmp_path: Path) -> None:
    done = bring(pipe, export(tmp_path / "u.csv", *(row(n) for n in range(30))))
    upkeep.mirror(pipe.settings)
    retention.run(pipe.settings, datetime(2026, 11, 1, tzinfo=UTC))
    with pytest.raises(InvalidRequest, match="Retention dropped rows of this import"):
        imported_events.take_back(pipe.settings, done.import_id, lambda *_: None)
    assert pipe.problems() == []


def test_an_undo_cut_short_is_done_again_and_leaves_nobody(
    pipe: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.send(canonical(1))
    done = bring(pipe, export(tmp_path / "u.csv", *(row(n) for n in range(30))))

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(verify, "rebuild", cut)
        with pytest.raises(KeyboardInterrupt):
            imported_events.take_back(pipe.settings, done.import_id, lambda *_: None)
    assert imported_events.take_back(pipe.settings, done.import_id, lambda *_: None) == 0
    upkeep.mirror(pipe.settings)
    assert pipe.value("SELECT count(*) FROM identities") == pipe.value("SELECT count(*) FROM users") == 1
    assert pipe.problems() == []
