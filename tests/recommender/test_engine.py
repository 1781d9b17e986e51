"""The engine finds what the oracle finds: trips, order, scores, terms and candidates, ties included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checking
from hypothesis import strategies as st

from recommender import engine, ranking
from recommender.policy import WEIGHTS, Weights
from recommender.preferences import Preferences
from recommender.snapshot import Snapshot
from recommender.trips import Trip
from tests.recommender import oracle
from tests.recommender.catalogues import CONTINENTS, TODAY, catalogues, trip, wishes, without_reasons

OTHERS = WEIGHTS._replace(
    base=-5, themes_none=-200, country=300, soon=-7, guaranteed=-3, price_above=40, relaxed=9, relaxed_months=7
)


@pytest.mark.parametrize("gathered_costs", [10**9, 10**-9, 6], ids=["through", "gathered", "as measured"])
@given(catalogues(), wishes(), st.integers(1, 12), st.sampled_from([WEIGHTS, OTHERS]))
@checking(max_examples=250, deadline=None)
def test_the_engine_finds_what_the_oracle_finds(
    gathered_costs: float, trips: list[Trip], asked: Preferences, limit: int, weights: Weights
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "GATHERED_COSTS", gathered_costs)
        found = engine.recommend(Snapshot.of(trips, CONTINENTS), asked, TODAY, limit, weights)
    assert without_reasons(found) == oracle.recommend(trips, CONTINENTS, asked, TODAY, limit, weights)
    for one in found.primary + found.relaxed:
        assert sum(term.points for term in one.terms) == one.score
        assert all(term.reason for term in one.terms)


@given(catalogues(20), catalogues(12), catalogues(12), st.sets(st.integers(1, 10), max_size=3), wishes())
@checking(max_examples=250, deadline=None)
def test_changes_beside_the_columns_are_as_good_as_a_rebuild(
    trips: list[Trip], second: list[Trip], third: list[Trip], removed: set[int], asked: Preferences
) -> None:
    changed = Snapshot.of(trips, CONTINENTS)
    now = trips
    for number, news in enumerate((second, third)):
        fresh = [one._replace(occurrence_id=one.occurrence_id + 100 * (number + 1)) for one in news]
        gone = removed if number else set()
        changed = changed.with_changes(fresh, gone)
        templates = {one.template_id for one in fresh} | gone
        now = [one for one in now if one.template_id not in templates] + fresh
    assert engine.recommend(changed, asked, TODAY) == engine.recommend(Snapshot.of(now, CONTINENTS), asked, TODAY)


@given(catalogues(), wishes())
@checking(max_examples=30, deadline=None)
def test_a_snapshot_from_its_file_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, trips: list[Trip], asked: Preferences
) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "trips.snapshot"
    built = Snapshot.of(trips, CONTINENTS)
    built.write(path)
    mapped = Snapshot.map(path)
    assert mapped.places == built.places
    assert engine.recommend(mapped, asked, TODAY) == engine.recommend(built, asked, TODAY)


def test_among_many_equals_the_earliest_and_then_the_lowest_id_come_first() -> None:
    """More than the first places of a score that are looked through at once, and more than a byte of them."""
    trips = [trip(number, template_id=number % 40, starts_on=trip().starts_on) for number in range(9000, 0, -1)]
    trips += [trip(10_000 + n, template_id=1, status="Last Places") for n in range(3)]
    found = engine.recommend(Snapshot.of(trips, CONTINENTS), Preferences(), TODAY)
    assert [one.occurrence_id for one in found.primary] == [10_000, 10_001, 10_002, 1, 2, 3, 4, 5, 6, 7]
    assert (found.relaxed, found.candidates) == ([], 9003)


@given(st.lists(st.integers(0, 3) | st.integers(0, 255), max_size=200), st.integers(1, 12))
def test_the_top_is_what_sorting_says(scores: list[int], count: int) -> None:
    expected = sorted((-score, place) for place, score in enumerate(scores) if score)[:count]
    for sample in (0, 20, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ranking, "_SAMPLE", sample)
            assert sorted((-s, p) for s, p in ranking.top(np.array(scores, np.uint8), count)) == expected


def test_a_catalogue_without_trips_answers_with_none() -> None:
    found = engine.recommend(Snapshot.of([], CONTINENTS), Preferences(month=2), TODAY)
    assert found == ([], [], 0)
