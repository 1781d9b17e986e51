"""`/dashboard/funnel`: how many went through steps. In: days, steps, a window, by whom. Out: who came how far, beside
the days before.
"""

from __future__ import annotations

from typing import Any

from reports import funnels, visitors
from reports.dashboard.cards import before
from reports.funnels import STEPS_MAX, FunnelQuery, Steps
from schema import spans
from schema.db import Connection
from schema.spans import Site, Span

STEPS = "page_view,search_submit,click_trip,contact_whatsapp|contact_phone"
TOGETHER = ("contact_whatsapp|contact_phone", "search_submit|search.performed", "click_trip|click")
WINDOWS = {"30m": "30 minutes", "2h": "2 hours", "1d": "a day", "7d": "7 days", "30d": "30 days"}


class FunnelPage(FunnelQuery):
    """The funnel's parameters, with steps to begin with."""

    steps: Steps = STEPS


def ask(connection: Connection, span: Span, query: FunnelPage) -> dict[str, Any]:
    """What the template shows."""
    earlier = before(span)
    site = Site(span.time_zone, span.today, span.as_of)
    earlier = spans.between(connection, span.site_id, site, earlier.start, earlier.end)
    found = funnels.funnel(connection, span, query)
    was = funnels.funnel(connection, earlier, query)
    known = [row.type for row in visitors.by_type(connection, span).rows]
    steps = query.steps.split(",")
    return {
        "asked": query,
        "found": found,
        "steps": [*zip(found.steps, was.steps, strict=True)],
        "choices": [*dict.fromkeys([*steps, *TOGETHER, *known])],
        "windows": WINDOWS,
        "steps_max": STEPS_MAX,
    }
