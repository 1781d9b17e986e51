"""What there was most of: paths, referrers, campaigns, devices, click targets, share codes. In: tables of days and
weeks. Out: a page of values, sorted, with the number of all values.

Nothing is folded into "others", and events without a value are in no row.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import Field

from reports import listing
from reports.listing import Code, ListQuery
from schema.answers import Figures, Listed
from schema.db import Connection
from schema.errors import InvalidRequest
from schema.spans import Span

Dimension = Literal[
    "path", "entry_path", "exit_path", "referrer", "source", "utm_source", "utm_medium", "utm_campaign", "utm_term",
    "utm_content", "device", "browser", "os", "country", "screen",
]  # fmt: skip
Owned = Literal["target", "page", "share"]
By = Literal[Dimension, Owned]
OWNED = get_args(Owned)


class Board(NamedTuple):
    """Which query, and by what it may be sorted: the first unless something else is asked for."""

    query: str
    sorts: tuple[str, ...]


BOARDS = {
    **dict.fromkeys(get_args(Dimension), Board("dimension", ("events", "pageViews", "sessions"))),
    **dict.fromkeys(("path", "screen"), Board("dimension", ("pageViews", "events", "sessions"))),
    **dict.fromkeys(("entry_path", "exit_path"), Board("dimension", ("sessions", "events", "pageViews"))),
    "target": Board("target", ("clicks",)),
    "page": Board("page", ("pageViews",)),
    "share": Board("share", ("sessions", "pageViews", "clicks")),
}


class TopQuery(ListQuery):
    """Of what, in which order, and of which owner."""

    by: Annotated[By, Field(description="target: what was clicked; page: types of pages; share: share codes.")]
    sort: Annotated[
        Literal["events", "pageViews", "sessions", "clicks"] | None, Field(description="One that this list has.")
    ] = None
    owner: Annotated[Code, Field(description="Only of this owner code; for target, page and share.")] = None
    share: Annotated[Code, Field(description="Only of this share code; for target, page and share.")] = None


class Value(Figures):
    """One value. Null is what this list does not count. A session counts for each value that occurs in it."""

    value: str
    category: str | None = Field(description="Of click targets")
    events: int | None
    page_views: int | None
    sessions: int | None
    clicks: int | None


class Top(Listed):
    """A page of values."""

    by: str
    sort: str
    rows: list[Value]


def top(connection: Connection, span: Span, query: TopQuery) -> Top:
    """The values asked for. Raises InvalidRequest."""
    board = BOARDS[query.by]
    sort = query.sort or board.sorts[0]
    if sort not in board.sorts:
        raise InvalidRequest(fields=[("sort", f"{query.by} is sorted by {' or '.join(board.sorts)}, not by {sort}")])
    for name in ("owner", "share"):
        if getattr(query, name) is not None and query.by not in OWNED:
            raise InvalidRequest(fields=[(name, f"only {', '.join(OWNED)} are told apart by {name}")])
    asked = {"by": query.by, "sort": sort, "owner": query.owner, "share": query.share}
    head, found = listing.page(connection, "top", board.query, span, query, **asked)
    return Top.model_validate({**head, "by": query.by, "sort": sort, "rows": found})
