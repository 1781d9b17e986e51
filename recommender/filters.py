"""What a trip must be to be found at all. In: preferences, and today. Out: Limits; and which templates and which rows
of a snapshot's columns are within them. The relaxed search has other Limits and goes the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.columns import Columns, Places, day, days
from recommender.policy import Weights
from recommender.preferences import Preferences

Mask = NDArray[np.bool_]


class Limits(NamedTuple):
    """`countries` and `continents` are None when no geography was asked for, else a trip is in one of either. Windows
    are first and last days, ascending and apart. Where a limit is None, everything passes."""

    countries: frozenset[str] | None
    continents: frozenset[str]
    type_id: int | None
    difficulty: tuple[int, int] | None
    price_max: int | None
    windows: tuple[tuple[int, int], ...]
    is_relaxed: bool = False


class Geography(NamedTuple):
    """Which templates have a country that was asked for, and which lie on a continent that counts."""

    in_country: Mask
    on_continent: Mask


def primary(preferences: Preferences, today: date, until: int, weights: Weights) -> Limits:
    """What was asked for. `until`: the last day of the catalogue."""
    has_places = bool(preferences.selected_countries or preferences.selected_continents)
    return Limits(
        frozenset(preferences.selected_countries) if has_places else None,
        frozenset(preferences.selected_continents),
        preferences.preferred_type_id,
        difficulty(preferences, weights.difficulty_reach),
        price_max(preferences, weights.price_max_percent),
        windows(preferences, today, until, 0),
    )


def difficulty(preferences: Preferences, reach: int) -> tuple[int, int] | None:
    """Lowest and highest."""
    asked = preferences.difficulty
    return None if asked is None else (asked - reach, asked + reach)


def budget(preferences: Preferences) -> int | None:
    """In cents."""
    return None if preferences.budget is None else int(preferences.budget * 100)


def price_max(preferences: Preferences, percent: int) -> int | None:
    """The highest price in cents that passes."""
    cents = budget(preferences)
    return None if cents is None else share(cents, percent)


def share(cents: int, percent: int) -> int:
    """The highest whole price that is at most so many percent."""
    return cents * percent // 100


def windows(preferences: Preferences, today: date, until: int, months: int) -> tuple[tuple[int, int], ...]:
    """After today, and as asked for, widened by so many months at each end."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(_asked(preferences, today, until, months)):
        first, last = max(first, days(today) + 1), min(last, until)
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        elif first <= last:
            found.append((first, last))
    return tuple(found)


def _asked(preferences: Preferences, today: date, until: int, months: int) -> Iterator[tuple[int, int]]:
    year, month = preferences.year, preferences.month
    if year == "all" and month == "all":
        yield days(today), until
    elif year == "all":
        for any_year in range(today.year - 1, day(until).year + 2):
            yield _months(any_year, int(month) - months, int(month) + months)
    elif month == "all":
        yield _months(year, 1 - months, 12 + months)
    else:
        yield _months(year, month - months, month + months)


def _months(year: int, first: int, last: int) -> tuple[int, int]:
    """From the first day of one month to the last of another; 0 is December of the year before, 13 January after."""
    return _first(year, first), _first(year, last + 1) - 1


def _first(year: int, month: int) -> int:
    years, months = divmod(month - 1, 12)
    return days(date(year + years, months + 1, 1))


def geography(columns: Columns, places: Places, limits: Limits) -> Geography | None:
    """None when none was asked for."""
    if limits.countries is None:
        return None
    in_country = np.zeros(len(columns.template_id), np.bool_)
    for word, bits in zip(columns.countries, places.country_bits(limits.countries), strict=True):
        if bits:
            in_country |= (word & np.uint64(bits)) != 0
    return Geography(in_country, (columns.continents & np.uint8(places.continent_bits(limits.continents))) != 0)


def templates(columns: Columns, limits: Limits, where: Geography | None, hidden: Mask | None) -> Mask | None:
    """Which templates pass; None for all."""
    passing = [~hidden] if hidden is not None else []
    if where:
        passing.append(where.in_country | where.on_continent)
    if limits.type_id is not None:
        passing.append(columns.type_id == limits.type_id)
    if limits.difficulty:
        low, high = limits.difficulty
        passing += [columns.difficulty >= low, columns.difficulty <= high]
    for more in passing[1:]:
        passing[0] &= more
    return passing[0] if passing else None


def rows(columns: Columns, limits: Limits) -> list[tuple[int, int]]:
    """The windows as row numbers, from and up to; empty ones left out."""
    spans = ((first_row(columns, first), first_row(columns, last + 1)) for first, last in limits.windows)
    return [(low, high) for low, high in spans if low < high]


def first_row(columns: Columns, number: int) -> int:
    """The first that leaves on that day or later. Sought as int32: any other would widen the whole column first."""
    return int(columns.starts_on.searchsorted(np.int32(number)))
