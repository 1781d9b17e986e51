"""How far people got through ordered steps. In: for each step whose events were when, as arrays. Out: how many came to
each step, and how quickly.

A person is at step n who has events of the steps 1 to n, one after the other, the last no later than the window after
the first. Of all such chains that end in an event, only the one that began last matters: whoever is in time with an
earlier one is in time with it. So each step is one pass over sorted arrays, and the sums are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
_ROOM = 2**62  # a person's rank and a moment together are one such number


class Hits(NamedTuple):
    """One step's events: whose each was, as numbers from 0 on, and when, in microseconds."""

    people: Integers
    moments: Integers


class Reached(NamedTuple):
    """How many came to a step, and the median of their quickest ways there from the first, in microseconds."""

    people: int
    median_us: float | None


def reached(steps: Sequence[Hits], window_us: int, *, strict: bool) -> list[Reached]:
    """One Reached a step. `strict`: a step at the same moment as the one before it does not count."""
    count = max((int(hits.people.max()) + 1 for hits in steps if len(hits.people)), default=0)
    began, went_on = _among(steps[0], count), _among(steps[min(1, len(steps) - 1)], count)
    went_on &= began
    found: list[list[Integers]] = [[] for _ in steps[1:]]
    if len(steps) > 1 and went_on.any():
        base = min(int(hits.moments.min()) for hits in steps if len(hits.moments))
        span = max(int(hits.moments.max()) for hits in steps if len(hits.moments)) - base + 1
        people = np.flatnonzero(went_on)
        for some in np.array_split(people, len(people) * span // _ROOM + 1):
            ranks = np.full(count, -1)
            ranks[some] = np.arange(len(some))
            for quickest, of_step in zip(_followed(ranks, steps, base, span, window_us, strict), found, strict=False):
                of_step.append(quickest)
    first = int(np.count_nonzero(began))
    return [Reached(first, 0.0 if first else None), *(_summed(parts) for parts in found)]


def _among(hits: Hits, count: int) -> NDArray[np.bool_]:
    """Which of so many people have such an event."""
    among = np.zeros(count, bool)
    among[hits.people] = True
    return among


def _followed(
    ranks: Integers, steps: Sequence[Hits], base: int, span: int, window_us: int, strict: bool
) -> Iterator[Integers]:
    """For each step after the first, how quickly each of those who have a rank and came there did."""
    ends = starts = _placed(ranks, steps[0], base, span)
    for hits in steps[1:]:
        if not len(ends):
            return
        at = _placed(ranks, hits, base, span)
        before = np.searchsorted(ends, at, side="left" if strict else "right") - 1
        began = starts[before]
        in_time = (before >= 0) & (began // span == at // span) & (at - began <= window_us)
        ends, began = at[in_time], began[in_time]
        starts = np.maximum.accumulate(began)
        if len(ends):
            first_of_each = np.flatnonzero(np.diff(ends // span, prepend=-1))
            yield np.minimum.reduceat(ends - began, first_of_each)


def _placed(ranks: Integers, hits: Hits, base: int, span: int) -> Integers:
    """The events of those who have a rank, sorted: by whose they are, then by when. One number an event."""
    rank = ranks[hits.people]
    known = rank >= 0
    return np.sort(rank[known] * span + (hits.moments[known] - base))


def _summed(parts: list[Integers]) -> Reached:
    together = np.concatenate(parts) if parts else np.empty(0, np.int64)
    return Reached(len(together), float(np.median(together)) if len(together) else None)
