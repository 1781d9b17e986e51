"""Days of recommendations against an oracle that knows nothing of SQL, in each site's own zone; rebuilt bit for bit."""

from __future__ import annotations

import json
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from schema import histogram, sketch
from schema.asked import Asked
from schema.event import MICROSECOND, Event
from tests.make import DAY, HOUR, T0, asked, canonical, shown, uid
from tests.workers.pipeline import ROBOT, Pipeline, pipeline
from workers import rollup, verify

ZONES = {
    "utc": ("UTC", date(2026, 3, 29)),
    "jerusalem": ("Asia/Jerusalem", date(2026, 3, 27)),
    "new_york": ("America/New_York", date(2026, 11, 1)),
    "havana": ("America/Havana", date(2026, 3, 8)),  # where clocks change at midnight
    "santiago": ("America/Santiago", date(2026, 4, 5)),
}
ACTIONS = {
    "impression": 0, "click_trip": 1, "click": 1, "contact_whatsapp": 2, "contact_phone": 2,
    "booking_start": 3,
}  # fmt: skip
EVENTS = ("events", "event_ids", "sessions", "users", "identities", "trip_interactions")
ROW = "SELECT * FROM recommendation_daily WHERE site_id = %s ORDER BY date"


def day_of(at: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(at // MICROSECOND, UTC).astimezone(zone).date()


def midnight(on: date, zone: ZoneInfo) -> int:
    return round(datetime(on.year, on.month, on.day, tzinfo=zone).timestamp()) * MICROSECOND


def questions(seed: int, around: int, site_id: str = "default", count: int = 40) -> list[Asked]:
    """Requests within two days of a moment, every fourth of them at it, or just before."""
    chance = random.Random(seed)
    found = []
    for n in range(1000 * seed, 1000 * seed + count):
        away = chance.choice([0, -1]) if n % 4 == 0 else chance.randrange(-2 * DAY, 2 * DAY)
        scores = sorted((chance.randrange(-20, 130) for _ in range(chance.randrange(4))), reverse=True)
        themes = chance.sample(range(1, 9), chance.randrange(3))
        wanted = {"selected_countries": chance.sample(["IT", "IL", "JP"], 2), "preferred_theme_ids": themes}
        found.append(
            asked(
                n,
                site_id=site_id,
                requested_at=around + away,
                preferences=json.dumps(wanted | ({"preferred_type_id": 3} if n % 2 else {"preferred_type_id": None})),
                filters=chance.sample(["geography", "themes", "type", "date"], chance.randrange(4)),
                results=shown(*scores),
                relaxed_count=chance.randrange(2),
                response_time_us=int(10 ** chance.uniform(0, 7)),
                session_id=chance.choice([None, *(uid(2, k) for k in range(5))]),
                user_agent=ROBOT if chance.random() < 0.1 else None,
            )
        )
    return found


def reactions(seed: int, to: Sequence[Asked], around: int, count: int = 80) -> list[Event]:
    """Events about these requests, and some about none of them."""
    chance = random.Random(seed)
    return [
        canonical(
            n,
            event_type=chance.choice([*ACTIONS, "booking_complete", "page_view"]),
            occurred_at=around + (chance.choice([0, -1]) if n % 4 == 0 else chance.randrange(-2 * DAY, 2 * DAY)),
            trip_id=chance.choice([None, 101, 102, 103, 999]),
            position=chance.choice([None, None, 0, 1, 2, 70]),
            recommendation_request_id=chance.choice([None, uid(5, 999_999), *(one.request_id for one in to)]),
            user_agent=ROBOT if chance.random() < 0.1 else None,
        )
        for n in range(1000 * seed, 1000 * seed + count)
    ]


def searched(day: Sequence[Asked]) -> dict[str, Any]:
    found: dict[str, Counter[str]] = {"countries": Counter(), "themes": Counter(), "types": Counter()}
    for one in day:
        wanted = json.loads(one.preferences)
        found["countries"].update(wanted["selected_countries"])
        found["themes"].update(map(str, wanted["preferred_theme_ids"]))
        found["types"].update(["3"] if wanted["preferred_type_id"] else [])
    return {kind: dict(counts) for kind, counts in found.items() if counts}


def reacted(day: Sequence[Event], known: dict[Any, Asked]) -> tuple[list[int], list[list[int]]]:
    totals, places = [0, 0, 0, 0], [[0, 0] for _ in range(50)]
    for event in day:
        action = ACTIONS.get(event.event_type)
        if action is None:
            continue
        totals[action] += 1
        results = known[event.recommendation_request_id].results
        logged = next((one.position for one in results if one.trip_id == event.trip_id), None)
        place = logged if event.position is None else event.position
        if place is not None and action < 2:
            places[min(max(place, 1), 50) - 1][action] += 1
    while places and places[-1] == [0, 0]:
        places.pop()
    return totals, places


def oracle(site_id: str, questions: Sequence[Asked], events: Sequence[Event], zone: ZoneInfo) -> list[tuple[Any, ...]]:
    people = {one.request_id: one for one in questions if one.user_agent != ROBOT}
    about = [e for e in events if e.user_agent != ROBOT and e.recommendation_request_id in people]
    asked_on = {key: day_of(one.requested_at, zone) for key, one in people.items()}
    acted_on = [(day_of(e.occurred_at, zone), e) for e in about]
    acted_on = [(on, e) for on, e in acted_on if on >= asked_on[e.recommendation_request_id]]
    rows = []
    for on in sorted({*asked_on.values(), *(on for on, _ in acted_on)}):
        day = [one for key, one in people.items() if asked_on[key] == on]
        tops = [max(r.score for r in one.results) for one in day if one.results]
        times = [one.response_time_us for one in day]
        buckets = Counter(bisect_right(histogram.EDGES, time) for time in times)
        used = Counter(name for one in day for name in one.filters)
        totals, places = reacted([e for at, e in acted_on if at == on], people)
        if not day and not any(totals):
            continue
        rows.append(
            (
                *(site_id, on, len(day), sum(one.relaxed_count > 0 for one in day)),
                *(sum(not one.results for one in day), sum(top < 50 for top in tops)),
                sketch.of({str(one.session_id) for one in day if one.session_id}),
                *(sum(times), max(times, default=0), histogram.of(buckets.items()), sum(tops), len(tops)),
                *(dict(used), searched(day), *totals, places),
            )
        )
    return rows


def lately(pipe: Pipeline) -> int:
    """A midnight of last week: a request marks every day from its own to today."""
    return int(pipe.value("SELECT extract(epoch FROM date_trunc('day', now(), 'UTC'))::bigint")) * MICROSECOND - 4 * DAY


def test_every_day_is_what_the_oracle_says_also_where_clocks_change(pipe: Pipeline) -> None:
    expected = {}
    for n, (site_id, (zone_name, on)) in enumerate(ZONES.items(), 1):
        zone = ZoneInfo(zone_name)
        pipe.connection.execute(
            "INSERT INTO sites (site_id, name, time_zone) VALUES (%s, '', %s)", (site_id, zone_name)
        )
        around = midnight(on, zone)
        requests = questions(n, around, site_id)
        events = reactions(n, requests, around)
        pipe.ask(*requests[:20])
        pipe.send(*events, site_id=site_id)
        pipe.ask(*requests[20:], lane=1)
        expected[site_id] = oracle(site_id, requests, events, zone)
        assert len(expected[site_id]) >= 4
    pipe.roll_up()
    for site_id, rows in expected.items():
        assert pipe.rows(ROW, site_id) == rows, site_id
    assert pipe.problems() == []


@pytest.fixture
def busy(pipe: Pipeline) -> Pipeline:
    """A site in another zone and the default one, with requests and reactions that are rolled up."""
    pipe.connection.execute("INSERT INTO sites (site_id, name, time_zone) VALUES ('shop', '', 'Asia/Jerusalem')")
    for n, site_id in enumerate(("default", "shop"), 1):
        requests = questions(n, T0, site_id)
        pipe.ask(*requests)
        pipe.send(*reactions(n, requests, T0), site_id=site_id)
    pipe.roll_up()
    return pipe


def everything(pipe: Pipeline) -> list[tuple[Any, ...]]:
    return pipe.rows("SELECT * FROM recommendation_daily ORDER BY site_id, date")


def test_a_rebuild_gives_the_same_bytes(busy: Pipeline) -> None:
    before = everything(busy)
    assert len(before) >= 6
    busy.connection.execute("UPDATE recommendation_daily SET clicks = clicks + 1, sessions = '' WHERE site_id = 'shop'")
    busy.connection.execute("DELETE FROM recommendation_daily WHERE site_id = 'default'")
    problems = busy.problems()
    assert any("recommendation_daily" in said and "is missing" in said for said in problems)
    busy.send(canonical(5000, event_type="click", recommendation_request_id=uid(5, 5000)))  # of nobody's request
    verify.rebuild(busy.settings, lambda *_: None)
    assert everything(busy) == before
    assert busy.value("SELECT count(*) FROM dirty_recommendation_days") == 0
    assert busy.problems() == []


def test_a_difference_is_told_in_words_and_not_in_bytes(busy: Pipeline) -> None:
    busy.connection.execute(
        "UPDATE recommendation_daily SET sessions = '\\x00' WHERE site_id = 'shop' AND date = '2026-01-01'"
    )
    assert busy.problems() == ["recommendation_daily site_id=shop, date=2026-01-01: sessions: the bytes differ"]


def test_days_do_not_depend_on_the_order_of_arrival(pipe: Pipeline) -> None:
    around = lately(pipe)
    requests = questions(1, around)
    events = reactions(1, requests, around)
    found = []
    for n in range(3):
        chance = random.Random(n)
        work: list[Asked | Event] = [*requests, *events]
        chance.shuffle(work)
        for part in (work[:30], work[30:]):
            for one in part:
                if isinstance(one, Asked):
                    pipe.ask(one, lane=chance.randrange(2))
            pipe.send(*(one for one in part if isinstance(one, Event)))
            pipe.roll_up()
        found.append(everything(pipe))
        assert pipe.problems() == []
        for table in (*EVENTS, "batches", "drained", "recommendation_requests", "recommendation_daily"):
            pipe.connection.execute(f"DELETE FROM {table}")
        pipe.redis.delete("accepted:default")
    assert found[0] == found[1] == found[2]
    assert len(found[0]) >= 4


def test_a_request_that_comes_after_its_events_of_the_next_day_were_rolled_up_still_counts_them(
    pipe: Pipeline,
) -> None:
    pipe.send(canonical(1, event_type="click", occurred_at=T0 + HOUR, recommendation_request_id=uid(5, 1)))
    pipe.roll_up()
    assert everything(pipe) == []
    pipe.ask(asked(1, requested_at=T0 - 1))
    pipe.roll_up()
    counted = pipe.rows("SELECT date, requests, clicks FROM recommendation_daily ORDER BY date")
    assert counted == [(date(2025, 12, 31), 1, 0), (date(2026, 1, 1), 0, 1)]
    assert pipe.problems() == []


def test_another_sites_request_counts_for_nobody(pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('shop', '')")
    pipe.ask(asked(1, site_id="shop"))
    pipe.send(canonical(1, event_type="click", recommendation_request_id=uid(5, 1)))
    pipe.roll_up()
    assert pipe.rows("SELECT site_id, requests, clicks FROM recommendation_daily") == [("shop", 1, 0)]


def test_a_day_that_lost_its_requests_loses_its_row(busy: Pipeline) -> None:
    busy.connection.execute("DELETE FROM recommendation_requests")
    busy.connection.execute("INSERT INTO dirty_recommendation_days SELECT site_id, date FROM recommendation_daily")
    assert busy.roll_up().request_days >= 6
    assert everything(busy) == []


def test_preferences_of_any_shape_stop_no_rollup(pipe: Pipeline) -> None:
    shapes = ("[]", "null", '"x"', '{"selected_countries": {"a": 1}}', '{"selected_countries": "IT"}', "[[1]]")
    pipe.ask(*(asked(n, preferences=text) for n, text in enumerate(shapes)))
    pipe.roll_up()
    assert pipe.row("SELECT requests, searches FROM recommendation_daily") == (6, {"countries": {"IT": 1}})


def test_a_drain_that_commits_during_a_rollup_leaves_its_mark_for_the_next(pipe: Pipeline) -> None:
    at = lately(pipe)
    pipe.ask(asked(1, requested_at=at))
    with pipeline(pipe.settings) as other:

        def drain_meanwhile(done: int, _total: int) -> None:
            if done == 1:
                other.ask(asked(2, requested_at=at))

        rollup.run_once(pipe.connection, drain_meanwhile)
    assert pipe.value("SELECT requests FROM recommendation_daily") == 1
    pipe.roll_up()
    assert pipe.value("SELECT requests FROM recommendation_daily") == 2
