"""Figures that lie packed, a row a day and a number for each of many ids. In: such rows, as daily_trips has them. Out:
sums, of all ids that occur or of some.

A row is how many ids there are, then the ids, sorted, then each figure of theirs: big-endian numbers of 1, 2, 4 or 8
bytes, as `packed` in the migration makes them. Sums are those of whole numbers, so they are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Rows = Sequence[tuple[Any, ...]]


def of_all(rows: Rows, figures: Iterable[int]) -> tuple[Integers, list[Integers]]:
    """The ids that occur, sorted, and in their order the sums of the figures at these places."""
    if not rows:
        return np.empty(0, np.int64), [np.empty(0, np.int64) for _ in figures]
    ids = _together(rows, 1)
    order = np.argsort(ids, kind="stable")  # of runs that are sorted already, in a third of np.unique's time
    ids = ids[order]
    first = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    sums = [np.add.reduceat(_together(rows, place)[order], first, dtype=np.int64) for place in figures]
    return ids[first].astype(np.int64), sums


def of_some(rows: Rows, ids: Integers, figures: Sequence[int]) -> list[Integers]:
    """The same of these ids alone, in their order."""
    sums = [np.zeros(len(ids), np.int64) for _ in figures]
    for row in rows:
        there = _numbers(row, 1)
        at = np.minimum(np.searchsorted(there, ids), len(there) - 1)
        known = there[at] == ids
        for of_figure, place in zip(sums, figures, strict=True):
            of_figure[known] += _numbers(row, place)[at[known]]
    return sums


def total(row: tuple[Any, ...], place: int) -> int:
    """The sum of one figure of one day, of all ids."""
    return int(_numbers(row, place).sum(dtype=np.int64))


def _together(rows: Rows, place: int) -> NDArray[Any]:
    """The numbers of all days, one after the other, no wider than the widest day's: they are fetched out of order, and
    stay near the processor."""
    return np.concatenate([_numbers(row, place) for row in rows])


def _numbers(row: tuple[Any, ...], place: int) -> NDArray[Any]:
    width = len(row[place]) // row[0]
    return np.frombuffer(row[place], ">i8" if width == 8 else f">u{width}")  # u8 and i8 would meet as floats
