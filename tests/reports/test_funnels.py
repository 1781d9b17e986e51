"""GET /api/stats/funnel: what it counts, beside a plain count; whose, of which days, and what it refuses."""

from __future__ import annotations

import random
from collections import defaultdict

import psycopg
import pytest

from reports import chains, funnels
from schema.event import Event
from schema.registry import key_hash, new_key
from tests.make import DAY, MINUTE, SECOND, T0, uid
from tests.reports.asks import Get
from tests.workers.people import arrive, said, sent
from tests.workers.pipeline import ROBOT, Pipeline, visit
from tests.workers.retaining import retain
from workers import erasure, people
from workers.people import named
from workers.unlinking import unlink

JANUARY = {"start": "2026-01-01", "end": "2026-01-31"}
STEPS = "page_view,search_submit,click_trip"


def counts(ask: Get, steps: str = STEPS, **query: str) -> list[int]:
    found = ask("funnel", steps=steps, **JANUARY | query)
    assert found.status_code == 200, found.text
    return [step["reached"] for step in found.json()["steps"]]


def walks(pipe: Pipeline, *walks: str) -> None:
    """Each visitor does these types, ten minutes apart: p(age_view), s(earch), c(lick), - nothing."""
    types = {"p": "page_view", "s": "search_submit", "c": "click_trip"}
    events: list[Event] = []
    for visitor, walk in enumerate(walks):
        for n, kind in enumerate(walk):
            if kind != "-":
                at = T0 + n * 10 * MINUTE
                events.append(visit(len(events), visitor, event_type=types[kind], occurred_at=at))
    pipe.send(*events, received_at=T0 + DAY)
    pipe.roll_up()


def test_steps_count_in_order_and_with_what_they_lost(pipe: Pipeline, ask: Get) -> None:
    walks(pipe, "psc", "pcs", "p--s-c", "scp", "ppp")
    shown = ask("funnel", steps=STEPS, **JANUARY).json()
    assert (shown["siteId"], shown["by"], shown["windowSeconds"], shown["start"]) == (
        "default", "session", 7 * 86_400, "2026-01-01")  # fmt: skip
    assert shown["asOf"] is not None and not shown["isMoving"]
    assert shown["steps"] == [
        {"step": 1, "eventType": "page_view", "reached": 5, "dropped": 0, "ofFirst": 1.0, "ofPrevious": 1.0,
         "secondsP50": 0.0},
        {"step": 2, "eventType": "search_submit", "reached": 3, "dropped": 2, "ofFirst": 0.6, "ofPrevious": 0.6,
         "secondsP50": 1200.0},
        {"step": 3, "eventType": "click_trip", "reached": 2, "dropped": 1, "ofFirst": 0.4, "ofPrevious": 0.666667,
         "secondsP50": 2100.0},
    ]  # fmt: skip


def test_all_steps_lie_within_the_window_and_the_days(pipe: Pipeline, ask: Get) -> None:
    walks(pipe, "psc", "p--s-c", "p-psc")
    assert counts(ask) == [3, 3, 3]
    assert counts(ask, window="20m") == [3, 2, 2]
    assert counts(ask, window="20m", steps="page_view,click_trip") == [3, 2]
    assert counts(ask, start="2026-01-02") == [0, 0, 0]


def test_a_step_may_be_one_of_several_types_and_a_type_come_twice(pipe: Pipeline, ask: Get) -> None:
    walks(pipe, "ps", "pc", "pp", "p")
    assert counts(ask, "page_view,search_submit|click_trip") == [4, 2]
    assert counts(ask, "page_view,page_view") == [4, 1]
    assert counts(ask, "page_view, page_view|search_submit") == [4, 2]


def test_the_same_moment_will_do_unless_a_type_comes_twice(pipe: Pipeline, ask: Get) -> None:
    same = [visit(n, 1, event_type=kind, occurred_at=T0) for n, kind in enumerate(("click_trip", "page_view"))]
    pipe.send(*same)
    pipe.roll_up()
    assert counts(ask, "page_view,click_trip") == [1, 1]
    assert counts(ask, "page_view,click_trip,page_view") == [1, 0, 0]


def test_a_user_may_take_several_sessions_and_a_bot_takes_no_step(pipe: Pipeline, ask: Get) -> None:
    for n, kind in enumerate(("page_view", "search_submit")):
        pipe.send(visit(n, 1, event_type=kind, session_id=uid(2, n), occurred_at=T0 + n * SECOND))
        pipe.send(visit(10 + n, 2, event_type=kind), user_agent=ROBOT)
    pipe.roll_up()
    assert counts(ask, "page_view,search_submit") == [1, 0]
    assert counts(ask, "page_view,search_submit", by="user") == [1, 1]


