"""Days are those of the zone that a site had then, whatever it has now: floors too."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.make import DAY, HOUR, T0
from tests.workers.pipeline import Pipeline, visit
from tests.workers.retaining import figures, retain

EDGE = T0 + 31 * DAY  # February 2026 begins in UTC
MOVED = datetime(2026, 6, 1, tzinfo=UTC)


def moved(pipe: Pipeline, was: str, now: str) -> None:
    """A site that went from one zone to another in June, between two midnights."""
    pipe.connection.execute("INSERT INTO sites (site_id, name, time_zone) VALUES ('shop', '', %s)", (was,))
    with pipe.connection.transaction():
        pipe.connection.execute("UPDATE sites SET time_zone = %s WHERE site_id = 'shop'", (now,))
        pipe.connection.execute("DELETE FROM site_zones WHERE site_id = 'shop'")
        for first, last, zone in (("-infinity", MOVED, was), (MOVED, "infinity", now)):
            pipe.connection.execute(
                "INSERT INTO site_zones (site_id, since, until, starts, ends, time_zone)"
                " VALUES ('shop', %(a)s::timestamptz::date, %(b)s::timestamptz::date, %(a)s, %(b)s, %(zone)s)",
                {"a": first, "b": last, "zone": zone},
            )


@pytest.mark.parametrize(
    ("was", "now"), [("Pacific/Auckland", "America/Los_Angeles"), ("America/Los_Angeles", "Pacific/Auckland")]
)
@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_floor_lies_where_the_day_began_in_the_zone_of_then(
    pipe: Pipeline, was: str, now: str, one_by_one: bool
) -> None:
    moved(pipe, was, now)
    hours = range(-30, 31)
    for hour in hours:
        event = visit(100 + hour, 100 + hour, occurred_at=EDGE + hour * HOUR)
        pipe.send(event, site_id="shop", received_at=EDGE + 3 * DAY)
    pipe.roll_up()
    before = figures(pipe)
    if one_by_one:
        pipe.connection.execute("UPDATE sites SET raw_days = 30 WHERE site_id = 'shop'")
        retain(pipe, datetime(2026, 3, 3, 9, tzinfo=UTC))
    else:
        retain(pipe)
    assert pipe.value("SELECT count(*) FROM events") < len(hours)
    for hour in hours:  # whatever still arrives, no day loses what is gone of it
        event = visit(500 + hour, 100 + hour, occurred_at=EDGE + hour * HOUR + 1)
        pipe.send(event, site_id="shop", received_at=EDGE + 3 * DAY)
    pipe.roll_up()
    late = pipe.value("SELECT count(*) FROM dead_letters")
    assert 0 < late < len(hours)
    counted = {table: sum(row[3] for row in before[table]) for table in ("rollup_hourly", "daily_events")}
    for table, once in counted.items():
        assert pipe.value(f"SELECT sum(events) FROM {table}") == once + len(hours) - late, table
    assert pipe.problems() == []
