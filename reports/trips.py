"""How trips do: what of them is shown, clicked, saved and asked about, and how long they are looked at. In:
month_to_date_trips and daily_trips. Out: a page of trips, sorted by any figure.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from reports.listing import ListQuery
from reports.sessions import ratio
from schema import packed
from schema.answers import Figures, Listed
from schema.db import Connection
from schema.spans import Span
from schema.sql import load

_SQL = load("figures")
Fields = dict[str, Any]

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
    """What happened to one trip."""

    impressions: int
    clicks: int
    saves: int
    whatsapp_contacts: int
    phone_contacts: int
    booking_starts: int
    dwell_ms: int
    dwells: int


_PLACES = {name: place for place, name in enumerate((*Sums._fields, "days"), packed.FIGURES)}
_SUMS = [_PLACES[name] for name in Sums._fields]
_FEW_DAYS = 3
_CONTACTS = ("whatsapp_contacts", "phone_contacts")
# What trips are sorted by: figures, or these over another, which is null where the other is 0.
_RANKS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "impressions": (("impressions",), None),
    "clicks": (("clicks",), None),
    "ctr": (("clicks",), "impressions"),
    "saves": (("saves",), None),
    "saveRate": (("saves",), "clicks"),
    "contacts": (_CONTACTS, None),
    "contactRate": (_CONTACTS, "clicks"),
    "bookingStarts": (("booking_starts",), None),
    "dwell": (("dwell_ms",), "dwells"),
}


def trips(connection: Connection, span: Span, query: TripsQuery) -> Trips:
    """The trips asked for. Of all of them is summed only what says which those are."""
    parts = _parts(connection, span)
    total, page = _page(parts, query)
    sums = packed.of_some(parts, page, _SUMS)
    ids = page.tolist()
    titles = connection.execute(_SQL["titles"], {"trip_ids": ids}, prepare=True).fetchall()
    told = {row[0]: row[1:] for row in titles}
    figures = map(Sums, *(figure.tolist() for figure in sums))
    rows = [_trip(one, of, *told.get(one, (None, None, None))) for one, of in zip(ids, figures, strict=True)]
    head = {**span.head, "total": total, "offset": query.offset, "sort": query.sort}
    return Trips.model_validate({**head, "rows": rows})


def of_one(connection: Connection, span: Span, trip_id: int) -> Trip:
    """One trip, also one of which there was nothing."""
    parts = _parts(connection, span)
    sums = packed.of_some(parts, np.array([trip_id]), _SUMS)
    told = connection.execute(_SQL["titles"], {"trip_ids": [trip_id]}).fetchone()
    figures = Sums(*(int(figure[0]) for figure in sums))
    return Trip.model_validate(_trip(trip_id, figures, *(told[1:] if told else (None, None, None))))


def of_all(connection: Connection, span: Span) -> Sums:
    """What happened to all of them together."""
    parts = _parts(connection, span)
    return Sums(*(sum(packed.total(row, place) for row in parts) for place in _SUMS))


def _parts(connection: Connection, span: Span) -> packed.Rows:
    """Packed rows that make up the span."""
    name = "trips_of_days" if span.days <= _FEW_DAYS else "trips"
    return connection.execute(_SQL[name], span.bounds, binary=True).fetchall()


def _page(parts: packed.Rows, query: TripsQuery) -> tuple[int, packed.Integers]:
    """How many trips there are, and the ids of those that are asked for."""
    figures, over = _RANKS[query.sort]
    names = [*dict.fromkeys(("days", "impressions", *figures, *([over] if over else [])))]
    ids, sums = packed.of_all(parts, [_PLACES[name] for name in names])
    of = dict(zip(names, sums, strict=True))
    shown = (of["days"] > 0) & (of["impressions"] >= query.impressions)
    rank = sum(of[name][shown] for name in figures)
    if over:
        rank = _over(rank, of[over][shown])
    first = _first(query.page["sign"] * rank, query.offset + query.limit)
    return int(shown.sum()), ids[shown][first[query.offset :]]


def _first(ranks: Any, many: int) -> packed.Integers:
    """The places of the first so many: ties by place, which is by id; null is NaN, which comes last. Of ten thousand in
    a quarter of the time that sorting them takes."""
    last = np.partition(ranks, many - 1)[many - 1] if many < len(ranks) else np.inf
    among = np.flatnonzero(~(ranks > last))
    return among[np.argsort(ranks[among], kind="stable")[:many]]


def _over(part: Any, whole: Any) -> Any:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole != 0)


def _trip(trip_id: int, sums: Sums, title_en: str | None, title_he: str | None, starts_on: date | None) -> Fields:
    """A Trip's fields."""
    return sums._asdict() | {
        "trip_id": trip_id,
        "title_en": title_en,
        "title_he": title_he,
        "starts_on": starts_on,
        "ctr": ratio(sums.clicks, sums.impressions),
        "save_rate": ratio(sums.saves, sums.clicks),
        "contact_rate": ratio(sums.whatsapp_contacts + sums.phone_contacts, sums.clicks),
        "dwell": ratio(sums.dwell_ms / 1000, sums.dwells),
    }
