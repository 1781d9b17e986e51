"""Figures that lie packed, a row a day and a number for each of many ids. In: such rows, as daily_trips has them. Out:
the ids that occur, sorted, and their sums.

A row is how many ids there are, then the ids, then each figure of theirs: big-endian numbers of 1, 2, 4 or 8 bytes, as
`packed` in the migration makes them. Sums are those of whole numbers, so they are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def summed(rows: Sequence[tuple[Any, ...]], figures: int) -> tuple[Integers, list[Integers]]:
    """The ids and, in their order, the sums of each of so many figures."""
    if not rows:
        return np.empty(0, np.int64), [np.empty(0, np.int64)] * figures
    ids, *columns = (_numbers((row[0], row[place]) for row in rows) for place in range(1, figures + 2))
    order = np.argsort(ids, kind="stable")  # of runs that are sorted already, in a third of np.unique's time
    ids = ids[order]
    first = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    return ids[first], [np.add.reduceat(column[order], first) for column in columns]


def _numbers(packed: Iterable[tuple[int, bytes]]) -> Integers:
    """Those of all days, one after the other."""
    days = [np.frombuffer(numbers, f">u{len(numbers) // many}") for many, numbers in packed]
    return np.concatenate(days, dtype=np.int64, casting="unsafe")
