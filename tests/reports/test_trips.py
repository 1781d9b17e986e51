"""Trips' figures, which lie packed, against sums that know nothing of it."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reports import trips
from schema import db, spans
from schema.event import Event
from schema.spans import SpanQuery
from tests.make import DAY, T0, canonical
from tests.reports.asking import Get
from tests.workers.pipeline import Pipeline

FIRST = date(2026, 1, 1)
KINDS = {
    "impression": "impressions",
    "click_trip": "clicks",
    "click": "clicks",
    "save_trip": "saves",
    "contact_whatsapp": "whatsappContacts",
    "contact_phone": "phoneContacts",
    "booking_start": "bookingStarts",
    "trip_dwell": "dwells",
}
SORTS: dict[str, Callable[[dict[str, int]], float | None]] = {
    "impressions": lambda of: of["impressions"],
    "clicks": lambda of: of["clicks"],
    "ctr": lambda of: over(of["clicks"], of["impressions"]),
    "saves": lambda of: of["saves"],
    "saveRate": lambda of: over(of["saves"], of["clicks"]),
    "contacts": lambda of: of["whatsappContacts"] + of["phoneContacts"],
    "contactRate": lambda of: over(of["whatsappContacts"] + of["phoneContacts"], of["clicks"]),
    "bookingStarts": lambda of: of["bookingStarts"],
    "dwell": lambda of: over(of["dwell_ms"] / 1000, of["dwells"]),
}


def over(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def happened(seed: int, count: int = 900, days: int = 9) -> list[Event]:
    """Trips of which few are seen much, with ids of one to eight bytes, and days on which none is."""
    chance = random.Random(seed)
    ids = [*range(1, 30), 300, 70_000, 2**31, 2**33, 2**62, 2**63 - 1]
    return [
        canonical(
            n,
            event_type=chance.choice([*KINDS, *["impression"] * 12]),
            trip_id=ids[int(len(ids) * chance.random() ** 2)],
            occurred_at=T0 + chance.choice([0, 1, 3, 4, days - 1]) * DAY + chance.randrange(DAY),
            metadata=f'{{"duration_seconds": {chance.choice([0, 0.2, 1_000_000, 12.345])}}}',
        )
        for n in range(count)
    ]


def sums(events: list[Event], start: date, end: date) -> dict[int, dict[str, int]]:
    """What happened to each trip on these days."""
    found: defaultdict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys([*KINDS.values(), "dwell_ms"], 0))
    for event in events:
        if event.trip_id and start <= datetime.fromtimestamp(event.occurred_at / 1e6, UTC).date() <= end:
            figures = found[event.trip_id]
            figures[KINDS[event.event_type]] += 1
            if event.event_type == "trip_dwell":
                figures["dwell_ms"] += round(1000 * json.loads(event.metadata or "{}")["duration_seconds"])
    return found


def ranked(of: dict[int, dict[str, int]], sort: str, sign: int, impressions: int) -> list[int]:
    """Ids in the order asked for: where there is no figure last, ties by id."""
    shown = {trip: figures for trip, figures in of.items() if figures["impressions"] >= impressions}

    def key(trip: int) -> tuple[bool, float, int]:
        rank = SORTS[sort](shown[trip])
        return rank is None, sign * (rank or 0), trip

    return sorted(shown, key=key)


def test_trips_of_random_days_are_what_their_events_sum_up_to_in_every_order(pipe: Pipeline, get: Get) -> None:
    events = happened(1)
    pipe.send(*events, received_at=T0 + 9 * DAY)
    pipe.roll_up()
    chance = random.Random(2)
    for sort in SORTS:
        for order, sign in (("asc", 1), ("desc", -1)):
            start, end = sorted(FIRST + timedelta(days=chance.randrange(9)) for _ in range(2))
            least, limit, offset = chance.choice([0, 0, 4]), chance.choice([3, 100]), chance.choice([0, 2, 50])
            asked = f"sort={sort}&order={order}&start={start}&end={end}&impressions={least}"
            answer = get(f"/api/stats/trips?{asked}&limit={limit}&offset={offset}").json()
            of = sums(events, start, end)
            wanted = ranked(of, sort, sign, least)
            assert (answer["total"], [one["tripId"] for one in answer["rows"]]) == (
                len(wanted), wanted[offset : offset + limit]), asked  # fmt: skip
            for one in answer["rows"]:
                check(one, of[one["tripId"]])


@given(
    st.lists(st.one_of(st.integers(-3, 3), st.just(float("nan"))), max_size=30).map(
        lambda ranks: np.array(ranks, float)
    ),
    st.integers(1, 32),
)
def test_the_first_of_many_are_those_of_a_whole_stable_sort(ranks: Any, many: int) -> None:
    assert trips._first(ranks, many).tolist() == np.argsort(ranks, kind="stable")[:many].tolist()


def test_one_trip_and_all_of_them_together_sum_up_too(pipe: Pipeline) -> None:
    events = happened(3, 200)
    pipe.send(*events, received_at=T0 + 9 * DAY)
    pipe.roll_up()
    start, end = FIRST, FIRST + timedelta(days=4)
    of, days = sums(events, start, end), {"start": str(start), "end": str(end)}
    with db.reading(pipe.settings, db.Scope("default")) as connection:
        span = spans.of(connection, "default", SpanQuery.model_validate(days), datetime(2026, 1, 10, tzinfo=UTC))
        for trip, figures in of.items():
            check(trips.of_one(connection, span, trip).model_dump(by_alias=True), figures)
        assert trips.of_one(connection, span, 999).impressions == 0
        together = trips.of_all(connection, span)
    for name, figure in zip(("impressions", "clicks", "saves", "whatsappContacts"), together, strict=False):
        assert figure == sum(figures[name] for figures in of.values()), name
    assert together.dwell_ms == sum(figures["dwell_ms"] for figures in of.values())


def check(row: dict[str, Any], figures: dict[str, int]) -> None:
    """Each figure of a row, and each that is one over another."""
    for name in set(KINDS.values()) - {"dwells"}:
        assert row[name] == figures[name], name
    for name in ("ctr", "saveRate", "contactRate", "dwell"):
        rate = SORTS[name](figures)
        assert row[name] == (None if rate is None else round(rate, 6)), name
