"""Each number of the rules, on both sides of it, in the engine and in the oracle."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from recommender import engine
from recommender.preferences import Preferences
from recommender.snapshot import Snapshot
from recommender.trips import Found, Trip
from tests.recommender import oracle
from tests.recommender.catalogues import CONTINENTS, TODAY, trip, without_reasons


def find(*trips: Trip, today: date = TODAY, **asked: Any) -> Found:
    preferences = Preferences(**asked)
    found = engine.recommend(Snapshot.of(trips, CONTINENTS), preferences, today)
    assert without_reasons(found) == oracle.recommend(trips, CONTINENTS, preferences, today)
    return found


def points(found: Found, term: str) -> list[int]:
    """What that term gave to each trip shown, in the order of ids; 0 where it is not named."""
    shown = sorted(found.primary + found.relaxed, key=lambda one: one.occurrence_id)
    return [sum(it.points for it in one.terms if it.name == term) for one in shown]


def ids(found: Found) -> tuple[list[int], list[int]]:
    return sorted(one.occurrence_id for one in found.primary), sorted(one.occurrence_id for one in found.relaxed)


def test_prices_earn_less_as_they_leave_the_budget_and_end_at_130_percent_then_150() -> None:
    prices = [99_999, 100_000, 100_001, 110_000, 110_001, 120_000, 120_001, 130_000, 130_001, 150_000, 150_001]
    found = find(*(trip(n, price=price) for n, price in enumerate(prices, 1)), budget=Decimal(1000))
    assert (ids(found), found.candidates) == (([1, 2, 3, 4, 5, 6, 7, 8], []), 8)
    assert points(found, "price") == [12, 12, 8, 8, 5, 5, 0, 0]
    wider = find(*(trip(n, price=price) for n, price in enumerate(prices[6:], 7)), budget=Decimal(1000))
    assert (ids(wider), wider.candidates) == (([7, 8], [9, 10]), 4)


def test_percents_of_an_odd_budget_are_not_rounded_up() -> None:
    """110 % of 1.01 is 1.111: 111 cents are within it, 112 are not."""
    assert points(find(trip(1, price=111), trip(2, price=112), budget=Decimal("1.01")), "price") == [8, 5]


def test_a_price_beyond_all_budgets_is_still_too_dear() -> None:
    assert ids(find(trip(1, price=9_999_999_999), trip(2, price=10**9), budget=Decimal(10_000_000))) == ([2], [])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(10, 12, [0, 8, 8, 12, 12, 8, 8, 0]), (10, None, [0, 8, 8, 12, 12, 12, 12, 12]), (None, 12, [12] * 5 + [8, 8, 0])],
)
def test_four_days_off_the_asked_duration_are_near_it(low: int | None, high: int | None, expected: list[int]) -> None:
    lengths = [5, 6, 9, 10, 12, 13, 16, 17]
    found = find(
        *(trip(n, duration_days=days) for n, days in enumerate(lengths, 1)), min_duration=low, max_duration=high
    )
    assert points(found, "duration") == expected


def test_soon_is_tomorrow_to_30_days_from_now_and_today_has_left() -> None:
    found = find(*(trip(n, starts_on=TODAY + timedelta(days=days)) for n, days in enumerate([-1, 0, 1, 30, 31], 1)))
    assert (ids(found), points(found, "soon")) == (([3, 4, 5], []), [7, 7, 0])


def test_difficulty_passes_at_one_off_and_two_off_in_the_wider_search() -> None:
    found = find(*(trip(n, difficulty=n) for n in (1, 2, 3)), difficulty=1)
    assert (ids(found), points(found, "difficulty")) == (([1, 2], [3]), [15, 0, 0])


def test_themes_count_once_each_and_only_when_asked_for() -> None:
    trips = [trip(n, theme_ids=frozenset(themes)) for n, themes in enumerate([(), (1,), (1, 2), (1, 2, 63), (4,)], 1)]
    assert points(find(*trips, preferred_theme_ids=[1, 2, 63]), "themes") == [-15, 12, 25, 25, -15]
    assert points(find(*trips, preferred_theme_ids=[1, 1, 1]), "themes") == [-15, 12, 12, 12, -15]
    assert points(find(*trips), "themes") == [0] * 5


def test_a_country_asked_for_is_worth_more_than_its_continent_and_either_passes() -> None:
    trips = [trip(1, countries=("FR",)), trip(2, countries=("IT", "JP")), trip(3, countries=("CL",))]
    found = find(*trips, selected_countries=["fr"], selected_continents=["AS"])
    assert (ids(found), points(found, "country"), points(found, "continent")) == (([1, 2], []), [15, 0], [0, 5])
    wider = find(*trips, selected_countries=["FR"])
    assert (ids(wider), points(wider, "continent")) == (([1], [2]), [0, 5])


def test_the_wider_search_takes_any_type_for_ten_points_less() -> None:
    found = find(trip(1, type_id=1), trip(2, type_id=2), preferred_type_id=1)
    assert [one.score for one in found.primary + found.relaxed] == [30, 30 - 15 - 10]


@pytest.mark.parametrize(("count", "relaxed"), [(5, 5), (6, 0)])
def test_the_wider_search_runs_below_six_and_fills_up_to_ten(count: int, relaxed: int) -> None:
    trips = [trip(n) for n in range(1, count + 1)] + [trip(100 + n, type_id=2) for n in range(9)]
    found = find(*trips, preferred_type_id=1)
    assert (len(found.primary), len(found.relaxed)) == (count, relaxed)
    assert found.candidates == (14 if relaxed else 6)


def test_a_smaller_limit_cuts_what_is_shown_and_not_what_is_counted() -> None:
    trips = [trip(n) for n in range(1, 6)] + [trip(9, type_id=2)]
    found = engine.recommend(Snapshot.of(trips, CONTINENTS), Preferences(preferred_type_id=1), TODAY, limit=3)
    assert ids(found) == ([1, 2, 3], [])
    assert found.candidates == 6


def window(days: list[date], today: date = TODAY, **asked: Any) -> tuple[list[int], list[int]]:
    return ids(find(*(trip(n, starts_on=day) for n, day in enumerate(days, 1)), today=today, **asked))


def test_a_month_of_a_year_widens_by_two_over_the_turn_of_the_year() -> None:
    days = [
        date(2028, 10, 31), date(2028, 11, 1), date(2028, 12, 31), date(2029, 1, 1), date(2029, 1, 31),
        date(2029, 2, 1), date(2029, 3, 31), date(2029, 4, 1), date(2030, 1, 15),
    ]  # fmt: skip
    assert window(days, year=2029, month=1) == ([4, 5], [2, 3, 6, 7])


def test_a_year_alone_widens_from_november_before_to_the_end_of_february_after() -> None:
    days = [
        date(2028, 10, 31), date(2028, 11, 1), date(2028, 12, 31), date(2029, 1, 1), date(2029, 12, 31),
        date(2030, 1, 1), date(2030, 2, 28), date(2030, 3, 1),
    ]  # fmt: skip
    assert window(days, year=2029) == ([4, 5], [2, 3, 6, 7])


def test_a_month_alone_is_that_month_of_any_year_and_wraps_when_widened() -> None:
    days = [
        date(2027, 12, 1), date(2028, 9, 30), date(2028, 10, 1), date(2028, 12, 31), date(2029, 2, 28),
        date(2029, 3, 1), date(2031, 12, 5),
    ]  # fmt: skip
    assert window(days, month=12) == ([1, 4, 7], [3, 5])
    assert window([date(2028, 12, 5), date(2028, 11, 30), date(2028, 2, 1)], month=1) == ([], [1, 2, 3])


def test_february_ends_with_the_29th_where_there_is_one() -> None:
    assert window([date(2028, 2, 29), date(2028, 3, 1)], year=2028, month=2) == ([1], [2])
    assert window([date(2028, 2, 29), date(2028, 3, 1)], year=2027) == ([], [1])
    assert window([date(2028, 2, 29), date(2028, 3, 1)], today=date(2028, 2, 28), month=2) == ([1], [2])


def test_a_window_that_has_begun_starts_tomorrow_and_one_that_has_passed_is_empty() -> None:
    days = [date(2027, 11, 19), TODAY, date(2027, 11, 21), date(2027, 12, 31), date(2028, 1, 31), date(2028, 3, 1)]
    assert window(days, year=2027, month=11) == ([3], [4, 5])
    assert window(days, year=2026) == ([], [])
    assert window(days, year=2027) == ([3, 4], [5])


def test_no_date_asked_for_has_nothing_to_widen() -> None:
    assert window([TODAY, date(2199, 12, 31)]) == ([2], [])


def test_full_and_cancelled_trips_are_never_found() -> None:
    statuses = ["Open", "Guaranteed", "Last Places", "Full", "Cancelled"]
    found = find(*(trip(n, status=status) for n, status in enumerate(statuses, 1)))
    assert (ids(found), [one.score for one in found.primary]) == (([1, 2, 3], []), [45, 37, 30])


def test_reasons_say_what_was_met() -> None:
    found = find(
        trip(1, status="Guaranteed", starts_on=TODAY + timedelta(days=1), price=105_000, theme_ids=frozenset({1, 2})),
        selected_continents=["EU"], preferred_theme_ids=[1, 2], min_duration=12, budget=Decimal(1000), difficulty=2,
    )  # fmt: skip
    assert {term.name: term.reason for term in found.primary[0].terms} == {
        "base": "every trip that fits begins with this",
        "themes": "2 themes you asked for",
        "difficulty": "difficulty 2, as you asked for",
        "duration": "10 days, 2 from what you asked for",
        "price": "at most 10 % over your budget",
        "guaranteed": "sure to leave",
        "soon": "leaves in 1 day",
        "continent": "lies on a continent you asked for",
    }
