"""Trips' figures, which lie packed, against sums that know nothing of it."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from reports import packed, trips
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


def test_numbers_are_packed_as_narrow_as_the_largest_allows_and_come_out_as_they_went_in(pipe: Pipeline) -> None:
    for width, most in ((1, 255), (2, 256), (2, 65_535), (4, 65_536), (4, 2**32 - 1), (8, 2**32), (8, 2**63 - 1)):
        numbers = [0, 1, most // 2, most]
        together = "SELECT string_agg(packed(n, %s), ''::bytea ORDER BY n) FROM unnest(%s::bigint[]) AS n"
        raw = pipe.value(together, most, numbers)
        assert len(raw) == 4 * width, most
        assert pipe.value("SELECT array_agg(n) FROM unpacked(%s, 4) AS n", raw) == numbers
        ids, (figures,) = packed.of_all([(4, raw, raw)], [2])
        assert ids.tolist() == figures.tolist() == numbers
        (some,) = packed.of_some([(4, raw, raw)], ids[::-1], [2])
        assert some.tolist() == numbers[::-1]
        assert most > 2**62 or packed.total((4, raw, raw), 2) == sum(numbers)


def test_a_figure_that_nothing_has_takes_no_bytes(pipe: Pipeline) -> None:
    assert pipe.value("SELECT packed(0, 0)") == b""
    assert pipe.value("SELECT array_agg(n) FROM unpacked('', 3) AS n") == [0, 0, 0]
    row = (3, bytes([1, 2, 9]), b"")
    assert [one.tolist() for one in packed.of_all([row], [2])[1]] == [[0, 0, 0]]
    assert [one.tolist() for one in packed.of_some([row], np.array([2, 7]), [2])] == [[0, 0]]


def test_sums_are_the_same_where_ids_are_counted_in_place_and_where_they_are_sorted() -> None:
    chance = random.Random(7)
    days = [sorted(chance.sample(range(400), 150)) for _ in range(9)]
    figures = [[chance.choice([0, 1, 2**32 - 1]) for _ in day] for day in days]

    def summed(more: int) -> tuple[list[int], list[int]]:
        """With that added to every id."""
        rows = [
            (150, np.array([one + more for one in day], ">i8").tobytes(), np.array(of, ">u4").tobytes())
            for day, of in zip(days, figures, strict=True)
        ]
        ids, (sums,) = packed.of_all(rows, [2])
        return (ids - more).tolist(), sums.tolist()

    expected: defaultdict[int, int] = defaultdict(int)
    for day, of in zip(days, figures, strict=True):
        for one, figure in zip(day, of, strict=True):
            expected[one] += figure
    assert summed(0) == summed(2**40) == (sorted(expected), [expected[one] for one in sorted(expected)])


def test_sums_of_no_days_are_none() -> None:
    ids, figures = packed.of_all([], [2, 3, 4])
    assert (len(ids), [len(one) for one in figures]) == (0, [0, 0, 0])
