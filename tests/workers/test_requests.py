"""Answered requests become rows once, whatever is delivered how often, and cost no neighbour and no event's count."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from schema import stream
from schema.asked import Asked
from schema.event import MICROSECOND
from tests.make import DAY, T0, asked, batch, canonical, shown, uid
from tests.workers.pipeline import ROBOT, Pipeline
from workers import requests, store

LETTERS = "SELECT batch_id, event_id, events, reason FROM dead_letters ORDER BY batch_id"
STATE = (
    "SELECT (SELECT count(*) FROM recommendation_requests), (SELECT count(*) FROM batches),"
    " (SELECT sum(batches)::int FROM drained), (SELECT count(*) FROM dead_letters)"
)


def ids(pipe: Pipeline) -> list[Any]:
    return [row[0] for row in pipe.rows("SELECT request_id FROM recommendation_requests ORDER BY 1")]


def test_a_row_holds_what_was_asked_and_shown(pipe: Pipeline) -> None:
    pipe.ask(asked(1, results=shown(90, 41, 40, propensity=0.5), relaxed_count=1, user_agent="curl/8"))
    shown_as = [
        {"trip_id": 100 + n, "template_id": 10 + n, "position": n, "score": s, "is_relaxed": False, "propensity": 0.5}
        for n, s in ((1, 90), (2, 41), (3, 40))
    ]
    assert pipe.row("SELECT * FROM recommendation_requests") == (
        *(uid(5, 1), "default", datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC), uid(2), uid(3)),
        {"selected_countries": ["IT"], "budget": "900.50"},
        *(["geography", "budget"], "focused_search", "rules", 1, shown_as),
        *(2, 1, 2, 90, 57.0, 40, 1500, False, pipe.value("SELECT user_agent_id FROM user_agents")),
    )


def test_an_answer_without_results_visitor_or_filters_is_a_row_too(pipe: Pipeline) -> None:
    pipe.ask(asked(1, results=[], filters=[], preferences="{}", session_id=None, anonymous_id=None))
    scores = "SELECT top_score, mean_score, min_score, session_id, anonymous_id, filters FROM recommendation_requests"
    assert pipe.row(scores) == (None, None, None, None, None, [])


def test_a_request_delivered_often_is_one_row(pipe: Pipeline) -> None:
    pipe.ask(asked(1), asked(1), asked(2))
    pipe.ask(asked(1), lane=1)
    assert ids(pipe) == [uid(5, 1), uid(5, 2)]
    pipe.connection.execute("DELETE FROM batches")  # receipts that were forgotten: the row's own key is left
    pipe.ask(asked(1))
    assert ids(pipe) == [uid(5, 1), uid(5, 2)]


def test_it_promises_no_event_and_changes_no_figure_of_events(pipe: Pipeline) -> None:
    pipe.ask(asked(1))
    assert stream.accepted(pipe.redis, ["default"]) == {"default": 0}
    assert pipe.row("SELECT accepted, stored, duplicate, dead FROM batches") == (0, 0, 0, 0)
    assert pipe.row("SELECT stored, duplicate, dead FROM drained") == (0, 0, 0)
    assert pipe.value("SELECT count(*) FROM sessions") == pipe.value("SELECT count(*) FROM users") == 0
    assert pipe.problems() == []


CRASHES: dict[str, tuple[object, str]] = {
    "before the rows": (requests, "store"),
    "before COMMIT": (store, "_settle"),
    "between COMMIT and XDEL": (stream, "forget"),
}


@pytest.mark.parametrize("crash", CRASHES.values(), ids=CRASHES.keys())
def test_a_drain_that_dies_leaves_each_request_once(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch, crash: tuple[object, str]
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*crash, die)
        with pytest.raises(KeyboardInterrupt):
            pipe.ask(asked(1), asked(2))
    assert (len(ids(pipe)) > 0) == (crash[0] is stream)
    pipe.drain()
    assert ids(pipe) == [uid(5, 1), uid(5, 2)]
    assert pipe.value("SELECT count(*) FROM dirty_recommendation_days WHERE date = '2026-01-01'") == 1
    assert stream.backlog(pipe.redis, [0])[0].batches == 0
    assert pipe.problems() == []


def test_kinds_mixed_in_one_chunk_are_each_stored_as_what_they_are(pipe: Pipeline) -> None:
    garbage = {"v": "1", "k": "request", "s": "default", "b": uid(5, 9).bytes, "n": 0, "d": b"garbage"}
    for n in (1, 2):
        pipe.accept(batch(canonical(n), n=n))
        stream.append_asked(pipe.redis, 0, asked(n))
    pipe.redis.xadd("ev:0", garbage)
    pipe.redis.xadd("ev:0", {"v": "1", "s": "default", "b": uid(4, 9).bytes, "n": 3, "d": b"garbage"})
    pipe.redis.hincrby("accepted:default", "events", 3)
    assert pipe.drain() == 8  # two events and three that cannot be told, two requests and one that cannot be read
    assert ids(pipe) == [uid(5, 1), uid(5, 2)]
    why = "the entry cannot be read"
    assert pipe.rows(LETTERS) == [(uid(4, 9), None, 3, why), (uid(5, 9), None, 0, why)]
    assert pipe.row("SELECT transactions, batches, stored, dead FROM drained") == (1, 6, 2, 3)
    assert pipe.problems() == []


POISON: dict[str, dict[str, Any]] = {
    "NUL in preferences": {"preferences": '{"a": "\\u0000"}'},
    "preferences that are no JSON": {"preferences": "{"},
    "NUL in a text": {"policy_id": "a\0"},
    "NUL in the user agent": {"user_agent": "a\0"},
    "a search of no known type": {"search_type": "guess"},
    "a score beyond its column": {"results": shown(2**15)},
    "a count beyond every integer": {"total_candidates": 2**63},
    "a time beyond its column": {"response_time_us": 2**31},
}


def test_a_poisonous_request_is_kept_with_its_reason_and_costs_no_neighbour(pipe: Pipeline) -> None:
    good, letters = [], {}
    for n, (kind, wrong) in enumerate(POISON.items()):
        good += [uid(5, 10 * n), uid(5, 10 * n + 2)]
        bad = asked(10 * n + 1, **wrong)
        pipe.accept(batch(canonical(n), n=n))
        try:
            pipe.ask(asked(10 * n), bad, asked(10 * n + 2))
        except Exception as error:
            pytest.fail(f"{kind} blocks the lane: {error!r}")
        letters[kind] = pipe.row(
            "SELECT event_id, events, raw, state, reason FROM dead_letters WHERE batch_id = %s", bad.request_id
        )
        assert letters[kind][:-1] == (None, 0, bad.pack(), "dead"), kind
        receipt = pipe.row("SELECT accepted, dead, verdicts FROM batches WHERE batch_id = %s", bad.request_id)
        assert receipt == (0, 0, [{"index": None, "verdict": "dead", "reason": letters[kind][-1]}]), kind
    assert ids(pipe) == good
    assert pipe.value("SELECT count(*) FROM events") == len(POISON)
    assert pipe.problems() == []


def test_a_request_of_which_drains_die_is_buried_unseen(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_connection: object, found: list[Asked], _dictionaries: object) -> None:
        if any(one.request_id == uid(5, 1) for one in found):
            raise KeyboardInterrupt

    monkeypatch.setattr(requests, "store", die)
    stream.append_asked(pipe.redis, 0, asked(1))
    deaths = 0
    while stream.backlog(pipe.redis, [0])[0].batches:
        try:
            pipe.drain()
        except KeyboardInterrupt:
            deaths += 1
        assert deaths < 20, "its lane stays blocked"
    assert deaths > 5
    ((request_id, _, events, reason),) = pipe.rows(LETTERS)
    assert (request_id, events) == (uid(5, 1), 0)
    assert "drains died" in reason


def test_a_robot_that_asks_is_flagged(pipe: Pipeline) -> None:
    pipe.ask(asked(1, user_agent=ROBOT), asked(2, user_agent="curl/8"), asked(3))
    assert pipe.rows("SELECT is_bot FROM recommendation_requests ORDER BY request_id") == [(True,), (False,), (False,)]


def test_months_that_are_missing_are_made(pipe: Pipeline) -> None:
    pipe.ask(*(asked(n, requested_at=T0 - n * 31 * DAY) for n in range(3)))
    assert len(ids(pipe)) == 3
    months = pipe.rows("SELECT DISTINCT tableoid::regclass::text FROM recommendation_requests ORDER BY 1")
    assert months == [(f"recommendation_requests_{month}",) for month in ("2025_10", "2025_12", "2026_01")]


def marks(pipe: Pipeline, site_id: str = "default") -> list[date]:
    rows = pipe.rows("SELECT DISTINCT date FROM dirty_recommendation_days WHERE site_id = %s ORDER BY 1", site_id)
    return [on for (on,) in rows]


@pytest.fixture
def just_now(pipe: Pipeline) -> Callable[[], int]:
    """Postgres' clock, in microseconds since 1970."""
    return lambda: int(pipe.value("SELECT (extract(epoch FROM now()) * 1000000)::bigint"))


