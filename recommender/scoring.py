"""Points. In: columns, preferences and weights. Out: points of all templates at once, points of many rows at once, and
the terms of one trip with their reasons in words, which add up to the same score.

Scores of many are unsigned bytes, so that a million of them fit a cache: the lowest score that weights can give is 1,
and 0 says that a trip does not pass. Weights that span more get wider numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.columns import Columns, days
from recommender.filters import Geography, Limits, Mask, budget, share
from recommender.policy import Weights
from recommender.preferences import Preferences
from recommender.trips import STATUSES, Term, Trip

_GUARANTEED, _LAST_PLACES = STATUSES.index("Guaranteed"), STATUSES.index("Last Places")
Scores = NDArray[Any]


class Scale(NamedTuple):
    """How scores are stored: `zero` is added to each."""

    dtype: np.dtype[Any]
    zero: int


@cache
def scale(w: Weights) -> Scale:
    """Wide enough for every sum of terms."""
    choices = (
        (w.themes_several, w.themes_one, w.themes_none),
        (w.difficulty_exact,),
        (w.duration_within, w.duration_near),
        (w.price_within, w.price_close, w.price_above),
        (w.guaranteed, w.last_places),
        (w.soon,),
        (w.country, w.continent),
        (w.relaxed,),
        (w.relaxed_type,),
    )
    low = w.base + sum(min(0, *some) for some in choices)
    high = w.base + sum(max(0, *some) for some in choices)
    return Scale(np.dtype(np.uint8 if high - low < 255 else np.int32), 1 - low)


def add(scores: Scores, where: Mask, points: int) -> None:
    """So many points where it holds. Bytes wrap around: adding 241 takes 15 away."""
    dtype = scores.dtype
    if dtype.itemsize == 1:
        scores += where.view(dtype) * dtype.type(points & 0xFF)
    else:
        scores += where.astype(dtype) * dtype.type(points)


def of_templates(
    columns: Columns, passing: Mask | None, where: Geography | None, asked: Preferences, limits: Limits, w: Weights
) -> Scores:
    """What templates have for themselves; 0 where they do not pass."""
    dtype, zero = scale(w)
    scores: Scores = np.full(len(columns.template_id), zero + w.base + w.relaxed * limits.is_relaxed, dtype)
    if asked.preferred_theme_ids:
        _add_themes(scores, columns, asked, w)
    if asked.difficulty is not None:
        add(scores, columns.difficulty == asked.difficulty, w.difficulty_exact)
    if asked.min_duration is not None or asked.max_duration is not None:
        _add_duration(scores, columns, asked, w)
    if where:
        add(scores, where.in_country, w.country)
        add(scores, where.on_continent & ~where.in_country, w.continent)
    if limits.is_relaxed and asked.preferred_type_id is not None:
        add(scores, columns.type_id != asked.preferred_type_id, w.relaxed_type)
    if passing is not None:
        scores *= passing
    return scores


def _add_themes(scores: Scores, columns: Columns, asked: Preferences, w: Weights) -> None:
    wanted = np.uint64(sum(1 << theme for theme in set(asked.preferred_theme_ids)))
    shared = np.bitwise_count(columns.themes & wanted)
    add(scores, shared == 0, w.themes_none)
    add(scores, shared == 1, w.themes_one)
    add(scores, shared >= 2, w.themes_several)


def _add_duration(scores: Scores, columns: Columns, asked: Preferences, w: Weights) -> None:
    low, high = _range(asked)
    near = columns.duration_days >= low - w.duration_near_days
    near &= columns.duration_days <= high + w.duration_near_days
    add(scores, near, w.duration_near)
    within = (columns.duration_days >= low) & (columns.duration_days <= high)
    add(scores, within, w.duration_within - w.duration_near)


def _range(asked: Preferences) -> tuple[int, int]:
    """A missing side is open; 0 and 9,999 days are as good as endless."""
    return asked.min_duration or 0, asked.max_duration or 9_999


def add_price(scores: Scores, price: NDArray[np.int32], asked: Preferences, limits: Limits, w: Weights) -> None:
    """Points of the occurrences' prices; 0 where too dear. Scores that are 0 stay so."""
    cents = budget(asked)
    if limits.price_max is None or cents is None:
        return
    passing = (scores != 0) & (price <= limits.price_max)
    below = 0
    for percent, points in reversed(_bands(w)):
        add(scores, price <= share(cents, percent), points - below)
        below = points
    scores *= passing


