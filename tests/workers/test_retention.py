"""Rows go at their limit; what was counted of them stays, and everything adds up still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from schema.errors import Busy, ConfigError
from tests.make import DAY, HOUR, MINUTE, T0, asked, canonical, uid
from tests.workers.people import said, sent
from tests.workers.pipeline import Pipeline, visit
from tests.workers.retaining import YEAR_LATER, busy, figures, months, retain
from tests.workers.traffic import traffic
from workers import deadletters, folding, mover, reclassify, retention, verify
from workers.agents import classify
from workers.floors import Floor

JANUARY = "events_interaction_2026_01"
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)


def floors(pipe: Pipeline) -> dict[str, str]:
    return dict(pipe.rows("SELECT site_id, floor::text FROM floors ORDER BY 1"))


def test_months_past_the_limit_are_gone_and_no_figure_changes(pipe: Pipeline) -> None:
    busy(pipe)
    before, rows = figures(pipe), pipe.value("SELECT count(*) FROM events")
    gone = retain(pipe)
    assert figures(pipe) == before
    assert [name for name in months(pipe) if name <= JANUARY] == []
    assert pipe.value("SELECT min(occurred_at) FROM events WHERE category = 'interaction'").month == 2
    assert pipe.value("SELECT count(*) FROM events") == rows - sum(one.rows for one in gone) < rows
    assert floors(pipe) == {"default": "2026-02-01", "shop": "2026-02-02"}  # in Kathmandu February began at 18:15
    assert pipe.problems() == []
    verify.rebuild(pipe.settings, lambda *_: None)
    assert figures(pipe) == before
    assert pipe.problems() == []


def test_what_is_kept_longer_stays_and_still_counts_once(pipe: Pipeline) -> None:
    events = [visit(n, 1, event_type=kind) for n, kind in enumerate(("page_view", "user.login", "booking_complete"))]
    pipe.send(*events)
    pipe.roll_up()
    retain(pipe)
    kept = pipe.rows("SELECT event_type FROM events JOIN event_types USING (event_type_id) ORDER BY 1")
    assert kept == [("booking_complete",), ("user.login",)]
    assert pipe.value("SELECT event_count FROM sessions") == 3
    retain(pipe, YEAR_LATER + timedelta(days=366))
    assert pipe.value("SELECT count(*) FROM events") == 1
    assert pipe.value("SELECT total_events FROM users") == pipe.value("SELECT event_count FROM sessions") == 3
    assert pipe.problems() == []


def test_what_comes_below_the_floor_is_kept_as_a_dead_letter_with_the_reason(pipe: Pipeline) -> None:
    pipe.send(canonical(1), canonical(2, occurred_at=T0 + 40 * DAY), received_at=T0 + 41 * DAY)
    pipe.roll_up()
    retain(pipe)
    late, open_ = canonical(3, occurred_at=T0 + 31 * DAY - 1), canonical(4, occurred_at=T0 + 31 * DAY)
    pipe.send(late, open_, received_at=T0 + 41 * DAY)
    assert pipe.rows("SELECT event_id, reason FROM dead_letters") == [
        (late.event_id, Floor(0, "2026-02-01").poison.reason)
    ]
    (letter,) = deadletters.open_ids(pipe.connection)
    (result,) = deadletters.replay(pipe.connection, [letter], pipe.settings)
    assert (result.verdict, "patch occurred_at first" in result.reason) == ("dead", True)
    assert pipe.problems() == []
    deadletters.patch(pipe.connection, letter, {"occurred_at": T0 + 35 * DAY})
    assert deadletters.replay(pipe.connection, [letter], pipe.settings)[0].verdict == "replayed"
    assert pipe.problems() == []


def test_a_site_may_keep_its_rows_for_less_long_than_others(pipe: Pipeline) -> None:
    busy(pipe)
    before, rows = figures(pipe), pipe.value("SELECT count(*) FROM events WHERE site_id = 'default'")
    pipe.connection.execute("UPDATE sites SET raw_days = 30 WHERE site_id = 'shop'")
    gone = retain(pipe, datetime(2026, 4, 30, tzinfo=UTC))
    assert {one.site_id for one in gone} == {"shop"}
    assert floors(pipe) == {"shop": "2026-03-31"}
    first = "SELECT min(occurred_at) FROM events WHERE site_id = 'shop' AND category = 'interaction'"
    assert pipe.value(first) >= datetime(2026, 3, 30, 18, tzinfo=UTC)
    assert pipe.value("SELECT count(*) FROM events WHERE site_id = 'default'") == rows
    assert figures(pipe) == before
    assert pipe.problems() == []
    pipe.send(*traffic(9, 30, around=[T0 + 105 * DAY], first=1000), site_id="shop", received_at=T0 + 110 * DAY)
    pipe.roll_up()
    assert pipe.problems() == []


def test_one_event_type_may_go_before_its_category(pipe: Pipeline) -> None:
    busy(pipe)
    before = figures(pipe)
    retention.set_limit(pipe.connection, "impression", 20)
    try:
        count = "SELECT count(*) FROM events JOIN event_types USING (event_type_id) WHERE event_type = 'impression'"
        assert pipe.value(count) > 0
        gone = retain(pipe, datetime(2026, 6, 1, tzinfo=UTC))
        assert pipe.value(count) == 0
        assert sum(one.rows for one in gone) > 0
        assert figures(pipe) == before
        assert pipe.problems() == []
    finally:
        retention.set_limit(pipe.connection, "impression", 365)


def test_many_rows_go_in_several_transactions(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(pipe)
    before = figures(pipe)
    pipe.connection.execute("UPDATE sites SET raw_days = 1 WHERE site_id = 'shop'")
    monkeypatch.setattr(folding, "ROWS_AT_ONCE", 7)
    retain(pipe, datetime(2026, 6, 1, tzinfo=UTC))
    assert figures(pipe) == before
    assert pipe.value("SELECT count(*) FROM events WHERE site_id = 'shop'") == 0
    assert pipe.problems() == []


def test_limits_name_what_is_wrong(pipe: Pipeline) -> None:
    with pytest.raises(ConfigError, match="no category and no event type"):
        retention.set_limit(pipe.connection, "page_vew", 90)
    with pytest.raises(ConfigError, match="all of interaction go before"):
        retention.set_limit(pipe.connection, "page_view", 4000)
    listed = {one["name"]: one["days"] // 365 for one in retention.limits(pipe.connection)}
    assert listed == {"content": 7, "interaction": 1, "transaction": 7, "user_activity": 2}


def test_a_dry_run_says_exactly_what_goes_and_changes_nothing(pipe: Pipeline) -> None:
    busy(pipe)
    pipe.connection.execute("UPDATE sites SET raw_days = 300 WHERE site_id = 'shop'")
    told, rising = retention.look(pipe.settings, YEAR_LATER)
    assert floors(pipe) == {}
    assert retention.look(pipe.settings, YEAR_LATER) == (told, rising)
    assert retain(pipe) == told
    assert floors(pipe) == {one.site_id: str(one.day) for one in rising}
    assert retain(pipe) == []
    assert pipe.problems() == []


def test_every_word_of_a_session_is_the_earliest_events_whether_it_is_there_or_gone(pipe: Pipeline) -> None:
    kinds = ("user.login", "page_view", "user.logout", "page_view")
    words: Any = (
        {},
        {"owner_code": "a"},
        {"owner_code": "b", "share_code": "s"},
        {"share_code": "t", "contact_id": "c"},
    )
    for n, (kind, said_) in enumerate(zip(kinds, words, strict=True)):
        pipe.send(canonical(n, event_type=kind, **said_))
    row = "SELECT owner_code, share_code, contact_id, event_count, started_at, last_seen_at FROM sessions"
    before = pipe.row(row)
    assert before[:4] == ("a", "s", "c", 4)
    pipe.roll_up()
    retain(pipe)
    assert pipe.row(row) == before
    assert pipe.problems() == []


def test_a_session_that_goes_on_above_the_floor_keeps_what_was_said_below(pipe: Pipeline) -> None:
    edge = T0 + 31 * DAY
    pipe.send(canonical(1, occurred_at=edge - MINUTE, owner_code="a"), received_at=edge)
    pipe.send(canonical(2, occurred_at=edge + HOUR, device_type="phone"), received_at=edge + DAY)
    pipe.roll_up()
    retain(pipe)
    pipe.send(canonical(3, occurred_at=edge + MINUTE, owner_code="b", device_type="tv"), received_at=edge + DAY)
    row = "SELECT owner_code, event_count, started_at FROM readable_sessions"
    assert pipe.row(row) == ("a", 3, datetime(2026, 1, 31, 23, 59, tzinfo=UTC))
    assert pipe.value("SELECT device_type FROM readable_sessions") == "tv"
    pipe.roll_up()
    assert pipe.problems() == []


def test_a_click_counts_still_when_its_request_is_gone(pipe: Pipeline) -> None:
    edge = T0 + 31 * DAY
    pipe.ask(asked(1, requested_at=edge - MINUTE), asked(2, requested_at=edge - MINUTE))
    click = {"event_type": "click_trip", "trip_id": 102, "recommendation_request_id": uid(5, 1)}
    pipe.send(visit(1, 1, occurred_at=edge + MINUTE, **click), received_at=edge + DAY)
    pipe.roll_up()
    before = pipe.rows("SELECT date, requests, clicks, by_position FROM recommendation_daily ORDER BY 1")
    assert [row[2] for row in before] == [0, 1]
    retain(pipe)
    assert pipe.value("SELECT count(*) FROM recommendation_requests") == 0
    assert pipe.rows("SELECT request_id FROM base_requests") == [(uid(5, 1),)]
    pipe.send(visit(2, 2, occurred_at=edge + HOUR), received_at=edge + DAY)
    pipe.roll_up()
    assert pipe.rows("SELECT date, requests, clicks, by_position FROM recommendation_daily ORDER BY 1") == before
    assert pipe.problems() == []


def test_whoever_is_linked_later_moves_with_what_is_there(pipe: Pipeline) -> None:
    pipe.accept(sent(said(0, 1)))
    pipe.drain()
    pipe.send(visit(1, 1, occurred_at=T0 + 40 * DAY), received_at=T0 + 41 * DAY)
    pipe.roll_up()
    retain(pipe)
    pipe.accept(sent(said(2, 1, "ann", at=40 * 86_400 + 5), received_at=T0 + 41 * DAY))
    pipe.drain()
    mover.run_once(pipe.connection)
    assert pipe.value("SELECT sum(total_events) FROM users") == 3
    pipe.roll_up()
    assert pipe.problems() == []
    verify.rebuild(pipe.settings, lambda *_: None)
    assert pipe.problems() == []


@pytest.mark.parametrize("is_bot", [True, False])
def test_agents_judged_again_change_what_is_there(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch, is_bot: bool
) -> None:
    busy(pipe)
    agent = "Some Agent/1.0"
    for n, at in enumerate((T0, T0 + 40 * DAY)):
        event = visit(2000 + n, 3, occurred_at=at + HOUR, event_type="save_trip", trip_id=77, user_agent=agent)
        pipe.send(event, received_at=T0 + 50 * DAY)
    pipe.roll_up()
    retain(pipe)
    monkeypatch.setattr(reclassify, "rules", lambda: "newer")
    verdict = classify(agent)._replace(bot_reason="new rule" if is_bot else None)
    monkeypatch.setattr(reclassify, "classify", lambda one: verdict if one == agent else classify(one))
    pipe.connection.execute("UPDATE user_agents SET rules_version = 'old'")
    reclassify.reclassify(pipe.settings, lambda *_: None)
    pipe.roll_up()
    assert pipe.value("SELECT save_count FROM trip_interactions WHERE trip_id = 77") == (1 if is_bot else 2)
    assert pipe.problems() == []


def test_a_month_left_half_detached_or_by_itself_is_finished(pipe: Pipeline) -> None:
    pipe.send(canonical(1))
    pipe.roll_up()
    retain(pipe, YEAR_LATER - timedelta(days=3))
    assert JANUARY in months(pipe)
    pipe.connection.execute("SELECT ensure_month('content', '2026-01-01')")
    with retention.db.connect(pipe.settings, "owner") as owner:
        owner.execute("ALTER TABLE events_content DETACH PARTITION events_content_2026_01")
    retain(pipe)
    assert pipe.value("SELECT to_regclass('events_content_2026_01')") is None
    assert JANUARY not in months(pipe)


def test_of_two_runs_at_once_one_says_so(pipe: Pipeline) -> None:
    pipe.connection.execute("SELECT pg_advisory_lock(hashtext('tripstream.retention'))")
    with pytest.raises(Busy, match="another retention"):
        retain(pipe)
    pipe.connection.execute("SELECT pg_advisory_unlock_all()")


def test_what_goes_is_written_to_the_archive_first(pipe: Pipeline, tmp_path: Path) -> None:
    event = canonical(1, owner_code="a", metadata='{"a": [1, "ü"]}', page_url="https://a.example/x?q=1", score=0.5)
    pipe.send(event, canonical(2))
    pipe.ask(asked(1))
    pipe.roll_up()
    retain(pipe, directory=tmp_path / "old")
    files = sorted((tmp_path / "old").iterdir())
    assert [file.name.rsplit("-", 1)[0] for file in files] == [JANUARY, "recommendation_requests_2026_01"]
    events, requests = (pq.read_table(file).to_pylist() for file in files)
    assert [row["event_id"] for row in events] == [str(uid(1, 1)), str(uid(1, 2))]
    row = events[0]
    assert row["occurred_at"] == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert (row["event_type"], row["page_url"], row["score"]) == ("page_view", "https://a.example/x?q=1", 0.5)
    assert (row["metadata"], row["owner_code"], row["is_bot"]) == ('{"a": [1, "ü"]}', "a", False)
    assert (row["site_id"], row["ip_prefix"]) == ("default", None)
    assert (requests[0]["request_id"], requests[0]["filters"]) == (str(uid(5, 1)), ["geography", "budget"])


def test_what_goes_at_night_is_archived_where_the_settings_say(pipe: Pipeline, tmp_path: Path) -> None:
    long_ago = T0 - 800 * DAY
    pipe.send(canonical(1, occurred_at=long_ago), received_at=long_ago)
    pipe.roll_up()
    retention.chore(pipe.settings.model_copy(update={"archive": str(tmp_path)}))
    assert pipe.value("SELECT count(*) FROM events") == 0
    (file,) = tmp_path.iterdir()
    assert [row["event_id"] for row in pq.read_table(file).to_pylist()] == [str(uid(1, 1))]


def test_an_archive_that_cannot_be_written_costs_no_row(pipe: Pipeline, tmp_path: Path) -> None:
    pipe.send(canonical(1))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        retain(pipe, directory=tmp_path / "file")
    assert pipe.value("SELECT count(*) FROM events") == 1
    assert floors(pipe) == {}
