"""GET /api/stats/events: which events are shown, in which order and how page by page, and what is refused."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import Any

import pytest

from tests.make import DAY, HOUR, MINUTE, SECOND, T0, uid
from tests.reports.asks import Get
from tests.workers.pipeline import ROBOT, Pipeline, visit

JANUARY = {"start": "2026-01-01", "end": "2026-01-31"}


def numbers(ask: Get, **query: Any) -> list[int]:
    """Which of the test's events are shown, by their number."""
    found = ask("events", **JANUARY | query)
    assert found.status_code == 200, found.text
    return [number(event) for event in found.json()["events"]]


def number(event: dict[str, Any]) -> int:
    return int(event["eventId"][-6:], 16)


def test_an_event_is_shown_with_all_that_it_said(pipe: Pipeline, ask: Get) -> None:
    said = {
        "trip_id": 7, "source": "email", "position": 2, "score": 0.5, "path": "/a", "referrer": "https://x.test/",
        "page_url": "https://shop.test/a?b=1#c", "device_type": "mobile", "screen": "390x844",
        "owner_code": "o", "share_code": "s", "contact_id": "c", "click_target": "t", "click_category": "k",
        "page_type": "p", "claimed_user": "me", "utm": '{"source":"g"}', "metadata": '{"q":{"a":[1]}}',
    }  # fmt: skip
    batch_id = pipe.send(visit(1, 1, recommendation_request_id=uid(5), **said), country="IL")
    (shown,) = ask("events", **JANUARY).json()["events"]
    user_id = pipe.value("SELECT user_id FROM events")
    assert shown == {
        "eventId": str(uid(1, 1)), "eventType": "page_view", "occurredAt": "2026-01-01T00:00:01Z",
        "receivedAt": "2026-01-01T01:00:00Z", "sessionId": str(uid(2, 1)), "visitor": str(uid(3, 1)),
        "userId": user_id, "authUserId": None, "claimedUser": "me", "isBot": False, "tripId": 7,
        "recommendationRequestId": str(uid(5)), "source": "email", "position": 2, "score": 0.5, "path": "/a",
        "pageUrl": "https://shop.test/a?b=1#c", "referrer": "https://x.test/", "deviceType": "mobile",
        "screen": "390x844", "country": "IL", "ownerCode": "o", "shareCode": "s", "contactId": "c", "clickTarget": "t",
        "clickCategory": "k", "pageType": "p", "utm": {"source": "g"}, "metadata": {"q": {"a": [1]}},
        "batchId": str(batch_id),
    }  # fmt: skip


