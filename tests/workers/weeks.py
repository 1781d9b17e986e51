"""What weeks have of dimensions and trips: as the tables have it, and as the sums of their days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from tests.workers.pipeline import Pipeline
from workers.daily import DAILY

TRIPS = next(table for table in DAILY if table.name == "daily_trips").figures[:-1]  # without how many
Weeks = dict[tuple[Any, ...], list[int]]


def of_weeks(days: Mapping[date, Mapping[str, set[tuple[Any, ...]]]]) -> Weeks:
    """What weeks have of dimensions and trips: sums of their days, by Monday, table and key."""
    weeks: Weeks = {}
    for day, tables in days.items():
        monday = day - timedelta(days=day.weekday())
        for table, width in (("daily_dimensions", 2), ("daily_trips", 1)):
            for row in tables[table]:
                key = (monday, table, *row[:width])
                weeks[key] = [sum(pair) for pair in zip(weeks.get(key, [0] * 9), row[width:], strict=False)]
    return weeks


def weekly(pipe: Pipeline, site_id: str) -> Weeks:
    """The same, as the tables have it."""
    unpacked = ", ".join(f"unpacked({one}, trips)" for one in TRIPS)
    trips = f"SELECT date, 'daily_trips', one.* FROM weekly_trips CROSS JOIN LATERAL ROWS FROM ({unpacked}) AS one"
    found = {row[:3]: list(row[3:]) for row in pipe.rows(f"{trips} WHERE site_id = %s", site_id)}
    dimensions = "SELECT date, 'daily_dimensions', dimension, value, events, page_views, sessions"
    rows = pipe.rows(f"{dimensions} FROM weekly_dimensions WHERE site_id = %s", site_id)
    return found | {row[:4]: list(row[4:]) for row in rows}
