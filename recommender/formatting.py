"""What an answer says. In: what the rules found, and the trips as they are now. Out: JSON in camelCase."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import msgspec
from pydantic.alias_generators import to_camel

from recommender.policy import POLICY, VERSION, WEIGHTS
from recommender.preferences import Preferences
from recommender.shown import Row
from recommender.trips import Scored
from recommender.wire import encode

_THRESHOLDS = (
    "results",
    "relax_below",
    "low_score",
    "focused_filters",
    "soon_days",
    "difficulty_reach",
    "price_max_percent",
    "relaxed_months",
    "relaxed_difficulty_reach",
    "relaxed_price_max_percent",
)
THRESHOLDS = {to_camel(name): getattr(WEIGHTS, name) for name in _THRESHOLDS}


class _Company(msgspec.Struct):
    id: int
    name: str


class _Guide(msgspec.Struct, rename="camel"):
    id: int
    name_en: str | None
    name_he: str | None


class _Detail(msgspec.Struct):
    term: str
    points: int
    reason: str


class _Now(msgspec.Struct, rename="camel"):
    """A result without its place and what is kept of its template."""

    occurrence_id: int
    starts_on: date
    ends_on: date
    price: Decimal
    base_price: Decimal
    status: str
    seats: int
    seats_left: int
    guide: _Guide | None
    company: _Company
    match_score: int
    match_details: list[_Detail]
    is_relaxed: bool


class Placed(NamedTuple):
    """One result: what the rules say of it, and what it is now."""

    scored: Scored
    row: Row


class Answer(NamedTuple):
    """One answered request."""

    request_id: UUID
    preferences: Preferences
    results: Sequence[Placed]
    candidates: int
    response_us: int

    @property
    def search_type(self) -> str:
        is_focused = len(self.preferences.filters) >= WEIGHTS.focused_filters
        return "focused_search" if is_focused else "exploration"

    @property
    def relaxed_count(self) -> int:
        return sum(one.scored.is_relaxed for one in self.results)

    @property
    def primary_count(self) -> int:
        return len(self.results) - self.relaxed_count


def body(answer: Answer) -> bytes:
    """The response's body."""
    return encode(
        {
            "requestId": answer.request_id,
            "searchType": answer.search_type,
            "results": [_result(at, one) for at, one in enumerate(answer.results, 1)],
            "primaryCount": answer.primary_count,
            "relaxedCount": answer.relaxed_count,
            "totalCandidates": answer.candidates,
            "thresholds": THRESHOLDS,
            "policy": {"id": POLICY, "version": VERSION},
            "responseTimeMs": round(answer.response_us / 1000, 3),
        }
    )


def _result(position: int, one: Placed) -> msgspec.Raw:
    scored, row = one
    now = _Now(
        row.occurrence_id,
        row.starts_on,
        row.ends_on,
        row.price,
        row.base_price,
        row.status,
        row.seats,
        row.seats_left,
        None if row.guide_id is None else _Guide(row.guide_id, row.guide_en, row.guide_he),
        _Company(row.company_id, row.company),
        min(max(scored.score, 0), 100),
        [_Detail(*term) for term in scored.terms],
        scored.is_relaxed,
    )
    return msgspec.Raw(b'{"position":%d,%b,%b' % (position, row.text, encode(now)[1:]))
