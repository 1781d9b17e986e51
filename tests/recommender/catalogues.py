"""Small catalogues and wishes for the tests: a trip with keyword overrides, and Hypothesis strategies whose ranges are
so narrow that ties and boundaries are common."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from recommender.preferences import Preferences
from recommender.trips import STATUSES, Found, Trip

TODAY = date(2027, 11, 20)
CONTINENTS = {"FR": "EU", "IT": "EU", "IL": "AS", "JP": "AS", "CL": "SA", "AQ": "AN"}
PLAIN = Trip(1, 1, ("FR",), 1, frozenset({1}), 2, 10, TODAY + timedelta(days=200), 100_000)


def trip(occurrence_id: int = 1, **changes: Any) -> Trip:
    """One trip of a template of its own, unless said otherwise."""
    return PLAIN._replace(**{"occurrence_id": occurrence_id, "template_id": occurrence_id} | changes)


def without_reasons(found: Found) -> Found:
    """As the oracle says it."""
    primary, relaxed = (
        [one._replace(terms=tuple(term._replace(reason="") for term in one.terms)) for one in some]
        for some in found[:2]
    )
    return Found(primary, relaxed, found.candidates)


templates = st.tuples(
    st.lists(st.sampled_from(sorted(CONTINENTS)), min_size=1, max_size=3, unique=True).map(tuple),
    st.integers(1, 3),
    st.frozensets(st.integers(1, 4), max_size=4),
    st.integers(1, 3),
    st.integers(1, 14),
)
days_off = st.one_of(st.integers(-2, 3), st.integers(28, 33), st.integers(-40, 500))
occurrences = st.tuples(
    st.integers(0, 9),
    days_off.map(lambda days: TODAY + timedelta(days=days)),
    st.sampled_from([90, 100, 110, 111, 120, 121, 130, 131, 150, 151, 10**10]),
    st.sampled_from([*STATUSES, "Open", "Open"]),
)


@st.composite
def catalogues(draw: st.DrawFn, most: int = 30) -> list[Trip]:
    """Up to so many trips of a few templates, in any order, with ids in any order."""
    kinds = draw(st.lists(templates, min_size=1, max_size=10))
    dated = draw(st.lists(occurrences, max_size=most))
    ids = draw(st.permutations(range(1, len(dated) + 1)))
    made = []
    for occurrence_id, (kind, starts_on, price, status) in zip(ids, dated, strict=True):
        number = kind % len(kinds)
        made.append(Trip(occurrence_id, number + 1, *kinds[number], starts_on, price, status))
    return made


def _some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@st.composite
def wishes(draw: st.DrawFn) -> Preferences:
    """Any combination, also of nothing."""
    low, high = draw(_some(st.integers(1, 14))), draw(_some(st.integers(1, 14)))
    if low and high and low > high:
        low, high = high, low
    return Preferences(
        selected_countries=draw(st.just([]) | st.lists(st.sampled_from([*sorted(CONTINENTS), "XX"]), max_size=2)),
        selected_continents=draw(st.just([]) | st.lists(st.sampled_from(["EU", "AS", "SA", "AN", "AF"]), max_size=2)),
        preferred_type_id=draw(_some(st.integers(1, 4))),
        preferred_theme_ids=draw(st.just([]) | st.lists(st.integers(1, 5), max_size=3)),
        min_duration=low,
        max_duration=high,
        budget=draw(_some(st.sampled_from([Decimal("1"), Decimal("1.01"), Decimal("0.9"), Decimal(10_000_000)]))),
        difficulty=draw(_some(st.integers(1, 3))),
        year=draw(st.just("all") | st.sampled_from([2026, 2027, 2028, 2029])),
        month=draw(st.just("all") | st.integers(1, 12)),
    )
