"""Spans that are read from weeks and the days around them, or from months to date: the same as all of their days."""

from __future__ import annotations

import random
from datetime import date, timedelta

from tests.make import DAY, T0
from tests.reports.asking import Get
from tests.workers.pipeline import Pipeline
from tests.workers.traffic import traffic

MONDAY = date(2026, 1, 5)
EDGES = ((0, 6), (0, 5), (1, 6), (1, 7), (0, 7), (-1, 6), (-1, 7), (0, 13), (1, 13), (3, 9), (-1, 12), (6, 7))
# Months: whole ones, some at once, their ends and what begins there, one before its first row, and one without any.
MONTHS = (
    *((-4, 26), (-35, 26), (-66, 60), (-35, -5), (-4, -4), (26, 26), (27, 27)),
    *((-5, -4), (26, 27), (27, 33), (28, 40), (-5, 3), (60, 80)),
)
PATHS = (
    "SELECT value, sum(events)::bigint, sum(page_views)::bigint, sum(sessions)::bigint FROM daily_dimensions"
    " WHERE dimension = %s AND date BETWEEN %s AND %s GROUP BY value"
)
TRIPS = (
    "SELECT trip_id, sum(impressions)::bigint, sum(clicks)::bigint, sum(saves)::bigint, sum(booking_starts)::bigint"
    " FROM readable_daily_trips WHERE date BETWEEN %s AND %s GROUP BY trip_id"
)
FIGURES = ("tripId", "impressions", "clicks", "saves", "bookingStarts")


def test_paths_and_trips_of_any_span_are_the_sums_of_its_days(pipe: Pipeline, get: Get) -> None:
    pipe.connection.execute("UPDATE sites SET time_zone = 'Asia/Kathmandu'")
    around = [T0 + n * DAY for n in (*range(-10, 30, 3), 39)]
    pipe.send(*traffic(1, 400, around=around), received_at=T0 + 40 * DAY)
    pipe.roll_up()
    chance = random.Random(5)
    any_two = [sorted(chance.randrange(-12, 30) for _ in range(2)) for _ in range(12)]
    for first, last in (*EDGES, *MONTHS, *any_two):
        start, end = MONDAY + timedelta(days=first), MONDAY + timedelta(days=last)
        span = f"start={start}&end={end}"
        for by in ("path", "referrer", "device"):
            answer = get(f"/api/stats/top?by={by}&{span}").json()
            found = {(one["value"], one["events"], one["pageViews"], one["sessions"]) for one in answer["rows"]}
            assert found == set(pipe.rows(PATHS, by, start, end)), (by, span)
            assert answer["total"] == len(found) == len(answer["rows"])
        trips = get(f"/api/stats/trips?{span}").json()["rows"]
        assert {tuple(one[name] for name in FIGURES) for one in trips} == set(pipe.rows(TRIPS, start, end)), span
