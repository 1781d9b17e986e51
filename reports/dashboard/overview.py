"""`/dashboard`: a site at a glance. In: days. Out: what happened on them beside the days before, and day by day."""

from __future__ import annotations

from typing import Any, NamedTuple

from reports import overview, series, sessions
from reports.overview import Overview
from reports.series import SeriesQuery
from reports.sessions import SessionsQuery
from schema.db import Connection
from schema.spans import Span, SpanQuery

_SHOWN = (
    ("visitors", "Visitors"),
    ("sessions", "Sessions"),
    ("events", "Events"),
    ("searches", "Searches"),
    ("clicks", "Clicks"),
    ("saves", "Saves"),
    ("contacts", "Contacts"),
    ("bookings", "Bookings"),
)


class Card(NamedTuple):
    """One figure beside what it was before."""

    title: str
    current: int
    previous: int
    change: float | None


def cards(found: Overview) -> list[Card]:
    """The figures on top."""
    return [
        Card(title, getattr(found.current, name), getattr(found.previous, name), getattr(found.change, name))
        for name, title in _SHOWN
    ]


def ask(connection: Connection, span: Span, _: SpanQuery) -> dict[str, Any]:
    """What the template shows."""
    found = overview.overview(connection, span)
    interval = "day" if span.days <= 92 else "week"
    days = series.series(connection, span, SeriesQuery(interval=interval)).rows
    visits = sessions.over_time(connection, span, SessionsQuery(interval=interval)).rows
    return {
        "found": found,
        "cards": cards(found),
        "interval": interval,
        "days": [(day, visit) for day, visit in zip(days, visits, strict=True)],
    }
