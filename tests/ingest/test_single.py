"""The single-event API: what comes in, what it becomes, and how it is answered."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from ingest.dialects import single
from schema.event import Event
from tests.ingest.contexts import context
from tests.ingest.serving import Server, Site, drain, figures, select
from tests.make import SECOND, T0, uid

PATH = "/ingest-event"
VIEW = {"site_id": "default", "event_type": "page_view"}


def parsed(**more: Any) -> Event:
    (event,) = single.parse(VIEW | more, context()).events
    return event


def refused(**more: Any) -> tuple[str, str]:
    (refusal,) = single.parse(VIEW | more, context()).rejected
    return refusal.code, refusal.message


def test_an_event_in_full() -> None:
    event = parsed(
        path="/a", user_id="ann", timestamp="2025-12-31T23:59:59Z", colour="red", metadata={"colour": "blue"}
    )
    assert (event.event_type, event.path, event.claimed_user) == ("page_view", "/a", "ann")
    assert event.occurred_at == T0 - SECOND
    assert json.loads(event.metadata or "") == {"colour": "blue", "event.colour": "red"}
    assert event.session_id is event.anonymous_id is event.auth_user_id is None


@pytest.mark.parametrize("empty", [{}, {"path": None, "user_id": None, "timestamp": None}, {"path": "", "user_id": ""}])
def test_what_is_missing_is_the_root_anonymous_and_now(empty: dict[str, Any]) -> None:
    event = parsed(**empty)
    assert (event.path, event.claimed_user, event.occurred_at, event.metadata) == ("/", "anonymous", T0, None)


def test_a_user_may_be_a_number_and_a_type_anything() -> None:
    assert parsed(user_id=7).claimed_user == "7"
    assert parsed(event_type="Something new").event_type == "Something new"


def test_with_a_time_or_an_id_a_resend_is_the_same_event_whatever_the_key() -> None:
    assert parsed(timestamp=1767225600).event_id == parsed(timestamp=1767225600, write_key="k").event_id
    assert parsed(event_id="m-1").event_id == parsed(event_id="m-1", path="/b").event_id
    assert parsed().event_id != parsed().event_id


def test_an_id_that_is_no_uuid_is_kept() -> None:
    assert json.loads(parsed(event_id="order-77").metadata) == {"event_id": "order-77"}
    assert json.loads(parsed(event_id="a", metadata={"event_id": 1}).metadata) == {"event_id": 1, "event.event_id": "a"}
    assert parsed(event_id=str(uid(1))).metadata is None


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"event_type": None}, "event_type"),
        ({"event_type": ""}, "event_type"),
        ({"event_type": 7}, "event_type"),
        ({"event_type": "x" * 101}, "event_type"),
        ({"path": 7}, "path"),
        ({"path": "/" * 5000}, "path"),
        ({"user_id": ["ann"]}, "user_id"),
        ({"user_id": True}, "user_id"),
        ({"user_id": "x" * 501}, "user_id"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2020-01-01T00:00:00Z"}, "timestamp"),
        ({"timestamp": {}}, "timestamp"),
        ({"metadata": "x"}, "metadata"),
    ],
)
def test_a_wrong_field_is_named(more: dict[str, Any], field: str) -> None:
    _, message = refused(**more)
    assert message.startswith(f"{field}: ")


def test_a_missing_type_is_named_too() -> None:
    (refusal,) = single.parse({"site_id": "default"}, context()).rejected
    assert refusal.message == "event_type: is missing"
    assert refusal.event_type == "unknown"


def post(server: Server, body: Any, **more: Any) -> httpx.Response:
    return server.post(body if isinstance(body, bytes) else json.dumps(body).encode(), PATH, **more)


def test_it_is_answered_once_it_is_queued_and_counted_once_it_is_drained(site: Site) -> None:
    answer = post(site.server, {**VIEW, "site_id": site.site_id, "write_key": site.key})
    assert answer.status_code == 202
    assert answer.json() == {"success": True, "queued": True, "response_time_ms": answer.json()["response_time_ms"]}
    assert 0 <= answer.json()["response_time_ms"] < 10_000
    assert site.rows("event_type, path, claimed_user") == [("page_view", "/", "anonymous")]
    refusal = post(site.server, {"event_type": 1, "site_id": site.site_id, "write_key": site.key})
    assert (refusal.status_code, refusal.json()["code"]) == (400, "invalid_field")
    assert refusal.json().keys() == {"code", "message"}
    assert site.figures() == (1, 1, 0, 0)


def test_the_key_may_come_in_a_header_and_says_which_site(site: Site) -> None:
    for header in ("x-write-key", "apikey"):
        assert post(site.server, {"event_type": "click"}, headers={header: site.key}).status_code == 202
    assert len(site.rows("1")) == 2


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"event_type": "page_view"}, 400, "site_id"),
        ({**VIEW, "site_id": None}, 400, "site_id"),
        ({**VIEW, "site_id": ""}, 400, "site_id"),
        ({**VIEW, "site_id": 7}, 400, "site_id"),
        ([VIEW], 400, "event"),
        (b"{", 400, "JSON"),
        ({**VIEW, "site_id": "nowhere"}, 401, "key"),
    ],
)
def test_what_is_for_no_site_is_refused(shared: Server, body: Any, status: int, word: str) -> None:
    answer = post(shared, body)
    assert (answer.status_code, answer.json().keys()) == (status, {"code", "message"})
    assert word in answer.json()["message"]


def test_all_who_are_anonymous_are_one_user_however_they_come(shared: Server) -> None:
    for body in ({"path": "/a"}, {"path": "/b"}, {"user_id": "anonymous"}, {"user_id": "ann"}):
        assert post(shared, VIEW | body).status_code == 202
    drain(shared.settings)
    query = "SELECT count(*), count(DISTINCT user_id) FROM events WHERE site_id = 'default'"
    assert select(shared.settings, query) == [(4, 2)]
    assert figures(shared.settings).conserved
