"""One trip as the rules see it: an occurrence with what they need of its template. In: rows, or a scenario's own trips.
Out: Trip, which the snapshot packs into columns and the oracle reads as it is.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

STATUSES = ("Open", "Guaranteed", "Last Places", "Full", "Cancelled")  # in the order of the type trip_status
BOOKABLE = frozenset(STATUSES[:3])


class Trip(NamedTuple):
    """`countries` are alpha-2 codes, the primary one first; `price` is in cents; `status` one of STATUSES."""

    occurrence_id: int
    template_id: int
    countries: tuple[str, ...]
    type_id: int
    theme_ids: frozenset[int]
    difficulty: int
    duration_days: int
    starts_on: date
    price: int
    status: str = "Open"


class Term(NamedTuple):
    """One part of a score: its name, its points, and the reason in words."""

    name: str
    points: int
    reason: str


class Scored(NamedTuple):
    """A trip with its raw score, which is the sum of its terms."""

    occurrence_id: int
    template_id: int
    starts_on: date
    score: int
    is_relaxed: bool
    terms: tuple[Term, ...]


class Found(NamedTuple):
    """What a search found, best first. `candidates`: trips that passed the primary filters and, where it ran, those
    more that passed the relaxed ones."""

    primary: list[Scored]
    relaxed: list[Scored]
    candidates: int
