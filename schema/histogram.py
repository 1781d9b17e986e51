"""Histograms in fixed logarithmic buckets, which add exactly. In: counts per bucket. Out: percentiles of their sums.

EDGES are the whole numbers at or above 2^(k/8), each once. Bucket i holds whole numbers from EDGES[i - 1] up to, not
including, EDGES[i], as Postgres' width_bucket numbers them; bucket 0 holds zero. A bucket's largest value is less than
2^(1/8) times its smallest, so their geometric mean is at most 2^(1/16), 4.5 %, away from any value in it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, zip_longest
from math import ceil, sqrt

EDGES: tuple[int, ...] = tuple(sorted({ceil(2 ** (k / 8)) for k in range(31 * 8 + 1)}))
ERROR_MAX = 2 ** (1 / 16)


def of(counts: Iterable[tuple[int, int]]) -> list[int]:
    """The histogram of (bucket, count) pairs, as long as every other one."""
    found = [0] * (len(EDGES) + 1)
    for bucket, count in counts:
        found[bucket] += count
    return found


def merge(histograms: Iterable[Sequence[int]]) -> list[int]:
    """The histogram of everything that is in any of these."""
    return list(map(sum, zip_longest(*histograms, fillvalue=0)))


def percentile(histogram: Sequence[int], share: float) -> float | None:
    """The value at or below which this share of all values lies (nearest rank), by at most a factor of ERROR_MAX more
    or less. None where there are no values."""
    reached = list(accumulate(histogram))
    if not reached or not reached[-1]:
        return None
    bucket = bisect_left(reached, max(ceil(share * reached[-1]), 1))
    if bucket == 0:
        return 0.0
    largest = EDGES[bucket] - 1 if bucket < len(EDGES) else EDGES[-1]
    return sqrt(EDGES[bucket - 1] * largest)
