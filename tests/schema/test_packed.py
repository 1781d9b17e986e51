"""Figures that lie packed: numbers come back as Postgres packed them, and sums over days are those of whole numbers."""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np

from schema import packed
from tests.workers.pipeline import Pipeline


def test_numbers_are_packed_as_narrow_as_the_largest_allows_and_come_out_as_they_went_in(pipe: Pipeline) -> None:
    for width, most in ((1, 255), (2, 256), (2, 65_535), (4, 65_536), (4, 2**32 - 1), (8, 2**32), (8, 2**63 - 1)):
        numbers = [0, 1, most // 2, most]
        together = "SELECT string_agg(packed(n, %s), ''::bytea ORDER BY n) FROM unnest(%s::bigint[]) AS n"
        raw = pipe.value(together, most, numbers)
        assert len(raw) == 4 * width, most
        assert packed.pack(np.array(numbers)) == raw
        assert pipe.value("SELECT array_agg(n) FROM unpacked(%s, 4) AS n", raw) == numbers
        row = (1, 4, raw, raw)
        ids, (figures,) = packed.of_all([row], [3])
        assert ids.tolist() == figures.tolist() == numbers
        (some,) = packed.of_some([row], ids[::-1], [3])
        assert some.tolist() == numbers[::-1]
        assert most > 2**62 or packed.total(row, 3) == sum(numbers)
        assert packed.together([row]) == row
        _, (nothing,) = packed.of_all([row, (-1, *row[1:])], [3])
        assert nothing.tolist() == [0, 0, 0, 0]
        assert packed.of_some([row, (-1, *row[1:])], ids, [3])[0].tolist() == [0, 0, 0, 0]
        assert most > 2**62 or packed.total((-1, *row[1:]), 3) == -sum(numbers)


def test_a_figure_that_nothing_has_takes_no_bytes(pipe: Pipeline) -> None:
    assert pipe.value("SELECT packed(0, 0)") == packed.pack(np.array([0, 0])) == b""
    assert pipe.value("SELECT array_agg(n) FROM unpacked('', 3) AS n") == [0, 0, 0]
    row = (1, 3, bytes([1, 2, 9]), b"")
    assert [one.tolist() for one in packed.of_all([row], [3])[1]] == [[0, 0, 0]]
    assert [one.tolist() for one in packed.of_some([row], np.array([2, 7]), [3])] == [[0, 0]]


def test_sums_are_the_same_where_ids_are_counted_in_place_and_where_they_are_sorted() -> None:
    chance = random.Random(7)
    days = [sorted(chance.sample(range(400), 150)) for _ in range(9)]
    figures = [[chance.choice([0, 1, 2**32 - 1]) for _ in day] for day in days]

    signs = [1, 1, -1] * 3

    def summed(more: int) -> tuple[list[int], list[int]]:
        """With that added to every id."""
        rows = [
            (sign, 150, np.array([one + more for one in day], ">i8").tobytes(), np.array(of, ">u4").tobytes())
            for sign, day, of in zip(signs, days, figures, strict=True)
        ]
        ids, (sums,) = packed.of_all(rows, [3])
        return (ids - more).tolist(), sums.tolist()

    expected: defaultdict[int, int] = defaultdict(int)
    for sign, day, of in zip(signs, days, figures, strict=True):
        for one, figure in zip(day, of, strict=True):
            expected[one] += sign * figure
    assert summed(0) == summed(2**40) == (sorted(expected), [expected[one] for one in sorted(expected)])


def test_sums_of_no_days_are_none() -> None:
    ids, figures = packed.of_all([], [3, 4, 5])
    assert (len(ids), [len(one) for one in figures]) == (0, [0, 0, 0])
