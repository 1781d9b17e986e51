"""`/dashboard/pages`: what is looked at, and from where. In: days, and what to count by. Out: a page of values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from reports import top
from reports.top import BOARDS, OWNED, By, TopQuery
from schema.db import Connection
from schema.spans import Span

GROUPS: dict[str, dict[str, str]] = {
    "Pages": {"path": "Paths", "entry_path": "Entry pages", "exit_path": "Exit pages", "page": "Page types"},
    "Sources": {
        "referrer": "Referrers", "source": "Places on the site", "utm_source": "UTM source", "utm_medium": "UTM medium",
        "utm_campaign": "Campaigns", "utm_term": "UTM term", "utm_content": "UTM content",
    },
    "Visitors": {
        "device": "Devices", "browser": "Browsers", "os": "Systems", "country": "Countries", "screen": "Screens",
    },
    "Actions": {"target": "Click targets", "share": "Share codes"},
}  # fmt: skip
COLUMNS = {"sessions": "Sessions", "pageViews": "Page views", "events": "Events", "clicks": "Clicks"}
_FIELDS = {"pageViews": "page_views"}


class SourcesQuery(TopQuery):
    """The list's parameters, paths unless something else is asked for, and fewer rows at once."""

    by: By = "path"
    limit: Annotated[int, Field(ge=1, le=500)] = 20


def ask(connection: Connection, span: Span, query: SourcesQuery) -> dict[str, Any]:
    """What the template shows."""
    found = top.top(connection, span, query)
    sorts = BOARDS[query.by].sorts
    columns = [(name, title, _FIELDS.get(name, name)) for name, title in COLUMNS.items() if name in sorts]
    ranked = _FIELDS.get(found.sort, found.sort)
    return {
        "asked": query,
        "found": found,
        "groups": GROUPS,
        "title": next(names[query.by] for names in GROUPS.values() if query.by in names),
        "columns": columns,
        "is_owned": query.by in OWNED,
        "ranked": ranked,
        "most": max((getattr(row, ranked) or 0 for row in found.rows), default=0),
    }
