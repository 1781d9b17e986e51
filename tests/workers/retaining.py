"""Traffic long ago, and retention at a moment of the test's choice. In: a pipeline. Out: what is there of months and
rows.

T0 is 2026-01-01T00:00Z: what happened in January is past a year's limit from February 2027 on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.make import DAY, T0
from tests.workers.pipeline import Pipeline
from tests.workers.traffic import traffic
from workers import retention
from workers.retention import Gone

YEAR_LATER = datetime(2027, 2, 2, tzinfo=UTC)
COUNTERS = {
    "users": "site_id, user_id, first_seen_at, last_seen_at, total_searches, total_clicks, total_events",
    "sessions": "site_id, session_id, user_id, anonymous_id, started_at, last_seen_at, device_type_id, referrer_id,"
    " user_agent_id, page_view_count, search_count, click_count, save_count, contact_count, event_count",
    "trip_interactions": "site_id, trip_id, impression_count, click_count, save_count, total_dwell_time_ms, ctr",
    "rollup_hourly": "*",
    "daily_events": "*",
    "weekly_events": "*",
    "monthly_events": "*",
    "weekly_dimensions": "*",
    "month_to_date_trips": "*",
}


def busy(pipe: Pipeline, count: int = 40) -> None:
    """Two sites, in two zones, with traffic around New Year, a month later, and in April."""
    pipe.connection.execute("INSERT INTO sites (site_id, name, time_zone) VALUES ('shop', '', 'Asia/Kathmandu')")
    for n, site_id in enumerate(("default", "shop")):
        around = [T0, T0 + 31 * DAY, T0 + 100 * DAY]
        pipe.send(*traffic(n, count, around=around), site_id=site_id, received_at=T0 + 110 * DAY)
    pipe.roll_up()


def retain(pipe: Pipeline, at: datetime = YEAR_LATER, directory: Path | None = None) -> list[Gone]:
    return retention.run(pipe.settings, at, directory=directory)


def figures(pipe: Pipeline) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is counted."""
    found = {}
    for table, columns in COUNTERS.items():
        found[table] = sorted(pipe.rows(f"SELECT {columns} FROM {table}"), key=repr)
    return found


def months(pipe: Pipeline, parent: str = "events_interaction") -> list[str]:
    query = "SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = oid WHERE inhparent = %s::regclass ORDER BY 1"
    return [name for (name,) in pipe.rows(query, parent)]
