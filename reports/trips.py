"""How trips do: what of them is shown, clicked, saved and asked about, and how long they are looked at. In:
daily_trips. Out: a page of trips, sorted by any figure.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from reports import listing
from reports.listing import ListQuery
from schema.answers import Figures, Listed
from schema.db import Connection
from schema.spans import Span

Sort = Literal[
    "impressions", "clicks", "ctr", "saves", "saveRate", "contacts", "contactRate", "bookingStarts", "dwell"
]  # fmt: skip


class TripsQuery(ListQuery):
    """Which trips in which order."""

    sort: Annotated[Sort, Field(description="Where it is null it comes last; ties by id.")] = "impressions"
    impressions: Annotated[
        int, Field(ge=0, le=10**12, description="Only trips shown so often: rates of few say little.")
    ] = 0


class Trip(Figures):
    """One trip, which is an occurrence's id. Titles and day are null where the catalogue has no such trip any more."""

    trip_id: int
    title_en: str | None
    title_he: str | None
    starts_on: date | None
    impressions: int
    clicks: int
    ctr: float | None = Field(description="Clicks over impressions")
    saves: int
    save_rate: float | None = Field(description="Saves over clicks")
    whatsapp_contacts: int
    phone_contacts: int
    contact_rate: float | None = Field(description="Contacts of both kinds over clicks")
    booking_starts: int
    dwell: float | None = Field(description="Seconds that one look at it took on average")


class Trips(Listed):
    """A page of trips."""

    sort: str
    rows: list[Trip]


def trips(connection: Connection, span: Span, query: TripsQuery) -> Trips:
    """The trips asked for."""
    asked = {"sort": query.sort, "impressions": query.impressions}
    head, found = listing.page(connection, "figures", "trips", span, query, **asked)
    rows = [Trip(**{name: _short(value) for name, value in row.items() if name != "total"}) for row in found]
    return Trips(**head, sort=query.sort, rows=rows)


def _short(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value
