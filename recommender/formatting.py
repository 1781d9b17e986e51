"""What an answer says. In: what the rules found, and the trips as they are now. Out: JSON in camelCase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
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
_JSON = ("country", "type", "tags", "guide", "company")  # as Postgres wrote it
_NAMES = {name: to_camel(name) for name in Row._fields if name not in _JSON}


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


def _result(position: int, one: Placed) -> dict[str, Any]:
    scored, row = one
    return (
        {"position": position}
        | {_NAMES[name]: getattr(row, name) for name in _NAMES}
        | {name: msgspec.Raw(getattr(row, name) or "null") for name in _JSON}
        | {
            "matchScore": min(max(scored.score, 0), 100),
            "matchDetails": [{"term": t.name, "points": t.points, "reason": t.reason} for t in scored.terms],
            "isRelaxed": scored.is_relaxed,
        }
    )
