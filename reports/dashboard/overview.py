"""`/dashboard`: a site at a glance. In: days. Out: what happened on them beside the days before, day by day, and what
there was most of.
"""

from __future__ import annotations

from typing import Any

from reports import overview, series, sessions, top, trips
from reports.dashboard import cards
from reports.dashboard.cards import Card
from reports.overview import Overview
from reports.series import SeriesQuery
from reports.sessions import SessionsQuery
from reports.top import TopQuery
from reports.trips import TripsQuery
from schema.db import Connection
from schema.spans import Span, SpanQuery

DAYS_BY_DAY = 92  # of more, a chart is by week
_AT_A_GLANCE = 5
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
DONE = {
    "Searches": ("search_submit", "search.performed"),
    "Trips opened": ("click_trip",),
    "Contacts": ("contact_whatsapp", "contact_phone"),
    "Bookings begun": ("booking_start",),
}


def ask(connection: Connection, span: Span, _: SpanQuery) -> dict[str, Any]:
    """What the template shows."""
    found = overview.overview(connection, span)
    interval = "day" if span.days <= DAYS_BY_DAY else "week"
    days = series.series(connection, span, SeriesQuery(interval=interval)).rows
    visits = sessions.over_time(connection, span, SessionsQuery(interval=interval)).rows
    return {
        "found": found,
        "cards": of_totals(found),
        "interval": interval,
        "days": [*zip(days, visits, strict=True)],
        "done": done(connection, span, interval),
        "types": ",".join(name for names in DONE.values() for name in names),
        "trips": trips.trips(connection, span, TripsQuery(sort="clicks", limit=_AT_A_GLANCE)).rows,
        "sources": _most(connection, span, "referrer"),
        "campaigns": _most(connection, span, "utm_campaign"),
        "paths": _most(connection, span, "path"),
    }


def of_totals(found: Overview) -> list[Card]:
    """The figures on top."""
    return [cards.count(title, getattr(found.current, name), getattr(found.previous, name)) for name, title in _SHOWN]


def done(connection: Connection, span: Span, interval: str) -> list[dict[str, Any]]:
    """What visitors did, a row a day or week."""
    titles = {name: title for title, names in DONE.items() for name in names}
    asked = SeriesQuery.model_validate({"interval": interval, "type": [*titles]})
    rows: dict[Any, dict[str, Any]] = {}
    for point in series.series(connection, span, asked).rows:
        row = rows.setdefault(point.date, {"date": point.date, "counts": dict.fromkeys(DONE, 0)})
        row["counts"][titles[str(point.type)]] += point.events
    return [*rows.values()]


def _most(connection: Connection, span: Span, by: str) -> list[top.Value]:
    return top.top(
        connection, span, TopQuery.model_validate({"by": by, "sort": "sessions", "limit": _AT_A_GLANCE})
    ).rows
