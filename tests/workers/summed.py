"""What weeks have of dimensions, and months to date of trips: as the tables have it, and as the sums of their days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from tests.workers.pipeline import Pipeline
from workers.merged import TABLES

TRIPS = TABLES[-1].figures[:-1]  # without how many
Sums = dict[tuple[Any, ...], list[int]]


def of_weeks(days: Mapping[date, Mapping[str, set[tuple[Any, ...]]]]) -> Sums:
    """What weeks have of dimensions: sums of their days, by Monday, dimension and value."""
    weeks: Sums = {}
    for day, tables in days.items():
        for *names, events, page_views, sessions in tables["daily_dimensions"]:
            key = (day - timedelta(days=day.weekday()), *names)
            so_far = weeks.get(key, [0, 0, 0])
            weeks[key] = [sum(pair) for pair in zip(so_far, (events, page_views, sessions), strict=True)]
    return weeks


def weekly(pipe: Pipeline, site_id: str) -> Sums:
    """The same, as the table has it."""
    weeks = "SELECT date, dimension, value, events, page_views, sessions FROM weekly_dimensions WHERE site_id = %s"
    return {row[:3]: list(row[3:]) for row in pipe.rows(weeks, site_id)}


def of_months_to_date(pipe: Pipeline, site_id: str) -> Sums:
    """What months have of trips by the end of each of their days that has some: sums of days, and how many they are."""
    of_days: defaultdict[date, list[tuple[int, ...]]] = defaultdict(list)
    for day, *trip in pipe.rows("SELECT date, r.* FROM readable_daily_trips AS r WHERE site_id = %s", site_id):
        of_days[day].append((*trip[2:], 1))
    found: Sums = {}
    for day in of_days:
        for earlier, rows in of_days.items():
            if day.replace(day=1) <= earlier <= day:
                for trip_id, *figures in rows:
                    so_far = found.get((day, trip_id), [0] * len(figures))
                    found[day, trip_id] = [sum(pair) for pair in zip(so_far, figures, strict=True)]
    return found


def months_to_date(pipe: Pipeline, site_id: str) -> Sums:
    """The same, as the table has it."""
    unpacked = ", ".join(f"unpacked({one}, trips)" for one in TRIPS)
    trips = f"SELECT date, one.* FROM month_to_date_trips CROSS JOIN LATERAL ROWS FROM ({unpacked}) AS one"
    return {row[:2]: list(row[2:]) for row in pipe.rows(f"{trips} WHERE site_id = %s", site_id)}
