"""Sketches: the same bytes for the same set in any order, the union of sketches is the sketch of the union."""

from __future__ import annotations

import random

import pytest
from datasketches import hll_sketch
from hypothesis import given
from hypothesis import settings as checking
from hypothesis import strategies as st

from schema import sketch

# Below 8 a sketch is a list, up to some hundreds a set, then an array of registers: all three, and their borders.
SIZES = (0, 1, 2, 7, 8, 9, 30, 384, 385, 500, 513, 2000, 20_000)


def keys(seed: int, size: int) -> list[str]:
    chance = random.Random(seed)
    return [f"{chance.getrandbits(128):032x}" for _ in range(size)]


@given(st.integers(0, 2**32), st.sampled_from(SIZES[:-1]))
@checking(max_examples=60, deadline=None)
def test_the_bytes_do_not_depend_on_the_order_nor_on_repetition(seed: int, size: int) -> None:
    values = keys(seed, size)
    shuffled = values + values[: size // 2]
    random.Random(seed + 1).shuffle(shuffled)
    assert sketch.of(shuffled) == sketch.of(values)


@given(st.integers(0, 2**32), st.lists(st.sampled_from(SIZES[:-1]), min_size=1, max_size=4))
@checking(max_examples=60, deadline=None)
def test_merged_sketches_are_the_sketch_of_the_union_in_any_order(seed: int, sizes: list[int]) -> None:
    sets = [keys(seed + n % 3, size) for n, size in enumerate(sizes)]  # some overlap
    parts = [sketch.of(one) for one in sets]
    whole = sketch.of({value for one in sets for value in one})
    assert sketch.merge(parts) == sketch.merge(parts[::-1]) == whole
    assert sketch.merge([sketch.merge(parts[:1]), sketch.merge(parts[1:])]) == whole


@pytest.mark.parametrize("size", SIZES)
def test_an_estimate_is_within_three_standard_errors(size: int) -> None:
    estimate = sketch.estimate(sketch.of(keys(7, size)))
    assert abs(estimate - size) <= 3 * 1.04 / 2 ** (sketch.LG_K / 2) * size


def test_few_visitors_are_counted_exactly() -> None:
    for size in range(385):
        assert sketch.estimate(sketch.of(keys(8, size))) == size


@given(st.integers(0, 2**32), st.sampled_from(SIZES[:-1]))
@checking(max_examples=60, deadline=None)
def test_an_estimate_is_the_librarys_own(seed: int, size: int) -> None:
    found = sketch.of(keys(seed, size))
    assert sketch.estimate(found) == pytest.approx(hll_sketch.deserialize(found).get_estimate(), abs=0.001)


def test_a_sketch_is_small() -> None:
    assert len(sketch.of(keys(9, 1))) <= 16
    assert len(sketch.of(keys(9, 20_000))) <= 2400


def test_the_bytes_of_a_version_are_kept_for_ever() -> None:
    """Stored sketches must be readable, and equal to recomputed ones, after an upgrade of the library."""
    assert sketch.of(["ann", "bob"]).hex() == "0201070c03080200bf20641cf8116004"
    assert sketch.merge([]) == sketch.of([])
