"""POST /api/session/start: a session begins, goes on, lapses. Time passes by moving back when one was last seen."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis

from tests import make
from tests.ingest.serving import SESSION, Server, Site, drain, select, serving

VISITOR = str(make.uid(3))
TIMEOUT_MS = 1800 * 1000
MINUTE_MS = 60_000


def start(site: Site, **more: Any) -> dict[str, Any]:
    answer = site.server.post(json.dumps({"anonymous_id": VISITOR, "write_key": site.key, **more}).encode(), SESSION)
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"session_id", "resumed", "expires_in_seconds"}
    assert answer.json()["expires_in_seconds"] == 1800
    return answer.json()


class Live:
    """What Redis remembers of a site's sessions."""

    def __init__(self, site: Site) -> None:
        self.key, self.visitors = f"live:{site.site_id}", f"visitor:{site.site_id}"
        self.redis = redis.Redis.from_url(site.server.settings.redis_url)

    def seen(self, session_id: str) -> float | None:
        return self.redis.zscore(self.key, UUID(session_id).bytes)

    def see(self, session_id: str, ms_ago: int) -> None:
        self.redis.zadd(self.key, {UUID(session_id).bytes: time.time_ns() // 1_000_000 - ms_ago})


@pytest.fixture
def live(site: Site) -> Any:
    found = Live(site)
    yield found
    found.redis.close()


def test_a_first_visit_begins_a_session_and_is_told_its_id(site: Site, live: Live) -> None:
    answer = start(site)
    assert not answer["resumed"]
    assert UUID(answer["session_id"]).version == 7
    assert live.seen(answer["session_id"]) is not None
    assert live.redis.hgetall(live.visitors) == {UUID(VISITOR).bytes: UUID(answer["session_id"]).bytes}


def test_a_visitor_who_comes_back_goes_on_with_or_without_saying_the_id(site: Site) -> None:
    first = start(site)
    for more in ({}, {"session_id": first["session_id"]}, {"session_id": None}):
        assert start(site, **more) == first | {"resumed": True}
    assert start(site, anonymous_id=str(make.uid(3, 1)))["session_id"] != first["session_id"]


def test_a_fresh_id_of_the_client_is_kept(site: Site) -> None:
    own = str(make.uid(2, 7))
    assert start(site, session_id=own) == {"session_id": own, "resumed": False, "expires_in_seconds": 1800}
    assert start(site, session_id=own)["resumed"]
    assert start(site)["session_id"] == own


@pytest.mark.parametrize("says_its_id", [True, False])
def test_a_session_lapses_after_its_time_out_and_not_before(site: Site, live: Live, says_its_id: bool) -> None:
    first = start(site)
    more = {"session_id": first["session_id"]} if says_its_id else {}
    live.see(first["session_id"], TIMEOUT_MS - MINUTE_MS)
    assert start(site, **more) == first | {"resumed": True}
    live.see(first["session_id"], TIMEOUT_MS + 1)
    second = start(site, **more)
    assert not second["resumed"]
    assert second["session_id"] != first["session_id"]
    assert start(site) == second | {"resumed": True}


def test_resuming_keeps_a_session_alive(site: Site, live: Live) -> None:
    first = start(site)["session_id"]
    live.see(first, 20 * MINUTE_MS)
    before = live.seen(first)
    start(site)
    assert (live.seen(first) or 0) > (before or 0) + 19 * MINUTE_MS


def test_a_session_that_was_forgotten_is_begun_again_under_its_id_or_a_new_one(site: Site, live: Live) -> None:
    first = start(site)["session_id"]
    live.redis.delete(live.key)
    assert start(site, session_id=first) == {"session_id": first, "resumed": False, "expires_in_seconds": 1800}
    live.redis.delete(live.key)
    assert start(site)["session_id"] != first


def test_events_slide_the_time_out_once_they_are_stored(site: Site, live: Live) -> None:
    first = start(site)["session_id"]
    unknown = str(make.uid(2, 9))
    drain(site.server.settings)
    live.see(first, 20 * MINUTE_MS)
    before = live.seen(first)
    site.post(make.event(0, session_id=first), make.event(1, session_id=unknown))
    assert live.seen(first) == before
    drain(site.server.settings)
    assert (live.seen(first) or 0) > (before or 0) + 19 * MINUTE_MS
    assert live.seen(unknown) is None


def test_a_late_drain_never_shortens_a_session(site: Site, live: Live) -> None:
    first = start(site)["session_id"]
    site.post(make.event(0, session_id=first))
    live.see(first, -5 * MINUTE_MS)
    ahead = live.seen(first)
    drain(site.server.settings)
    assert live.seen(first) == ahead


SAID = {
    "device_type": "mobile",
    "referrer": "https://search.example/?q=trip",
    "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Mobile/15E148 Safari/604.1",
    "screen": "390x844",
    "share_code": "sh-1",
    "contact_id": "c-1",
    "page_url": "https://shop.example/trips?utm_source=mail",
}


def test_the_drain_writes_the_session_row_with_what_the_browser_said(site: Site) -> None:
    session_id = UUID(start(site, **SAID, user_code="own-1")["session_id"])
    drain(site.server.settings)
    query = """
        SELECT anonymous_id, device_type, referrer, user_agent, owner_code, share_code, contact_id, event_count,
            page_view_count, started_at = last_seen_at, user_id IS NOT NULL, host(ip_prefix)
        FROM readable_sessions WHERE site_id = %s AND session_id = %s"""
    said = (SAID["device_type"], SAID["referrer"], SAID["user_agent"], "own-1", "sh-1", "c-1")
    expected = (make.uid(3), *said, 1, 0, True, True, "127.0.0.0")
    assert select(site.server.settings, query, site.site_id, session_id) == [expected]
    stored = site.rows("event_type, session_id, path, utm, screen, e.category::text")
    assert stored == [("session_start", session_id, "/trips", {"utm_source": "mail"}, "390x844", "user_activity")]


def test_a_session_start_is_stored_once_however_often_it_is_sent(site: Site, live: Live) -> None:
    own = str(make.uid(2, 5))

    async def at_once() -> list[httpx.Response]:
        content = json.dumps({"anonymous_id": VISITOR, "session_id": own, "write_key": site.key})
        async with site.server.client() as client:
            return await asyncio.gather(*(client.post(SESSION, content=content) for _ in range(20)))

    answers = site.server.run(at_once())
    assert {answer.json()["session_id"] for answer in answers} == {own}
    live.redis.delete(live.key)
    start(site, session_id=own)
    totals = site.figures()
    assert totals.stored == 1
    assert totals.conserved
    assert totals.accepted == 1 + sum(not answer.json()["resumed"] for answer in answers)


def test_resuming_queues_nothing(site: Site) -> None:
    first = start(site)
    start(site)
    start(site, session_id=first["session_id"])
    assert site.figures() == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({}, "anonymous_id"),
        ({"anonymous_id": None}, "anonymous_id"),
        ({"anonymous_id": "x"}, "anonymous_id"),
        ({"anonymous_id": VISITOR, "session_id": ""}, "session_id"),
        ({"anonymous_id": VISITOR, "device_type": 3}, "device_type"),
        ({"anonymous_id": VISITOR, "referrer": "x" * 4097}, "referrer"),
        ({"anonymous_id": VISITOR, "screen": "x" * 101}, "screen"),
        ({"anonymous_id": VISITOR, "owner_code": "\0"}, "U+0000"),
        ([VISITOR], "object"),
        (VISITOR, "object"),
        (None, "object"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_by_the_field_s_name(shared: Server, said: Any, names: str) -> None:
    answer = shared.post(json.dumps(said).encode(), SESSION)
    assert answer.status_code == 400
    assert answer.json().keys() == {"code", "message"}
    assert names in answer.json()["message"]


def test_keys_and_sites_are_asked_for_as_for_events(site: Site) -> None:
    for more in ({"write_key": "wrong"}, {"site_id": site.site_id}, {"write_key": site.key, "site_id": "default"}):
        answer = site.server.post(json.dumps({"anonymous_id": VISITOR, **more}).encode(), SESSION)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_sessions_without_end_push_out_the_oldest_and_nothing_else(site: Site, live: Live) -> None:
    limit = {"live_sessions_max": 5}
    with serving(site.server.settings.model_copy(update=limit)) as server:
        few = Site(server, site.site_id, site.key)
        first = start(few)
        for n in range(1, 30):
            start(few, anonymous_id=str(make.uid(3, n)))
        assert live.redis.zcard(live.key) == 5
        assert live.redis.hlen(live.visitors) <= 5
        last = start(few, anonymous_id=str(make.uid(3, 29)))
        assert last["resumed"]
        assert live.seen(first["session_id"]) is None
        assert start(few, session_id=first["session_id"])["session_id"] == first["session_id"]
    assert site.figures().conserved


def test_more_session_starts_than_connections_wait_their_turn(shared: Server) -> None:
    async def at_once() -> list[httpx.Response]:
        async with shared.client() as client:
            bodies = (json.dumps({"anonymous_id": str(make.uid(3, n))}) for n in range(250))
            return await asyncio.gather(*(client.post(SESSION, content=body) for body in bodies))

    async def with_a_look() -> list[httpx.Response]:
        answers, _ = await asyncio.gather(at_once(), shared.gate.sample())
        return answers

    assert {answer.status_code for answer in shared.run(with_a_look())} == {200}
    assert shared.gate.reachable