def add_status(scores: Scores, status: NDArray[np.uint8], w: Weights) -> None:
    """Points of the occurrences' status. Scores that are 0 stay so."""
    passing = scores != 0
    add(scores, status == _GUARANTEED, w.guaranteed)
    add(scores, status == _LAST_PLACES, w.last_places)
    scores *= passing


def _bands(w: Weights) -> tuple[tuple[int, int], ...]:
    """Percent of the budget, ascending, and the points up to there."""
    return (100, w.price_within), (w.price_close_percent, w.price_close), (w.price_above_percent, w.price_above)


def explain(
    trip: Trip, continents: frozenset[str], asked: Preferences, limits: Limits, today: date, w: Weights
) -> list[Term]:
    """The terms of one trip that passed, in the order of the rules. `continents`: where it lies."""
    terms = [Term("base", w.base, "every trip that fits begins with this")]
    terms += _of_what(trip, asked, w)
    terms += _of_when(trip, asked, today, w)
    if any(country in asked.selected_countries for country in trip.countries):
        terms.append(Term("country", w.country, "goes to a country you asked for"))
    elif not continents.isdisjoint(asked.selected_continents):
        terms.append(Term("continent", w.continent, "lies on a continent you asked for"))
    elif not continents.isdisjoint(limits.continents):
        terms.append(Term("continent", w.continent, "lies on the continent of a country you asked for"))
    if limits.is_relaxed:
        terms.append(Term("relaxed", w.relaxed, "found by the wider search"))
        if asked.preferred_type_id not in (None, trip.type_id):
            terms.append(Term("type", w.relaxed_type, "of another type than you asked for"))
    return terms


def _of_what(trip: Trip, asked: Preferences, w: Weights) -> Iterator[Term]:
    """Themes, difficulty, duration: what the template is."""
    if asked.preferred_theme_ids:
        shared = len(trip.theme_ids.intersection(asked.preferred_theme_ids))
        points = (w.themes_none, w.themes_one, w.themes_several)[min(shared, 2)]
        words = ("none of the themes you asked for", "one theme you asked for", f"{shared} themes you asked for")
        yield Term("themes", points, words[min(shared, 2)])
    if trip.difficulty == asked.difficulty:
        yield Term("difficulty", w.difficulty_exact, f"difficulty {trip.difficulty}, as you asked for")
    if asked.min_duration is not None or asked.max_duration is not None:
        low, high = _range(asked)
        off = max(low - trip.duration_days, trip.duration_days - high, 0)
        if off == 0:
            yield Term("duration", w.duration_within, f"{_days(trip.duration_days)}, as you asked for")
        elif off <= w.duration_near_days:
            yield Term("duration", w.duration_near, f"{_days(trip.duration_days)}, {off} from what you asked for")


def _of_when(trip: Trip, asked: Preferences, today: date, w: Weights) -> Iterator[Term]:
    """Price, status and start: what the occurrence is."""
    cents = budget(asked)
    if cents is not None:
        words = ("within your budget", *(f"at most {percent - 100} % over your budget" for percent, _ in _bands(w)[1:]))
        fitting = (n for n, (percent, _) in enumerate(_bands(w)) if trip.price * 100 <= cents * percent)
        if (band := next(fitting, None)) is not None:
            yield Term("price", _bands(w)[band][1], words[band])
    if trip.status == "Guaranteed":
        yield Term("guaranteed", w.guaranteed, "sure to leave")
    elif trip.status == "Last Places":
        yield Term("last_places", w.last_places, "the last places")
    left = days(trip.starts_on) - days(today)
    if left <= w.soon_days:
        yield Term("soon", w.soon, f"leaves in {_days(left)}")


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"
