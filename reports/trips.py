"""How trips do: what of them is shown, clicked, saved and asked about, and how long they are looked at. In:
daily_trips. Out: a page of trips, sorted by any figure.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from reports import packed
from reports.listing import ListQuery
from reports.sessions import ratio
from schema.answers import Figures, Listed
from schema.db import Connection
from schema.spans import Span
from schema.sql import load

_SQL = load("figures")

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


class Sums(NamedTuple):
    """What happened to one trip, or, as columns, to each of many."""

    impressions: Any
    clicks: Any
    saves: Any
    whatsapp_contacts: Any
    phone_contacts: Any
    booking_starts: Any
    dwell_ms: Any
    dwells: Any


# What a trip is sorted by: a figure, or one over another, which is null where the other is 0.
_RANKS: dict[str, Callable[[Sums], Any]] = {
    "impressions": lambda of: of.impressions,
    "clicks": lambda of: of.clicks,
    "ctr": lambda of: _over(of.clicks, of.impressions),
    "saves": lambda of: of.saves,
    "saveRate": lambda of: _over(of.saves, of.clicks),
    "contacts": lambda of: of.whatsapp_contacts + of.phone_contacts,
    "contactRate": lambda of: _over(of.whatsapp_contacts + of.phone_contacts, of.clicks),
    "bookingStarts": lambda of: of.booking_starts,
    "dwell": lambda of: _over(of.dwell_ms, of.dwells),
}


def trips(connection: Connection, span: Span, query: TripsQuery) -> Trips:
    """The trips asked for."""
    days = connection.execute(_SQL["trips"], span.bounds, binary=True).fetchall()
    ids, figures = packed.summed(days, len(Sums._fields))
    sums = Sums(*figures)
    shown = np.flatnonzero(sums.impressions >= query.impressions)
    rank = _RANKS[query.sort](Sums(*(figure[shown] for figure in sums))) * query.page["sign"]
    page = shown[np.argsort(rank, kind="stable")[query.offset : query.offset + query.limit]]  # null, NaN, comes last
    of_page = zip(ids[page].tolist(), map(Sums, *(figure[page].tolist() for figure in sums)), strict=True)
    told = {row[0]: row[1:] for row in connection.execute(_SQL["titles"], {"trip_ids": ids[page].tolist()})}
    rows = [_trip(trip_id, one, *told.get(trip_id, (None, None, None))) for trip_id, one in of_page]
    return Trips(**span.head, total=len(shown), offset=query.offset, sort=query.sort, rows=rows)


def _over(part: Any, whole: Any) -> Any:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole != 0)


def _trip(trip_id: int, sums: Sums, title_en: str | None, title_he: str | None, starts_on: date | None) -> Trip:
    return Trip(
        trip_id=trip_id,
        title_en=title_en,
        title_he=title_he,
        starts_on=starts_on,
        impressions=sums.impressions,
        clicks=sums.clicks,
        ctr=ratio(sums.clicks, sums.impressions),
        saves=sums.saves,
        save_rate=ratio(sums.saves, sums.clicks),
        whatsapp_contacts=sums.whatsapp_contacts,
        phone_contacts=sums.phone_contacts,
        contact_rate=ratio(sums.whatsapp_contacts + sums.phone_contacts, sums.clicks),
        booking_starts=sums.booking_starts,
        dwell=ratio(sums.dwell_ms / 1000, sums.dwells),
    )
