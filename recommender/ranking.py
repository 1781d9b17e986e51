"""The best rows of one part of a snapshot. In: limits, preferences. Out: how many rows pass, and the best of them.

Two ways to the same answer. Where few templates pass, their occurrences are gathered; where many do, all rows of the
windows are gone through, and each takes the score of its template. Measured at a million rows, one core: 1 to 2.5 ns a
row of the windows, 33 ns a gathered one, whose memory lies anywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender import filters, scoring
from recommender.columns import Columns, Places, days
from recommender.filters import Limits
from recommender.policy import Weights
from recommender.preferences import Preferences
from recommender.scoring import Scores
from recommender.snapshot import Part

GATHERED_COSTS = 20  # rows of a window
Rows = NDArray[np.int64]
_SAMPLE = 1 << 14
_LAST_ROW = np.int64(2**31)


class Search(NamedTuple):
    """What does not change from part to part. `wanted`: how many of the best."""

    preferences: Preferences
    limits: Limits
    places: Places
    today: date
    wanted: int
    weights: Weights


class Best(NamedTuple):
    """How many rows pass, and (score, row number) of the best, best first."""

    passing: int
    rows: list[tuple[int, int]]


def best(part: Part, search: Search, without: Collection[int]) -> Best:
    """The highest scores; of equal ones the lowest row numbers. Rows in `without` do not count."""
    columns, limits = part.columns, search.limits
    spans = filters.rows(columns, limits)
    if not spans:
        return Best(0, [])
    where = filters.geography(columns, search.places, limits)
    passing = filters.templates(columns, limits, where, part.hidden)
    scores = scoring.of_templates(columns, passing, where, search.preferences, limits, search.weights)
    if passing is not None and (chosen := _few(columns, passing, spans)) is not None:
        found = [_gathered(columns, scores, chosen, spans, search, without)]
    else:
        found = list(_gone_through(columns, scores, spans, search, without))
    zero = scoring.scale(search.weights).zero
    every = sorted((-(score - zero), row) for one in found for score, row in one.rows)
    return Best(sum(one.passing for one in found), [(-score, row) for score, row in every[: search.wanted]])


def _few(columns: Columns, passing: filters.Mask, spans: list[tuple[int, int]]) -> Rows | None:
    """The templates that pass, when gathering their occurrences costs less than going through the windows."""
    most = sum(high - low for low, high in spans) // GATHERED_COSTS
    if np.count_nonzero(passing) > most:
        return None
    chosen = np.flatnonzero(passing)
    return chosen if (columns.begins[chosen + 1] - columns.begins[chosen]).sum() <= most else None


def _gathered(
    columns: Columns,
    scores: Scores,
    chosen: Rows,
    spans: list[tuple[int, int]],
    search: Search,
    without: Collection[int],
) -> Best:
    """Templates first, then their occurrences."""
    begins = columns.begins[chosen]
    counts = columns.begins[chosen + 1] - begins
    ends = np.cumsum(counts)
    at = np.repeat(begins - (ends - counts), counts)
    at += np.arange(len(at))
    rows = columns.by_template[at]
    inside = np.zeros(len(rows), np.bool_)
    for low, high in spans:
        inside |= (rows >= low) & (rows < high)
    for row in without:
        inside &= rows != row
    rows, found = rows[inside], np.repeat(scores[chosen], counts)[inside]
    scoring.add_price(found, columns.price[rows], search.preferences, search.limits, search.weights)
    scoring.add_status(found, columns.status[rows], search.weights)
    scoring.add(found, (rows < _soon(columns, search)) & (found != 0), search.weights.soon)
    keys = found.astype(np.int64) << 32 | (_LAST_ROW - rows)
    keys = keys[found != 0]
    passing = len(keys)
    if passing > search.wanted:
        keys = np.partition(keys, passing - search.wanted)[passing - search.wanted :]
    return Best(passing, [(int(key) >> 32, int(_LAST_ROW) - (int(key) & 0xFFFFFFFF)) for key in keys])


def _gone_through(
    columns: Columns, scores: Scores, spans: list[tuple[int, int]], search: Search, without: Collection[int]
) -> Iterator[Best]:
    """Every row of each window; what leaves soon is its beginning."""
    soon = _soon(columns, search)
    for low, high in spans:
        found = scores.take(columns.template[low:high])
        for row in without:
            if low <= row < high:
                found[row - low] = 0
        scoring.add_price(found, columns.price[low:high], search.preferences, search.limits, search.weights)
        scoring.add_status(found, columns.status[low:high], search.weights)
        first = found[: max(soon - low, 0)]
        scoring.add(first, first != 0, search.weights.soon)
        yield Best(int(np.count_nonzero(found)), [(score, low + at) for score, at in top(found, search.wanted)])


def _soon(columns: Columns, search: Search) -> int:
    """The first row that does not leave soon."""
    return filters.first_row(columns, days(search.today) + search.weights.soon_days + 1)


def top(scores: Scores, wanted: int) -> list[tuple[int, int]]:
    """(score, place) of the highest that are not 0, of equal ones the first. Nothing is sorted."""
    low = _reached(scores, wanted, _reached(scores[:_SAMPLE], wanted, 0))
    above = np.flatnonzero(scores > low)
    at = [*above.tolist(), *_first(scores, low, wanted - len(above))] if low else above.tolist()
    return [(int(scores[place]), place) for place in at]


def _reached(scores: Scores, wanted: int, low: int) -> int:
    """The highest score that so many reach, or 0; it is at least `low`. Found by halving, a pass over bytes each: what
    a part of them reach, all do, so that a sample leaves few passes."""
    high = int(scores.max(initial=0))
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if np.count_nonzero(scores > middle) >= wanted else (low, middle)
    return low


def _first(scores: Scores, score: int, count: int) -> list[int]:
    """The first places of a score. Common ones are found at the beginning."""
    size = 1 << 12
    while True:
        found = np.flatnonzero(scores[:size] == score)
        if len(found) >= count or size >= len(scores):
            return [int(place) for place in found[:count]]
        size *= 8