def test_pages_follow_each_other_though_moments_are_shared_and_more_is_stored(pipe: Pipeline, ask: Get) -> None:
    pipe.send(*[visit(n, n % 3, occurred_at=T0 + n // 5 * SECOND) for n in range(23)])
    every = numbers(ask)
    assert every == sorted(range(23), key=lambda n: (n // 5, n), reverse=True)
    paged: list[int] = []
    asked: dict[str, Any] = {"limit": 4}
    while True:
        page = ask("events", **JANUARY | asked).json()
        paged += map(number, page["events"])
        if page["next"] is None:
            break
        asked["after"] = page["next"]
        pipe.send(visit(1000 + len(paged), 1, occurred_at=T0 + HOUR))
    assert paged == every


def test_each_filter_keeps_what_fits_and_all_have_to(pipe: Pipeline, ask: Get) -> None:
    pipe.send(
        visit(1, 1, metadata='{"q":"rome","n":5,"in":{"a":true},"in.b":"x"}'),
        visit(2, 1, event_type="click", session_id=uid(2, 9), metadata='{"q":"oslo"}'),
        visit(3, 2, event_type="click_trip", claimed_user="bob"),
        visit(4, 2, occurred_at=T0 + DAY),
    )
    assert numbers(ask, type="click") == [2]
    assert numbers(ask, type="click, click_trip") == [3, 2]
    assert numbers(ask, session=uid(2, 9)) == [2]
    assert numbers(ask, visitor=uid(3, 2)) == [4, 3]
    assert numbers(ask, user="bob") == [3]
    assert numbers(ask, user_id=pipe.value("SELECT user_id FROM events WHERE event_id = %s", uid(1, 4))) == [4, 3]
    assert numbers(ask, metadata="q=rome") == [1]
    assert numbers(ask, metadata=["q=rome", "n=5", "in.a=true", "in.b=x"]) == [1]
    assert numbers(ask, metadata=["q=rome", "n=6"]) == []
    assert numbers(ask, type="page_view", visitor=uid(3, 2)) == [4]
    assert numbers(ask, end="2026-01-01") == [3, 2, 1]
    assert numbers(ask, visitor=uid(3, 7)) == numbers(ask, user="nobody") == []


def test_a_signed_in_users_events_are_shown_with_those_from_before(pipe: Pipeline, ask: Get) -> None:
    pipe.send(visit(1, 1), visit(2, 1, auth_user_id="ann", occurred_at=T0 + MINUTE))
    pipe.send(visit(3, 2, occurred_at=T0 + MINUTE), visit(4, 3, claimed_user="ann", occurred_at=T0 + MINUTE))
    assert numbers(ask, user="ann") == [2, 1]
    assert numbers(ask, visitor=uid(3, 1)) == [2, 1]


def test_bots_are_shown_on_request(pipe: Pipeline, ask: Get) -> None:
    pipe.send(visit(1, 1))
    pipe.send(visit(2, 2), user_agent=ROBOT)
    assert numbers(ask) == [1]
    assert numbers(ask, bots="true") == [2, 1]
    assert numbers(ask, bots="true", visitor=uid(3, 2)) == [2]


def test_moments_may_stand_in_place_of_days(pipe: Pipeline, ask: Get) -> None:
    pipe.connection.execute("UPDATE sites SET time_zone = 'Asia/Kolkata'")
    pipe.send(*[visit(n, 1, occurred_at=T0 + n * HOUR) for n in range(4)], received_at=T0 + DAY)
    asked = {"since": "2026-01-01T01:00:00Z", "until": "2026-01-01T05:00:00+02:00"}
    shown = ask("events", **asked).json()
    assert [number(event) for event in shown["events"]] == [2, 1]
    assert (shown["start"], shown["since"], shown["until"]) == (
        "2026-01-01", "2026-01-01T01:00:00Z", "2026-01-01T03:00:00Z")  # fmt: skip
    assert len(ask("events", since="2026-01-01T00:00:00Z").json()["events"]) == 4
    assert ask("events", until="2026-01-30T00:00:00Z").json()["since"] == "2025-12-31T00:00:00Z"


def test_moments_in_the_past_do_not_move_and_are_of_the_days_that_they_were(pipe: Pipeline, ask: Get) -> None:
    pipe.send(visit(1, 1))
    pipe.move("default", "Asia/Kathmandu", date(2026, 3, 1))
    long_ago = ask("events", since="2026-01-01T19:00:00Z", until="2026-01-01T20:00:00Z").json()
    assert (long_ago["start"], long_ago["end"], long_ago["isMoving"]) == ("2026-01-01", "2026-01-01", False)
    assert ask("events", until="2030-01-01T00:00:00Z").json()["isMoving"] is True


def test_as_csv_metadata_is_one_cell_and_runs_nothing(pipe: Pipeline, ask: Get) -> None:
    pipe.send(visit(1, 1, path="=cmd()", metadata='{"=a":"=1+1"}'))
    found = ask("events", {"accept": "text/csv"}, **JANUARY)
    (row,) = csv.DictReader(io.StringIO(found.text))
    assert (row["path"], row["metadata"], row["utm"]) == ("'=cmd()", '{"=a":"=1+1"}', "")
    assert (row["eventId"], row["visitor"]) == (str(uid(1, 1)), str(uid(3, 1)))
    assert list(row)[:3] == ["eventId", "eventType", "occurredAt"] and "=a" not in found.text.splitlines()[0]


def test_another_sites_events_are_none(pipe: Pipeline, ask: Get) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('b', 'B')")
    pipe.send(visit(1, 1), site_id="b")
    assert numbers(ask) == numbers(ask, visitor=uid(3, 1)) == numbers(ask, session=uid(2, 1)) == []


WRONG = (
    ({"type": "nothing_like_it"}, "type"),
    ({"type": ""}, "type"),
    ({"type": "a\0"}, "type"),
    ({"user": "a\0"}, "user"),
    ({"user_id": "bob"}, "user_id"),
    ({"session": "x"}, "session"),
    ({"visitor": "x"}, "visitor"),
    ({"metadata": "q"}, "metadata"),
    ({"metadata": "=x"}, "metadata"),
    ({"metadata": ["a=b"] * 11}, "metadata"),
    ({"limit": 0}, "limit"),
    ({"limit": 501}, "limit"),
    ({"after": "yesterday"}, "after"),
    ({"since": "1767225600"}, "since"),
    ({"since": "2026-01-01T00:00:00"}, "since"),
    ({"since": "2026-01-01T00:00:00Z", "days": 3}, "since"),
    ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
    ({"until": "0001-01-01T00:00:00+14:00"}, "until"),
)


@pytest.mark.parametrize(("query", "field"), WRONG)
def test_a_wrong_parameter_is_named(ask: Get, query: dict[str, Any], field: str) -> None:
    found = ask("events", **query)
    assert (found.status_code, found.json()["code"]) == (422, "invalid_request"), found.text
    assert found.json()["fields"][0]["field"].startswith(field)