def test_whoever_signs_in_is_one_user_at_once_with_who_they_were_and_two_again_when_that_is_undone(
    pipe: Pipeline, ask: Get
) -> None:
    kinds = ("page_view", "search_submit", "click_trip")
    seen = [said(n, n, event_type=kind, at=n * 86_400) for n, kind in enumerate(kinds)]  # a day and a browser each
    arrive(pipe, *(sent(event, received_at=T0 + 3 * DAY) for event in seen))
    pipe.roll_up()
    assert counts(ask, by="user") == [1, 0, 0]
    late = {"event_type": "user.login", "at": 3 * 86_400 + 60}
    arrive(pipe, *(sent(said(10 + n, n, "ann", **late), received_at=T0 + 4 * DAY) for n in (0, 1)))
    assert counts(ask, by="user") == [1, 1, 0]
    arrive(pipe, sent(said(12, 2, "ann", **late), received_at=T0 + 4 * DAY))
    assert counts(ask, by="user") == [1, 1, 1]
    assert counts(ask, by="user", window="1d") == [1, 1, 0]
    assert counts(ask) == [1, 0, 0]
    pipe.roll_up()
    assert unlink(pipe.connection, "default", str(uid(3, 2)), None, by="a test") == 1
    assert counts(ask, by="user") == [1, 1, 0]


def test_a_session_that_began_before_the_days_is_its_users_and_one_that_crosses_midnight_is_one(
    pipe: Pipeline, ask: Get
) -> None:
    shared = {"anonymous_id": uid(3, 1), "session_id": uid(2, 1)}
    moments = (("page_view", T0 - 9 * DAY), ("search_submit", T0 + DAY - 1), ("click_trip", T0 + DAY + 1))
    pipe.send(
        *(visit(n, 1, event_type=kind, occurred_at=at, **shared) for n, (kind, at) in enumerate(moments)),
        visit(9, 1, event_type="save_trip", occurred_at=T0 + DAY + 2 * MINUTE + 17, session_id=uid(2, 9)),
        received_at=T0 + 2 * DAY,
    )
    pipe.roll_up()
    steps = "search_submit,click_trip,save_trip"
    for by, reached in (("session", [1, 1, 0]), ("user", [1, 1, 1])):
        assert counts(ask, steps, by=by) == reached
        assert counts(ask, steps, by=by, start="2026-01-02") == [0, 0, 0]
    found = ask("funnel", steps=steps, by="user", **JANUARY).json()["steps"]
    assert [step["secondsP50"] for step in found] == [0.0, 0.0, 120.0]  # 2 and 120,000,018 microseconds


def test_moments_are_told_apart_to_the_microsecond(pipe: Pipeline, ask: Get) -> None:
    moments = ((1, "page_view", 1001), (1, "click_trip", 1000), (2, "page_view", 1000), (2, "click_trip", 1001))
    pipe.send(*(visit(n, who, event_type=kind, occurred_at=T0 + at) for n, (who, kind, at) in enumerate(moments)))
    pipe.roll_up()
    assert counts(ask, "page_view,click_trip") == [2, 1]


def test_what_was_not_rolled_up_is_not_in_yet_and_the_answer_says_as_of_when(pipe: Pipeline, ask: Get) -> None:
    walks(pipe, "p")
    pipe.send(visit(90, 2), received_at=T0 + DAY)
    shown = ask("funnel", steps=STEPS, **JANUARY).json()
    assert ([step["reached"] for step in shown["steps"]], shown["isMoving"]) == ([1, 0, 0], True)
    pipe.roll_up()
    after = ask("funnel", steps=STEPS, **JANUARY).json()
    assert ([step["reached"] for step in after["steps"]], after["isMoving"]) == ([2, 0, 0], False)
    assert after["asOf"] > shown["asOf"]


def test_days_whose_events_are_gone_answer_as_they_did_also_when_somebody_of_them_is_erased(
    pipe: Pipeline, ask: Get
) -> None:
    walks(pipe, "psc", "p-s", "p")
    before = {by: counts(ask, by=by) for by in ("session", "user")}
    assert before == {"session": [3, 2, 1], "user": [3, 2, 1]}
    retain(pipe)
    assert pipe.value("SELECT count(*) FROM events") == 0
    assert {by: counts(ask, by=by) for by in before} == before
    people.request(pipe.connection, "default", named(anonymous_id=str(uid(3, 0))), by="a test")
    erasure.run_due(pipe.settings)
    assert pipe.rows("SELECT date FROM daily_walks WHERE position(uuid_send(%s) IN session_ids) > 0", uid(2, 0)) == []
    assert {by: counts(ask, by=by) for by in before} == before
    assert pipe.problems() == []


