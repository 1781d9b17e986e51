"""Whose pages were visited, and through which share codes. In: daily_user_stats and daily_group_stats, which tell
owners apart, so that an owner may read the own rows. Out: a page of owners, or of pairs of owner and share code.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reports import listing
from reports.listing import Code, ListQuery
from schema.answers import Figures, Listed
from schema.db import Connection
from schema.spans import Span


class OwnersQuery(ListQuery):
    """Which owners in which order."""

    sort: Annotated[Literal["sessions", "pageViews", "clicks"], Field(description="Ties by code.")] = "sessions"
    owner: Annotated[Code, Field(description="Only this owner code.")] = None


class GroupsQuery(OwnersQuery):
    """Which owners and share codes in which order."""

    share: Annotated[Code, Field(description="Only this share code.")] = None


class Visits(Figures):
    """What happened on somebody's pages. A session that crosses midnight is one of both days."""

    owner_code: str
    sessions: int
    page_views: int
    clicks: int


class Owner(Visits):
    """One owner code, with every share code of it that was used."""

    share_codes: list[str]


class Group(Visits):
    """One share code of an owner; "" is without one."""

    share_code: str


class Owners(Listed):
    """A page of owner codes."""

    sort: str
    rows: list[Owner]


class Groups(Listed):
    """A page of pairs."""

    sort: str
    rows: list[Group]


def owners(connection: Connection, span: Span, query: OwnersQuery) -> Owners:
    """The owner codes asked for."""
    head, found = listing.page(connection, "figures", "owners", span, query, sort=query.sort, owner=query.owner)
    return Owners.model_validate({**head, "sort": query.sort, "rows": found})


def groups(connection: Connection, span: Span, query: GroupsQuery) -> Groups:
    """The pairs asked for."""
    asked = {"sort": query.sort, "owner": query.owner, "share": query.share}
    head, found = listing.page(connection, "figures", "groups", span, query, **asked)
    return Groups.model_validate({**head, "sort": query.sort, "rows": found})
