"""Partitions and the functions of the schema: a missing month is made once, by whoever needs it first."""

from __future__ import annotations

from datetime import UTC, date, datetime

import psycopg
import pytest

from schema import db
from schema.settings import Settings
from tests.make import uid
from tests.workers.pipeline import meanwhile, until_blocked

CATEGORIES = ("interaction", "transaction", "user_activity", "content")
MAKE = "SELECT ensure_month(%s::event_category, %s)"
BOUNDS = "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = %s"


def months(connection: psycopg.Connection) -> list[str]:
    found = connection.execute("SELECT relname FROM pg_class WHERE relname ~ '^events_.*[0-9]{4}_[0-9]{2}$' ORDER BY 1")
    return [name for (name,) in found]


def test_every_category_has_its_months(owner: psycopg.Connection) -> None:
    for category in CATEGORIES:
        owner.execute(MAKE, (category, date(2026, 2, 17)))
    assert months(owner) == sorted(f"events_{category}_2026_02" for category in CATEGORIES)


def test_a_month_begins_and_ends_in_utc_and_december_ends_with_its_year(owner: psycopg.Connection) -> None:
    owner.execute("SET TimeZone = 'Asia/Kathmandu'")
    owner.execute(MAKE, ("content", date(2026, 12, 31)))
    owner.execute("SET TimeZone = 'UTC'")
    (bounds,) = owner.execute(BOUNDS, ("events_content_2026_12",)).fetchall()
    assert bounds == ("FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00')",)


def test_a_month_that_is_there_stays_as_it_is(owner: psycopg.Connection) -> None:
    for day in (1, 15, 28):
        owner.execute(MAKE, ("content", date(2026, 2, day)))
    assert months(owner) == ["events_content_2026_02"]


def test_a_month_has_the_indexes_and_checks_of_its_parent(owner: psycopg.Connection) -> None:
    owner.execute(MAKE, ("content", date(2026, 2, 1)))
    for catalog in ("pg_index WHERE indrelid", "pg_constraint WHERE conrelid"):
        counts = [
            owner.execute(f"SELECT count(*) FROM {catalog} = %s::regclass", (table,)).fetchall()
            for table in ("events_content_2026_02", "events_content")
        ]
        assert counts[0] == counts[1] != [(0,)], catalog


def test_of_two_makers_the_second_waits_and_finds_it_made(settings: Settings) -> None:
    month = ("content", date(2026, 2, 1))
    with db.connect(settings) as second, psycopg.connect(settings.database_url) as first:
        first.execute(MAKE, month)
        with meanwhile(lambda: second.execute(MAKE, month)) as finished:
            until_blocked(settings)
            first.commit()
            finished()
        assert months(first) == ["events_content_2026_02"]


def test_making_a_month_does_not_wait_for_a_long_report(settings: Settings) -> None:
    with db.connect(settings, statement_seconds_max=5) as writer, psycopg.connect(settings.database_url) as report:
        report.execute("SELECT count(*) FROM events")
        writer.execute(MAKE, ("content", date(2026, 2, 1)))
        assert months(writer) == ["events_content_2026_02"]


def test_the_visitor_is_the_anonymous_id_else_the_claim_else_the_batch(owner: psycopg.Connection) -> None:
    cases = {
        (uid(3), "ann", uid(4)): str(uid(3)),
        (uid(3), None, uid(4)): str(uid(3)),
        (None, "ann", uid(4)): "ann",
        (None, "", uid(4)): "",
        (None, None, uid(4)): str(uid(4)),
    }
    found = {case: owner.execute("SELECT visitor_key(%s, %s, %s)", case).fetchall()[0][0] for case in cases}
    assert found == cases


def test_a_dwell_is_whole_milliseconds_or_nothing(owner: psycopg.Connection) -> None:
    cases = {
        '{"duration_seconds": 12}': 12_000,
        '{"duration_seconds": 0}': 0,
        '{"duration_seconds": 0.0004}': 0,
        '{"duration_seconds": 0.0005}': 1,
        '{"duration_seconds": 1e6}': 1_000_000_000,
        '{"duration_seconds": 1000000.0001}': None,
        '{"duration_seconds": -0.001}': None,
        '{"duration_seconds": 1e300}': None,
        '{"duration_seconds": "12"}': None,
        '{"duration_seconds": true}': None,
        '{"duration_seconds": null}': None,
        '{"duration_seconds": [12]}': None,
        '{"duration": 12}': None,
        "[12]": None,
        '"duration_seconds"': None,
        "12": None,
        None: None,
    }
    found = {case: owner.execute("SELECT dwell_ms(%s::jsonb)", [case]).fetchall()[0][0] for case in cases}
    assert found == cases


def test_a_day_begins_when_its_zone_first_says_so(owner: psycopg.Connection) -> None:
    cases = {
        (date(2026, 1, 1), "UTC"): datetime(2026, 1, 1, tzinfo=UTC),
        (date(2026, 3, 27), "Asia/Jerusalem"): datetime(2026, 3, 26, 22, tzinfo=UTC),
        (date(2026, 10, 25), "Atlantic/Azores"): datetime(2026, 10, 25, 0, tzinfo=UTC),  # 01:00 becomes 00:00 again
        (date(2026, 11, 1), "America/Havana"): datetime(2026, 11, 1, 4, tzinfo=UTC),  # the same
        (date(2026, 9, 6), "America/Santiago"): datetime(2026, 9, 6, 4, tzinfo=UTC),  # there is no 00:00
        (date(2026, 1, 1), "Asia/Kathmandu"): datetime(2025, 12, 31, 18, 15, tzinfo=UTC),
    }
    owner.execute("SET TimeZone = 'UTC'")
    assert {case: owner.execute("SELECT day_starts(%s, %s)", case).fetchall()[0][0] for case in cases} == cases


def test_a_row_without_its_month_is_refused_and_not_put_elsewhere(owner: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="no partition of relation"):
        owner.execute(
            "INSERT INTO events (occurred_at, received_at, category, event_type_id, is_bot, event_id, batch_id,"
            " session_id, site_id) VALUES (%(at)s, %(at)s, 'content', 1, false, %(id)s, %(id)s, %(id)s, 'default')",
            {"at": datetime(1999, 1, 1, tzinfo=UTC), "id": uid(1)},
        )


def test_rates_are_generated(owner: psycopg.Connection) -> None:
    found = owner.execute(
        "INSERT INTO trip_interactions (site_id, trip_id, impression_count, click_count, save_count,"
        " whatsapp_contact_count, phone_contact_count, total_dwell_time_ms, dwell_count)"
        " VALUES ('default', 1, 3, 2, 1, 1, 1, 1, 3) RETURNING ctr, save_rate, contact_rate, avg_dwell_time_seconds"
    ).fetchall()
    assert found == [(2 / 3, 0.5, 1.0, 0.001 / 3)]
