"""Page analytics: sessions, views and clicks of somebody's page become events; what is wrong is refused by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.dialects import analytics
from schema.errors import InvalidBody, TooLarge
from schema.event import derived_id
from tests.ingest.contexts import context
from tests.ingest.serving import Site
from tests.make import SECOND, T0, uid

PATH = "/api/analytics/ingest"
SESSION = {"session_id": "s-1", "user_code": "guide7", "share_code": "sc", "contact_id": 12, "device_type": "mobile"}


def part(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": {name: value for name, value in (SESSION | data).items() if value is not ...}}


def parsed(*parts: Any, **more: Any) -> Any:
    return analytics.parse({"events": list(parts), **more}, context())


def test_each_type_becomes_its_event_and_unknown_fields_are_kept() -> None:
    session, view, click = parsed(
        part("session", referrer="https://a.example/"),
        part("page_view", page_type="trip", page_url="https://b.example/t?utm_source=x", scroll=3),
        part("click", click_target="whatsapp", click_category="contact", session_id=str(uid(2)), anonymous_id="v-1"),
    ).events
    session_id = derived_id("default", "session", "s-1")
    assert session.event_id == derived_id("default", "session_start", session_id.bytes)
    assert (session.event_type, session.referrer, session.device_type) == (
        "session_start",
        "https://a.example/",
        "mobile",
    )
    assert {one.owner_code for one in (session, view, click)} == {"guide7"}
    assert {(one.share_code, one.contact_id) for one in (session, view, click)} == {("sc", "12")}
    assert session.session_id == view.session_id == view.anonymous_id == session_id
    assert (view.event_type, view.page_type, view.path, view.utm) == ("page_view", "trip", "/t", '{"utm_source":"x"}')
    assert json.loads(view.metadata) == {"scroll": 3, "session_id": "s-1"}
    assert (click.event_type, click.click_target, click.click_category) == ("click", "whatsapp", "contact")
    assert (click.session_id, click.anonymous_id) == (uid(2), derived_id("default", "visitor", "v-1"))
    assert json.loads(click.metadata) == {"anonymous_id": "v-1"}


def test_a_sessions_own_id_and_a_second_code_are_kept() -> None:
    (session,) = parsed(part("session", event_id=str(uid(1)), owner_code="anna")).events
    assert session.owner_code == "anna"
    assert json.loads(session.metadata) == {"session_id": "s-1", "event_id": str(uid(1)), "user_code": "guide7"}


def test_times_are_the_clients_and_a_resend_is_the_same_event() -> None:
    one = part("click", timestamp="2025-12-31T23:59:59Z")
    first, second = parsed(one).events, parsed(one).events
    assert first == second
    assert first[0].occurred_at == T0 - SECOND
    assert parsed(part("click")).events != parsed(part("click")).events


WRONG = (
    (7, "event: Expected `object`"),
    ({"type": "click"}, "data: is missing"),
    (part("session", session_id=...), "data.session_id: is missing"),
    (part("page_view", session_id=""), "data.session_id: is empty"),
    (part("page_view", session_id="x" * 501), "data.session_id: "),
    (part("view"), "type: must be session, page_view or click"),
    (part("click", click_target=["a"]), "data.click_target: "),
    (part("click", contact_id=True), "data.contact_id: "),
    (part("click", page_type="a\0"), "Text may not hold"),
    (part("click", timestamp="soon"), "A time must be"),
)


def test_what_is_wrong_is_refused_by_itself_and_its_field_is_named() -> None:
    found = parsed(*(item for item, _ in WRONG), part("click"))
    assert len(found.events) == 1
    assert [refusal.at for refusal in found.rejected] == list(range(len(WRONG)))
    for refusal, (_, message) in zip(found.rejected, WRONG, strict=True):
        assert refusal.message.startswith(message)


@pytest.mark.parametrize("body", [[], "x", {}, {"events": {}}, {"events": None}])
def test_what_is_no_batch_is_refused_whole(body: Any) -> None:
    with pytest.raises(InvalidBody):
        analytics.parse(body, context())


def test_more_than_a_hundred_are_too_many() -> None:
    with pytest.raises(TooLarge):
        parsed(*[part("click")] * 101)


def test_a_session_writes_its_row_and_one_session_start_however_often_it_is_sent(site: Site) -> None:
    body = {"events": [part("session"), part("page_view"), part("x")], "write_key": site.key}
    for _ in range(2):
        answer = site.server.post(json.dumps(body).encode(), PATH)
        assert answer.status_code == 202
        assert answer.json()["accepted"] == 2
        (refusal,) = answer.json()["rejected"]
        assert (refusal["index"], refusal["code"]) == (2, "invalid_field")
    rows = sorted(site.rows("event_type, owner_code, session_id"))
    assert [row[0] for row in rows] == ["page_view", "page_view", "session_start"]
    assert {row[1:] for row in rows} == {("guide7", derived_id(site.site_id, "session", "s-1"))}
    assert site.figures() == (4, 3, 1, 0)
