"""`/dashboard/trips`: how trips do. In: days, an order, a page of the list, perhaps one trip. Out: from shown to booked
as a funnel, of all trips or that one; click-through by position; the list.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import Field

from reports import trips
from reports.dashboard.recommended import DAYS_MAX, Recommended
from reports.sessions import ratio
from reports.trips import Sums, Trip, TripsQuery
from schema.db import Connection
from schema.spans import Span


class TripsPage(TripsQuery):
    """The list's parameters, fewer rows at once, and a trip to look at."""

    limit: Annotated[int, Field(ge=1, le=500)] = 20
    trip: Annotated[int | None, Field(ge=1, lt=2**63)] = None


class Step(NamedTuple):
    """One step of a trip. `of_previous`: over the step before it; `of_first`: over the first, for the bar."""

    title: str
    times: int
    of_previous: float | None
    of_first: float | None


def ask(recommended: Recommended, connection: Connection, span: Span, query: TripsPage) -> dict[str, Any]:
    """What the template shows."""
    listed = trips.trips(connection, span, query)
    one = None if query.trip is None else trips.of_one(connection, span, query.trip)
    return {
        "asked": query,
        "listed": listed,
        "one": one,
        "steps": steps(one or trips.of_all(connection, span)),
        "most": max((trip.impressions for trip in listed.rows), default=0),
        "positions": recommended.positions(connection, span).positions,
        "has_csv": span.days <= DAYS_MAX,
    }


def steps(of: Trip | Sums) -> list[Step]:
    """From shown to booked. Saves and contacts both follow a click: a step of either, and the booking of both."""
    contacts = of.whatsapp_contacts + of.phone_contacts
    named = (
        ("Shown", of.impressions, None),
        ("Clicked", of.clicks, of.impressions),
        ("Saved or asked about", of.saves + contacts, of.clicks),
        ("Booking begun", of.booking_starts, of.saves + contacts),
    )
    return [Step(name, n, before and ratio(n, before), ratio(n, of.impressions)) for name, n, before in named]
