"""Trips as columns of numbers. In: trips, or arrays as a query gives them. Out: Columns: templates, one row each, and
their occurrences in the order of departure, then id, so that a row's number is also its rank among equal scores and
a window of days is a slice. Nothing here changes after it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.trips import BOOKABLE, STATUSES, Trip

EPOCH = date(1970, 1, 1)
PRICE_MAX = 2**31 - 1  # dearer trips are stored as this: no budget reaches half of it
_WORD = 64


@dataclass(frozen=True)
class Places:
    """Countries by their number, each with its continent; continents by theirs. Both are bits of masks."""

    countries: tuple[str, ...]
    continent_of: tuple[str, ...]

    @classmethod
    def of(cls, continents: Mapping[str, str]) -> Places:
        """Raises ValueError for more continents than a mask has bits."""
        if len(set(continents.values())) > 8:
            raise ValueError("more than 8 continents")
        countries = tuple(sorted(continents))
        return cls(countries, tuple(continents[country] for country in countries))

    @cached_property
    def words(self) -> int:
        """How many 64-bit words the mask of a template's countries takes."""
        return -(-len(self.countries) // _WORD) or 1

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The bit of each country."""
        return {country: number for number, country in enumerate(self.countries)}

    @cached_property
    def continents(self) -> Mapping[str, int]:
        """The bit of each continent."""
        return {continent: number for number, continent in enumerate(sorted(set(self.continent_of)))}

    def country_bits(self, countries: Iterable[str]) -> list[int]:
        """One mask a word. Countries that nobody knows have no bit."""
        masks = [0] * self.words
        for number in (self.numbers[country] for country in countries if country in self.numbers):
            masks[number // _WORD] |= 1 << number % _WORD
        return masks

    def continent_bits(self, continents: Iterable[str]) -> int:
        """One mask."""
        return sum(1 << self.continents[continent] for continent in set(continents) if continent in self.continents)

    def continents_of(self, countries: Iterable[str]) -> frozenset[str]:
        """Where those countries lie that are known."""
        known = (self.numbers[country] for country in countries if country in self.numbers)
        return frozenset(self.continent_of[number] for number in known)


class TemplateArrays(NamedTuple):
    """Templates as a query gives them, in any order; what has a length has one entry a template. `template_id` is
    int64, `countries` a sequence of alpha-2 codes each, the primary one first or not, `type_id` int16, `themes` uint64
    with bit n for tag n, `difficulty` int8, `duration_days` int16. Wider integers do."""

    template_id: NDArray[Any]
    countries: Sequence[Sequence[str]]
    type_id: NDArray[Any]
    themes: NDArray[Any]
    difficulty: NDArray[Any]
    duration_days: NDArray[Any]


class OccurrenceArrays(NamedTuple):
    """Occurrences in any order. `occurrence_id` and `template_id` are int64, `starts_on` days since 1970-01-01 (or
    datetime64[D]), `price` int64 cents, `status` int8: the place in STATUSES. Those not bookable are left out."""

    occurrence_id: NDArray[Any]
    template_id: NDArray[Any]
    starts_on: NDArray[Any]
    price: NDArray[Any]
    status: NDArray[Any]


class Columns(NamedTuple):
    """`template` to `status` have a row an occurrence. `by_template` holds row numbers of occurrences, ascending within
    a template; those of template t stand at `begins[t]` to `begins[t + 1]`."""

    template_id: NDArray[np.int64]
    countries: NDArray[np.uint64]  # a row a word of the mask, a column a template
    continents: NDArray[np.uint8]
    type_id: NDArray[np.int16]
    themes: NDArray[np.uint64]
    difficulty: NDArray[np.int8]
    duration_days: NDArray[np.int16]
    begins: NDArray[np.int64]
    by_template: NDArray[np.int32]
    template: NDArray[np.int32]  # row number; gathered by through take(), which is as fast as by int64
    occurrence_id: NDArray[np.int64]
    starts_on: NDArray[np.int32]
    price: NDArray[np.int32]
    status: NDArray[np.uint8]


def of_trips(trips: Iterable[Trip], places: Places) -> Columns:
    """A template is what trips have in common besides its id, so that trips of scenarios may differ as they like."""
    known: dict[tuple[Any, ...], int] = {}
    kept = [trip for trip in trips if trip.status in BOOKABLE]
    rows = [known.setdefault(trip[1:7], len(known)) for trip in kept]
    columns: list[Any] = list(zip(*known, strict=True)) or [()] * 6
    template_id, countries, type_id, themes, difficulty, duration = columns
    templates = TemplateArrays(
        np.array(template_id, np.int64),
        countries,
        np.array(type_id, np.int16),
        np.array([sum(1 << theme for theme in one) for one in themes], np.uint64),
        np.array(difficulty, np.int8),
        np.array(duration, np.int16),
    )
    occurrences = OccurrenceArrays(
        np.array([trip.occurrence_id for trip in kept], np.int64),
        np.array(rows, np.int64),
        np.array([days(trip.starts_on) for trip in kept], np.int32),
        np.array([trip.price for trip in kept], np.int64),
        np.array([STATUSES.index(trip.status) for trip in kept], np.uint8),
    )
    return _columns(templates, occurrences, occurrences.template_id, places)


def of_arrays(templates: TemplateArrays, occurrences: OccurrenceArrays, places: Places) -> Columns:
    """Raises ValueError for an occurrence of a template that is not there."""
    bookable = np.asarray(occurrences.status) < len(BOOKABLE)
    kept = OccurrenceArrays(*(np.asarray(column)[bookable] for column in occurrences))
    ids = np.asarray(templates.template_id, np.int64)
    order = np.argsort(ids)
    places_in_order = np.searchsorted(ids, kept.template_id, sorter=order)
    found = order.take(places_in_order, mode="clip") if len(ids) else np.zeros(0, np.int64)
    if len(found) != len(kept.template_id) or np.any(ids[found] != kept.template_id):
        raise ValueError("an occurrence has no template")
    return _columns(templates, kept, found, places)


def days(day: date) -> int:
    """Since 1970-01-01."""
    return (day - EPOCH).days


def day(number: int) -> date:
    """The day again."""
    return EPOCH + timedelta(days=number)


def trip(columns: Columns, places: Places, row: int) -> Trip:
    """One row as the rules see it. Countries come in alphabetical order: which one is primary is nothing to a rule."""
    at = int(columns.template[row])
    words = enumerate(columns.countries[:, at].tolist())
    countries = [places.countries[n + _WORD * word] for word, bits in words if bits for n in _ones(bits)]
    return Trip(
        int(columns.occurrence_id[row]),
        int(columns.template_id[at]),
        tuple(countries),
        int(columns.type_id[at]),
        _themes(int(columns.themes[at])),
        int(columns.difficulty[at]),
        int(columns.duration_days[at]),
        day(int(columns.starts_on[row])),
        int(columns.price[row]),
        STATUSES[columns.status[row]],
    )


@lru_cache(4096)
def _ones(bits: int) -> tuple[int, ...]:
    """The numbers of the bits that are set, ascending."""
    return tuple(number for number in range(bits.bit_length()) if bits >> number & 1)


@lru_cache(4096)
def _themes(bits: int) -> frozenset[int]:
    return frozenset(_ones(bits))


def _columns(templates: TemplateArrays, kept: OccurrenceArrays, rows: NDArray[Any], places: Places) -> Columns:
    """`rows`: the template of each occurrence by its place in `templates`."""
    starts_on = np.asarray(kept.starts_on).astype(np.int32)
    order = np.lexsort((kept.occurrence_id, starts_on))
    template = rows[order].astype(np.int64)
    countries, continents = _geography(templates.countries, places)
    counts = np.bincount(template, minlength=len(continents))
    return Columns(
        np.asarray(templates.template_id, np.int64),
        countries,
        continents,
        np.asarray(templates.type_id, np.int16),
        np.asarray(templates.themes, np.uint64),
        np.asarray(templates.difficulty, np.int8),
        np.asarray(templates.duration_days, np.int16),
        np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)]),
        np.argsort(template, kind="stable").astype(np.int32),
        template.astype(np.int32),
        np.asarray(kept.occurrence_id, np.int64)[order],
        starts_on[order],
        np.minimum(kept.price, PRICE_MAX).astype(np.int32)[order],
        np.asarray(kept.status, np.uint8)[order],
    )


def _geography(countries: Sequence[Sequence[str]], places: Places) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Masks of each template's countries and of their continents. Raises ValueError for a country nobody knows."""
    words = np.zeros((places.words, len(countries)), np.uint64)
    continents = np.zeros(len(countries), np.uint8)
    masks: dict[tuple[str, ...], tuple[list[int], int]] = {}
    for row, codes in enumerate(map(tuple, countries)):
        if codes not in masks:
            if unknown := [code for code in codes if code not in places.numbers]:
                raise ValueError(f"no such country: {', '.join(unknown)}")
            masks[codes] = places.country_bits(codes), places.continent_bits(places.continents_of(codes))
        words[:, row], continents[row] = masks[codes]
    return words, continents