def test_a_site_counts_its_own_only(pipe: Pipeline, ask: Get) -> None:
    key = new_key("read")
    pipe.connection.execute("INSERT INTO sites (site_id, name, time_zone) VALUES ('b', 'B', 'Asia/Kolkata')")
    insert = "INSERT INTO site_keys (key_hash, site_id, role) VALUES (%s, 'b', 'read')"
    pipe.connection.execute(insert, (key_hash(key),))
    walks(pipe, "ps", "ps")
    pipe.send(visit(90, 1, occurred_at=T0 - DAY // 4), site_id="b")
    pipe.roll_up()
    of_b = ask("funnel", {"x-read-key": key}, steps="page_view,search_submit", **JANUARY).json()
    assert (of_b["siteId"], [step["reached"] for step in of_b["steps"]]) == ("b", [0, 0])
    of_b = ask("funnel", {"x-read-key": key}, steps="page_view,search_submit", start="2025-12-31", days=1).json()
    assert [step["reached"] for step in of_b["steps"]] == [1, 0]
    assert ask("funnel", {"x-read-key": "none"}, steps=STEPS).status_code == 401


def test_many_walks_count_as_they_do_one_by_one(pipe: Pipeline, ask: Get) -> None:
    luck, kinds = random.Random(5), ("page_view", "search_submit", "click_trip", "save_trip")
    events = [
        visit(n, luck.randrange(40), event_type=luck.choice(kinds), occurred_at=T0 + luck.randrange(600) * MINUTE)
        for n in range(600)
    ]
    for n in range(0, 600, 100):
        pipe.send(*events[n : n + 100], received_at=T0 + DAY)
    pipe.roll_up()
    walked: defaultdict[object, list[tuple[int, str]]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event.occurred_at):
        walked[event.session_id].append((event.occurred_at, event.event_type))
    for window in (10, 60, 600):
        expected = [
            sum(came(walk, kinds[: n + 1], window * MINUTE) for walk in walked.values()) for n in range(len(kinds))
        ]
        assert counts(ask, ",".join(kinds), window=f"{window}m") == expected, window
    assert 0 < expected[-1] < expected[0]


def came(walk: list[tuple[int, str]], steps: tuple[str, ...], window: int) -> bool:
    """Whether some start is followed by the next steps, each as soon as it may, in time."""
    for start, kind in walk:
        at: int | None = start if kind == steps[0] else None
        for step in steps[1:]:
            at = None if at is None else min((t for t, kind in walk if kind == step and t >= at), default=None)
        if at is not None and at - start <= window:
            return True
    return False


def test_as_csv_each_step_is_a_row_and_unchanged_figures_are_not_sent_again(pipe: Pipeline, ask: Get) -> None:
    walks(pipe, "ps", "p")
    found = ask("funnel", steps="page_view,search_submit", format="csv", **JANUARY)
    assert found.text.splitlines() == [
        "step,eventType,reached,dropped,ofFirst,ofPrevious,secondsP50",
        "1,page_view,2,0,1.0,1.0,0.0",
        "2,search_submit,1,1,0.5,0.5,600.0",
    ]
    tag = {"if-none-match": found.headers["etag"]}
    again = ask("funnel", tag, steps="page_view,search_submit", format="csv", **JANUARY)
    assert (again.status_code, again.text) == (304, "")


WRONG = (
    ({}, "steps"),
    ({"steps": "page_view"}, "steps"),
    ({"steps": "page_view,"}, "steps"),
    ({"steps": "page_view,nothing_like_it"}, "steps"),
    ({"steps": "page_view,\0"}, "steps"),
    ({"steps": "page_view,click|"}, "steps"),
    ({"steps": ",".join(["click"] * 11)}, "steps"),
    ({"steps": STEPS, "window": "7"}, "window"),
    ({"steps": STEPS, "window": "0s"}, "window"),
    ({"steps": STEPS, "window": "401d"}, "window"),
    ({"steps": STEPS, "by": "visitor"}, "by"),
    ({"steps": STEPS, "days": "401"}, "days"),
    ({"steps": STEPS, "windov": "7d"}, "windov"),
)


def test_a_wrong_parameter_is_named(ask: Get) -> None:
    for query, field in WRONG:
        found = ask("funnel", **query)
        assert found.status_code == 422, query
        assert [one["field"] for one in found.json()["fields"]] == [field], query


def test_too_much_to_hold_and_too_long_to_wait_say_to_narrow_the_days(
    pipe: Pipeline, ask: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks(pipe, "ps", "ps")
    monkeypatch.setattr(funnels, "HITS_MAX", 3)
    shown = ask("funnel", steps="page_view,search_submit", **JANUARY).json()
    assert (shown["fields"][0]["field"], "3 events" in shown["message"]) == ("days", True)
    monkeypatch.setattr(funnels, "HITS_MAX", 4)
    assert counts(ask, "page_view,search_submit,page_view") == [2, 2, 0]
    monkeypatch.setattr(funnels, "SESSIONS_MAX", 1)
    shown = ask("funnel", steps="page_view,search_submit", **JANUARY).json()
    assert (shown["fields"][0]["field"], "1 sessions" in shown["message"]) == ("days", True)
    monkeypatch.setattr(funnels, "SESSIONS_MAX", 2)

    def cancelled(*_: object, **__: object) -> None:
        raise psycopg.errors.QueryCanceled

    monkeypatch.setattr(chains, "reached", cancelled)
    shown = ask("funnel", steps="page_view,search_submit", **JANUARY).json()
    assert (shown["code"], shown["fields"][0]["field"]) == ("invalid_request", "days")


def test_who_finds_others_counting_is_told_to_come_again(ask: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(funnels, "SECONDS_MAX", 0.01)
    with funnels._one_of_few(), funnels._one_of_few():
        found = ask("funnel", steps=STEPS)
    assert (found.status_code, found.json()["code"], "retry-after" in found.headers) == (503, "busy", True)
    assert ask("funnel", steps=STEPS).status_code == 200
