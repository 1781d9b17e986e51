"""Whole numbers in few bytes: they come back, the same are the same bytes, and a few large ones widen no others."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schema.narrow import pack, unpack

edges = st.sampled_from([0, 1, *(256**width + by for width in range(1, 8) for by in (-2, -1, 0)), 2**63 - 1])
numbers = st.lists(st.one_of(edges, st.integers(0, 300), st.integers(0, 2**63 - 1)), max_size=60)


@given(numbers, st.integers(0, 3))
def test_they_come_back(values: list[int], times: int) -> None:
    many = np.array(values * times, np.int64)
    packed = pack(many)
    assert unpack(packed, len(many)).tolist() == many.tolist()
    assert packed == pack(many[::-1].copy()[::-1])
    assert len(packed) <= 1 + 8 * len(many)


def test_each_takes_as_many_bytes_as_most_need_and_the_few_others_eight_more() -> None:
    assert pack(np.zeros(1000, np.int64)) == b"\0" and pack(np.empty(0, np.int64)) == b"\0"
    for width in range(1, 8):
        most = np.full(1000, 256**width - 2)
        assert len(pack(most)) == 1 + 1000 * width
        most[[3, 500]] = 256**width - 1, 2**62
        assert len(pack(most)) == 1 + 1000 * width + 2 * 8
        assert unpack(pack(most), 1000).tolist() == most.tolist()


def test_its_bytes_are_little_endian_after_the_width() -> None:
    assert pack(np.array([1, 2, 254])) == bytes([1, 1, 2, 254])
    assert pack(np.array([1, 515])) == bytes([2, 1, 0, 3, 2])
    assert pack(np.array([1] * 9 + [255])) == bytes([1, *[1] * 9, 255, 255, 0, 0, 0, 0, 0, 0, 0])
