"""`/dashboard/retention`: who came back. In: how many weeks. Out: a cohort a week as a table of heat, and all of them
together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastapi import Request
from fastapi.responses import Response

from reports.asking import asked, now
from reports.cohorts import Cohort, RetentionQuery, retention, weeks_to
from reports.dashboard.pages import page, told, wanted
from reports.sessions import ratio
from reports.stored import SECONDS_MAX, as_of_now
from schema.settings import Settings
from schema.spans import Span

WEEKS = (4, 8, 12, 26)
_HEATS = 8
_WARMEST = 0.5  # the share from which on a cell is as warm as can be


class Cell(NamedTuple):
    """One cohort in one week."""

    users: int
    rate: float | None
    heat: int


def answer(request: Request, settings: Settings) -> Response:
    """The page."""
    with told(request) as problem:
        query = wanted(RetentionQuery, request)
        with asked(request, settings, query.day, now(), statement_seconds_max=SECONDS_MAX) as (connection, day):
            span = as_of_now(connection, weeks_to(connection, day, query.weeks))
            found = retention(connection, span)
        problem.response = page(request, "retention.html", span=span, asked=query, **_shown(found.cohorts, span))
    return problem.response


def _shown(cohorts: list[Cohort], span: Span) -> dict[str, Any]:
    rows = [(one, [_cell(one.active[week], one.rate[week], week) for week in one.active]) for one in cohorts]
    return {
        "rows": rows,
        "is_open": span.end >= span.today,
        "together": _together(cohorts, span),
        "later": max((len(cells) for _, cells in rows), default=0),
        "weeks": WEEKS,
        "users": sum(one.users for one in cohorts),
    }


def _cell(users: int, rate: float | None, week: int) -> Cell:
    heat = 0 if not rate or week == 0 else 1 + min(_HEATS - 1, int(rate / _WARMEST * _HEATS))
    return Cell(users, rate, heat)


def _together(cohorts: list[Cohort], span: Span) -> list[tuple[int, float | None, int]]:
    """For each week later: which share came back of the cohorts that have had the whole of it, and their size."""
    over = min((span.today - span.start).days // 7, len(cohorts))  # cohort n has had week w where n + w is over
    found = []
    for later in range(1, over):
        grown = cohorts[: over - later]
        users = sum(one.users for one in grown)
        found.append((later, ratio(sum(one.active[later] for one in grown), users), users))
    return found