def test_a_request_marks_its_days_up_to_now_in_its_sites_zone(pipe: Pipeline, just_now: Callable[[], int]) -> None:
    at = just_now() - 3 * DAY
    zones = {"east": "Pacific/Kiritimati", "west": "Pacific/Pago_Pago"}
    for n, (site_id, zone) in enumerate(zones.items()):
        pipe.connection.execute("INSERT INTO sites (site_id, name, time_zone) VALUES (%s, '', %s)", (site_id, zone))
        pipe.ask(asked(n, site_id=site_id, requested_at=at))
        day = "SELECT (to_timestamp(%s) AT TIME ZONE %s)::date"
        found = marks(pipe, site_id)
        assert found[0] == pipe.value(day, at / MICROSECOND, zone)
        assert [(on - found[0]).days for on in found] in ([0, 1, 2, 3], [0, 1, 2, 3, 4])


def test_an_event_marks_its_day_only_where_it_speaks_of_a_request(pipe: Pipeline) -> None:
    pipe.send(canonical(1), canonical(2, recommendation_request_id=uid(5, 1), occurred_at=T0 + 40 * DAY))
    assert marks(pipe) == [date(2026, 2, 10)]


def test_preferences_are_kept_as_they_came(pipe: Pipeline) -> None:
    text = json.dumps({"year": "all", "themes": [1, 2], "הערה": "שלום"})
    pipe.ask(asked(1, preferences=text))
    assert pipe.value("SELECT preferences FROM recommendation_requests") == json.loads(text)


def test_requests_alone_fill_a_chunk(pipe: Pipeline) -> None:
    pipe.settings = pipe.settings.model_copy(update={"drain_events_max": 2})
    pipe.ask(*(asked(n) for n in range(5)))
    assert pipe.row(STATE) == (5, 5, 5, 0)
    assert pipe.value("SELECT transactions FROM drained") == 3


def test_requests_that_come_as_fast_as_they_are_drained_do_not_end_the_draining(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    coming, store_requests = iter((2, 3)), requests.store

    def meanwhile_another_comes(*given: Any) -> None:
        store_requests(*given)
        for n in itertools.islice(coming, 1):
            stream.append_asked(pipe.redis, 0, asked(n))

    monkeypatch.setattr(requests, "store", meanwhile_another_comes)
    stream.append_asked(pipe.redis, 0, asked(1))
    assert pipe.drain() == 3
    assert ids(pipe) == [uid(5, 1), uid(5, 2), uid(5, 3)]
