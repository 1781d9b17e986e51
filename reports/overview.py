"""A site at a glance: one span of days beside as many right before it. In: daily tables. Out: totals and changes."""

from __future__ import annotations

from datetime import timedelta

from reports import sessions, visitors
from reports.sessions import Sessions, ratio
from schema.answers import Figures, SpanAnswer
from schema.db import Connection
from schema.spans import Span
from schema.sql import load

_SQL = load("figures")
_COUNTED = {
    "page_views": ("page_view",),
    "searches": ("search_submit", "search.performed"),
    "impressions": ("impression",),
    "clicks": ("click_trip", "click"),
    "saves": ("save_trip",),
    "contacts": ("contact_whatsapp", "contact_phone"),
    "booking_starts": ("booking_start",),
    "bookings": ("booking_complete",),
}


class Totals(Sessions):
    """One span. `visitors` is an estimate (1.6 %), exact while they are few; `events` are those of all types."""

    visitors: int
    events: int
    page_views: int
    searches: int
    impressions: int
    clicks: int
    saves: int
    contacts: int
    booking_starts: int
    bookings: int


class Change(Figures):
    """The current figure over the previous one, less 1: 0.25 is a quarter more. Null where there was nothing."""

    visitors: float | None
    sessions: float | None
    events: float | None
    page_views: float | None
    searches: float | None
    impressions: float | None
    clicks: float | None
    saves: float | None
    contacts: float | None
    booking_starts: float | None
    bookings: float | None


class Overview(SpanAnswer):
    """The span asked for, and as many days right before it."""

    current: Totals
    previous: Totals
    change: Change


def overview(connection: Connection, span: Span) -> Overview:
    """The whole page."""
    both = span._replace(start=span.start - timedelta(days=span.days))  # of which only the days are asked
    asked = both.bounds | {"since": span.start}
    types = connection.execute(_SQL["types"], asked).fetchall()
    days = sessions.read(connection, both)
    seen = connection.execute(_SQL["visitors"], asked, binary=True).fetchall()
    current, previous = (
        _totals(
            {name: events[place] for name, *events in types},
            [day for day in days if (day.date >= span.start) is is_current],
            [sketch for date, sketch in seen if (date >= span.start) is is_current],
        )
        for place, is_current in enumerate((True, False))
    )
    changes = {name: _change(getattr(current, name), getattr(previous, name)) for name in Change.model_fields}
    return Overview(**span.head, current=current, previous=previous, change=Change(**changes))


def _totals(events: dict[str, int], days: list[sessions.Row], seen: list[bytes]) -> Totals:
    """One span's figures: what there was of each type, its days, and the sketches of who came."""
    return Totals(
        **dict(sessions.of(days)),
        visitors=visitors.about(seen),
        events=sum(events.values()),
        **{name: sum(events.get(one, 0) for one in types) for name, types in _COUNTED.items()},
    )


def _change(current: int, previous: int) -> float | None:
    more = ratio(current, previous)
    return None if more is None else round(more - 1, 6)
