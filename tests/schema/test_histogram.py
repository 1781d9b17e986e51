"""Histograms: they add exactly, and a percentile of any sum is near the one of the sorted values."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema import histogram
from schema.histogram import EDGES, ERROR_MAX

TIMES = st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 5000), max_size=60)


def of(values: list[int]) -> list[int]:
    return histogram.of(Counter(bisect_right(EDGES, value) for value in values).items())


def test_edges_rise_and_cover_every_time_that_a_row_can_hold() -> None:
    assert list(EDGES) == sorted(set(EDGES))
    assert (EDGES[0], EDGES[-1]) == (1, 2**31)
    assert all((b - 1) / a < 2 ** (1 / 8) for a, b in pairwise(EDGES))


@settings(max_examples=50)
@given(st.lists(TIMES, max_size=5))
def test_days_add_up_to_the_histogram_of_all_their_values(days: list[list[int]]) -> None:
    whole = [value for day in days for value in day]
    assert histogram.merge([of([]), *map(of, days)]) == of(whole)


@settings(max_examples=100)
@given(TIMES.filter(len), st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_within_the_stated_error_of_the_exact_one(values: list[int], share: float) -> None:
    exact = sorted(values)[max(ceil(share * len(values)), 1) - 1]
    found = histogram.percentile(of(values), share)
    assert found is not None
    if exact < 12:
        assert found == pytest.approx(exact)
    assert exact / ERROR_MAX <= found * 1.000001
    assert found <= exact * ERROR_MAX * 1.000001


def test_the_percentile_of_days_together_is_not_the_mean_of_their_percentiles() -> None:
    chance = random.Random(1)
    quiet, busy = [chance.randrange(900, 1100) for _ in range(10)], [chance.randrange(50_000, 60_000)] * 990
    both = histogram.percentile(histogram.merge([of(quiet), of(busy)]), 0.5)
    assert both == pytest.approx(busy[0], rel=0.045)


def test_of_nothing_there_is_no_percentile() -> None:
    assert histogram.percentile(of([]), 0.5) is None
    assert histogram.percentile([], 0.5) is None
