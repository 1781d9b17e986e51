"""`/dashboard/searches`: what is searched and how well it is answered. In: days. Out: rates and percentiles beside the
days before, day by day, and what was asked for most.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from reports.dashboard import cards
from reports.dashboard.cards import Card
from reports.dashboard.recommended import DAYS_MAX, Recommended
from schema.db import Connection
from schema.spans import Span, SpanQuery

KINDS = (("countries", "Countries"), ("themes", "Themes"), ("types", "Types"), ("continents", "Continents"))


class SearchesQuery(SpanQuery):
    """Days, and how many of each kind."""

    limit: Annotated[int, Field(ge=1, le=100)] = 10


def ask(recommended: Recommended, connection: Connection, span: Span, query: SearchesQuery) -> dict[str, Any]:
    """What the template shows."""
    found = recommended.summary(connection, span)
    top = recommended.top_searches(connection, span, query.limit)
    return {
        "asked": query,
        "found": found,
        "cards": _cards(found, recommended.summary(connection, cards.before(span))),
        "days": recommended.daily(connection, span).days,
        "kinds": [(kind, title, getattr(top, kind)) for kind, title in KINDS],
        "has_csv": span.days <= DAYS_MAX,
    }


def _cards(now: Any, before: Any) -> list[Card]:
    quick, was = now.response_time_ms, before.response_time_ms
    return [
        cards.count("Searches", now.requests, before.requests),
        cards.rate("No result", now.no_result_rate, before.no_result_rate, more_is_better=False),
        cards.rate("Relaxed", now.relaxed_rate, before.relaxed_rate, more_is_better=False),
        cards.rate("Low score", now.low_score_rate, before.low_score_rate, more_is_better=False),
        cards.rate("Click-through", now.click_through_rate, before.click_through_rate, more_is_better=True),
        cards.value("Half within", quick.p50, was.p50, " ms", more_is_better=False),
        cards.value("95 of 100 within", quick.p95, was.p95, " ms", more_is_better=False),
        cards.value("99 of 100 within", quick.p99, was.p99, " ms", more_is_better=False),
    ]
