"""What the dashboard says of a figure beside what it was, and of all cohorts together."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from reports.cohorts import Cohort
from reports.dashboard import cards, retention
from schema.spans import Span

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)


def span(start: date, end: date) -> Span:
    return Span("default", "UTC", NOON.date(), start, end, NOON, NOON, NOON, is_moving=False)


@pytest.mark.parametrize(
    ("now", "before", "change", "tone"),
    [(1200, 1000, "+20 %", "up"), (800, 1000, "-20 %", "down"), (5, 5, "+0 %", ""), (5, 0, "–", "")],
)
def test_more_is_better(now: int, before: int, change: str, tone: str) -> None:
    card = cards.count("Visitors", now, before)
    assert (card.current, card.previous, card.change, card.tone) == (f"{now:,}", f"{before:,}", change, tone)


def test_a_rate_changes_in_points_and_may_better_be_low() -> None:
    worse = cards.rate("No result", 0.151, 0.1, more_is_better=False)
    assert worse == ("No result", "15.1 %", "10.0 %", "+5.1 pts", "down")
    assert cards.rate("Click-through", 0.151, 0.1, more_is_better=True).tone == "up"
    assert cards.rate("No result", 0.1, 0.1001, more_is_better=False).tone == ""
    assert cards.rate("No result", 0.1, None, more_is_better=False)[1:] == ("10.0 %", "–", "–", "")


def test_what_is_measured_has_its_unit() -> None:
    assert cards.value("Half within", 2.0, 4.0, " ms", more_is_better=False) == (
        "Half within", "2.0 ms", "4.0 ms", "-50 %", "up")  # fmt: skip
    assert cards.value("Half within", None, 4.0, " ms", more_is_better=False)[1:] == ("–", "4.0 ms", "–", "")


def test_the_days_before_are_as_many() -> None:
    earlier = cards.before(span(date(2026, 1, 8), date(2026, 1, 14)))
    assert (earlier.start, earlier.end, earlier.days) == (date(2026, 1, 1), date(2026, 1, 7), 7)


def cohort(week: date, users: int, *active: int) -> Cohort:
    counts = dict(enumerate(active))
    return Cohort(week=week, users=users, active=counts, rate={n: count / users for n, count in counts.items()})


def test_cohorts_count_together_for_weeks_that_are_over_for_them() -> None:
    """It is Wednesday of the fourth week: the third cohort has had no whole week after its own."""
    monday = date(2026, 1, 5)
    weeks = [monday + timedelta(weeks=n) for n in range(4)]
    active = ((10, 4, 2, 9), (30, 6, 9), (5, 5), (1,))
    found = [cohort(week, there[0], *there) for week, there in zip(weeks, active, strict=True)]
    assert retention._together(found, span(weeks[0], weeks[3] + timedelta(days=6))) == [(1, 0.25, 40), (2, 0.2, 10)]


def test_weeks_that_are_long_over_are_all_counted() -> None:
    found = [cohort(date(2025, 1, 6), 4, 4, 1), cohort(date(2025, 1, 13), 4, 4)]
    assert retention._together(found, span(date(2025, 1, 6), date(2025, 1, 19))) == [(1, 0.25, 4)]
