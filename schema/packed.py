"""Figures that lie packed, a row a day or month and a number for each of many ids. In: such rows, as queries of
daily_trips give them. Out: sums, of all ids that occur or of some; numbers packed.

A row is a sign, how many ids there are, then the ids, sorted, then each figure of theirs: big-endian numbers of 1, 2,
4 or 8 bytes, or of none where all are 0, as `packed` in the migration makes them. A row whose sign is -1 is taken away.
Sums are those of whole numbers, so they are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Row = tuple[Any, ...]
Rows = Sequence[Row]
FIGURES = 3  # the place of a row's first figure
_IDS = 2
_DENSE = 8  # ids up to so many times their count are counted in place


def of_all(rows: Rows, figures: Sequence[int]) -> tuple[Integers, list[Integers]]:
    """The ids that occur, sorted, and in their order the sums of the figures at these places."""
    if not rows:
        return np.empty(0, np.int64), [np.empty(0, np.int64) for _ in figures]
    ids = np.concatenate([_numbers(row, _IDS) for row in rows])
    if ids.max() < _DENSE * len(ids) and all(len(row[place]) <= 4 * row[1] for row in rows for place in figures):
        return _counted(ids, [_signed(rows, place) for place in figures])
    order = np.argsort(ids, kind="stable")  # of runs that are sorted already, in a third of np.unique's time
    ids = ids[order]
    first = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    sums = [np.add.reduceat(_signed(rows, place)[order], first, dtype=np.int64) for place in figures]
    return ids[first].astype(np.int64), sums


def _counted(ids: NDArray[Any], figures: Sequence[NDArray[Any]]) -> tuple[Integers, list[Integers]]:
    """The same where ids are small numbers: they are places, and nothing is sorted, in half of the time. Sums of four
    bytes each are exact as floats, of a million days too."""
    places = ids.astype(np.intp)
    there = np.flatnonzero(np.bincount(places))
    return there, [np.bincount(places, figure)[there].astype(np.int64) for figure in figures]


def of_some(rows: Rows, ids: Integers, figures: Sequence[int]) -> list[Integers]:
    """The same of these ids alone, in their order."""
    sums = [np.zeros(len(ids), np.int64) for _ in figures]
    for row in rows:
        there = _numbers(row, _IDS)
        at = np.minimum(np.searchsorted(there, ids), len(there) - 1)
        known = there[at] == ids
        for of_figure, place in zip(sums, figures, strict=True):
            of_figure[known] += row[0] * _numbers(row, place)[at[known]].astype(np.int64)
    return sums


def together(rows: Rows) -> Row:
    """Their sum, as a row."""
    ids, sums = of_all(rows, range(FIGURES, len(rows[0])))
    return (1, len(ids), *map(pack, (ids, *sums)))


def pack(numbers: Integers) -> bytes:
    """Numbers from 0 on, as the migration's function packs them."""
    most = int(numbers.max(initial=0))
    width = next(width for width in (0, 1, 2, 4, 8) if most < 1 << 8 * width)
    return numbers.astype(f">u{width}").tobytes() if width else b""


def total(row: Row, place: int) -> int:
    """The sum of one figure of one row, of all ids."""
    return int(row[0]) * int(_numbers(row, place).sum(dtype=np.int64))


def _signed(rows: Rows, place: int) -> NDArray[Any]:
    """A figure of all rows, one after the other."""
    figures = (_numbers(row, place) for row in rows)
    return np.concatenate([of if row[0] > 0 else -of.astype(np.int64) for row, of in zip(rows, figures, strict=True)])


def _numbers(row: Row, place: int) -> NDArray[Any]:
    if not (width := len(row[place]) // row[1]):
        return np.zeros(row[1], np.uint8)
    return np.frombuffer(row[place], ">i8" if width == 8 else f">u{width}")  # u8 and i8 would meet as floats
