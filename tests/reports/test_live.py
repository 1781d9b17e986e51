"""GET /api/live: what happens now reaches whoever listens within two seconds, and no listener costs another anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reports import live as hub
from reports import tickets
from schema import db, registry, rights, sites
from schema import realtime as keys
from schema.event import now
from schema.hosting import ENDING
from schema.settings import Settings
from tests.ingest.serving import Server, serving
from tests.make import canonical
from tests.reports.listening import AWAITED_SECONDS, Ear, ears
from tests.workers.pipeline import Pipeline

LOCAL = {"host": "localhost"}
TICKET = "/api/live/ticket"


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    with serving(settings.model_copy(update={"live_listeners_max": 60})) as running:
        yield running


def happen(pipe: Pipeline, n: int, **fields: Any) -> None:
    shared = {name: fields.pop(name) for name in ("site_id", "country") if name in fields}
    pipe.send(canonical(n, occurred_at=now(), **fields), **shared)


def key_of(settings: Settings, site_id: str, role: str = "read") -> str:
    with db.connect(settings) as connection:
        if site_id not in sites.ids(connection):
            site = {"name": "", "time_zone": "UTC", "origins": [], "open_to": "nobody", "strict": False}
            sites.add_site(connection, {"site_id": site_id} | site)
        return sites.add_key(connection, site_id, role)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def live_of(server: Server) -> hub.Live:
    """What the application keeps of its listeners."""
    found: hub.Live = server.app.state.live
    return found


async def soon(condition: Any, what: str) -> None:
    deadline = time.monotonic() + AWAITED_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


def test_figures_of_now_are_answered_once(server: Server, pipe: Pipeline) -> None:
    happen(pipe, 0, path="/trips/7", trip_id=7, source="homepage", device_type="mobile", country="IL")
    happen(pipe, 1, event_type="impression", trip_id=7)
    answer = server.request("GET", "/api/stats/realtime", headers=LOCAL)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, max-age=1")
    found = answer.json()
    assert (found["siteId"], found["isMoving"], found["activeVisitors"], found["visitors"]) == ("default", True, 1, 1)
    assert found["lastMinute"] == found["lastHalfHour"] == {"events": 2, "byType": {"impression": 1, "page_view": 1}}
    assert (len(found["minutes"]), sum(one["events"] for one in found["minutes"])) == (30, 2)
    assert found["topTrips"] == [{"tripId": 7, "interactions": 1}]
    assert found["topPages"] == [{"path": "/trips/7", "views": 1}]
    newest, oldest = found["latestEvents"]
    assert (newest["eventType"], oldest["path"], oldest["country"]) == ("impression", "/trips/7", "IL")
    assert (oldest["deviceType"], oldest["source"], oldest["tripId"]) == ("mobile", "homepage", 7)
    tag = answer.headers["etag"]
    again = server.request("GET", "/api/stats/realtime", headers=LOCAL | {"if-none-match": tag})
    assert again.status_code == 304
    sheet = server.request("GET", "/api/stats/realtime?format=csv", headers=LOCAL).text.splitlines()
    assert (sheet[0], len(sheet)) == ("minute,events", 31)


def test_a_stream_begins_with_all_there_is_and_goes_on_with_what_changes(server: Server, pipe: Pipeline) -> None:
    happen(pipe, 0)

    async def listening() -> None:
        ear = Ear(server.app, last_event_id="1700000000000")
        assert await ear.status() == 200
        assert ear.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (ear.headers["cache-control"], ear.headers["x-accel-buffering"]) == ("no-store", "no")
        assert "content-length" not in ear.headers
        assert (await ear.body()).startswith(b"retry: ")
        first = await ear.body()
        assert first.startswith(b"id: 1")
        assert first.endswith(b"}\n\n")
        for n in range(1, 4):
            began = time.monotonic()
            await asyncio.to_thread(happen, pipe, n)
            assert (await ear.until(n + 1))["lastMinute"]["events"] == n + 1
            assert time.monotonic() - began < 2
        await ear.hang_up()

    server.run(listening())


def test_many_listeners_are_read_for_once(server: Server, pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(keys, "ask", lambda *a, ask=keys.ask: (asked.append(a[1]), ask(*a)))

    async def listening() -> None:
        all_ = await ears(server.app, 50)
        assert asked == ["default"]
        await asyncio.to_thread(happen, pipe, 0)
        for ear in all_:
            await ear.until(1)
        assert len(asked) < 20
        for ear in all_:
            await ear.hang_up()
        assert live_of(server).listeners == []
        read = len(asked)
        (site,) = live_of(server)._sites.values()
        await soon(lambda: site.watching.done(), "nobody is watched for nobody")
        assert len(asked) <= read + 1

    server.run(listening())


def test_a_listener_that_takes_nothing_holds_one_message_and_is_cut_off(
    server: Server, pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_READ_SECONDS", 0.02)
    monkeypatch.setattr(hub, "_LOOK_SECONDS", 0.01)

    async def listening() -> None:
        slow, quick = await ears(server.app, 2)
        slow.takes.clear()
        for n in range(5):
            await asyncio.to_thread(happen, pipe, n)
            await quick.until(n + 1)
        assert slow.sent.empty()
        monkeypatch.setattr(hub, "_STUCK_SECONDS", 0.05)
        await soon(slow.task.done, "the slow one is dropped")
        assert (slow.aborted, quick.aborted, len(live_of(server).listeners)) == (True, False, 1)
        await asyncio.to_thread(happen, pipe, 5)
        await quick.until(6)
        await quick.hang_up()

    server.run(listening())


def test_a_listener_that_is_slow_for_a_while_misses_some_and_is_told_the_last(
    server: Server, pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_READ_SECONDS", 0.02)
    monkeypatch.setattr(hub, "_LOOK_SECONDS", 0.01)

    async def listening() -> None:
        slow, quick = await ears(server.app, 2)
        slow.takes.clear()
        for n in range(6):
            await asyncio.to_thread(happen, pipe, n)
            await quick.until(n + 1)
        slow.takes.set()
        heard = [(await slow.figures())["lastHalfHour"]["events"]]
        while heard[-1] < 6:
            heard.append((await slow.figures())["lastHalfHour"]["events"])
        assert len(heard) <= 2
        for ear in (slow, quick):
            await ear.hang_up()

    server.run(listening())


def test_a_silent_stream_beats_and_so_it_does_without_redis(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(hub, "_LOOK_SECONDS", 0.02)

    async def listening() -> None:
        (ear,) = await ears(server.app, 1)
        assert await ear.body() == b": still here\n\n"

        async def down(*_: Any) -> Any:
            raise ConnectionError

        monkeypatch.setattr(keys, "ask_version", down)
        monkeypatch.setattr(hub, "_READ_SECONDS", 0.0)
        assert await ear.body() == b": still here\n\n"
        await ear.hang_up()

    server.run(listening())


def test_more_listeners_than_there_may_be_are_sent_away(server: Server) -> None:
    async def listening() -> None:
        all_ = await ears(server.app, 60)
        late = Ear(server.app)
        assert (await late.status(), late.headers["retry-after"]) == (503, "30")
        assert b'"code":"busy"' in await late.body()
        await all_[0].hang_up()
        all_ += await ears(server.app, 1)
        for ear in all_[1:]:
            await ear.hang_up()

    server.run(listening())


def test_streams_end_when_the_server_does(server: Server) -> None:
    """As our server calls what the lifespan's state names."""

    async def listening() -> None:
        all_ = await ears(server.app, 3)
        live_of(server).end()
        for ear in all_:
            assert await ear.body() == b""
            await asyncio.wait_for(ear.task, AWAITED_SECONDS)
        late = Ear(server.app)
        assert (await late.status(), (await late.body())[:5], await late.body()) == (200, b"retry", b"")

    server.run(listening())


def test_the_lifespan_names_what_ends_the_streams(settings: Settings) -> None:
    with serving(settings) as running:
        assert running.app.state.live.end in running.ending[ENDING]


def test_a_ticket_stands_for_its_key_and_its_site(server: Server, pipe: Pipeline) -> None:
    key = key_of(server.settings, "shop")
    happen(pipe, 0, site_id="shop")
    made = server.request("POST", TICKET, headers=bearer(key))
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    assert (made.json()["siteId"], made.json()["seconds"]) == ("shop", 60)
    secret = made.json()["ticket"]
    assert key not in secret

    async def listening() -> None:
        ear = Ear(server.app, f"ticket={secret}", host="figures.example")
        assert await ear.status() == 200
        assert (await ear.until(1))["siteId"] == "shop"
        at_home = Ear(server.app)
        assert await at_home.status() == 200
        assert (await at_home.figures())["lastHalfHour"]["events"] == 0
        by_key = Ear(server.app, host="figures.example", **bearer(key))
        assert await by_key.status() == 200
        assert (await by_key.until(1))["siteId"] == "shop"
        for one in (ear, at_home, by_key):
            await one.hang_up()

    server.run(listening())


def test_a_revoked_key_ends_its_streams_and_its_tickets(server: Server, pipe: Pipeline) -> None:
    key, other = (key_of(server.settings, "shop") for _ in range(2))
    secrets = [server.request("POST", TICKET, headers=bearer(k)).json()["ticket"] for k in (key, other)]

    async def listening() -> None:
        ends, stays = [Ear(server.app, f"ticket={secret}") for secret in secrets]
        by_key = Ear(server.app, **bearer(key))
        for one in (ends, stays, by_key):
            assert await one.status() == 200
            await one.figures()
        pipe.connection.execute("DELETE FROM site_keys WHERE key_hash = %s", (registry.key_hash(key),))
        pipe.redis.expire(*[k for k in pipe.redis.keys("rt:ticket:*")][:1], 1)
        await live_of(server).check()
        for one in (ends, by_key):
            await asyncio.wait_for(one.task, AWAITED_SECONDS)
        assert not stays.task.done()
        live_of(server)._living.clear()  # as a second later
        again = Ear(server.app, f"ticket={secrets[0]}")
        assert await again.status() == 401
        assert b"/api/live/ticket" in await again.body()
        await stays.hang_up()

    server.run(listening())


def test_a_ticket_in_use_lives_on_and_ends_after_its_longest_time(server: Server, pipe: Pipeline) -> None:
    secret = server.request("POST", TICKET, headers=LOCAL).json()["ticket"]
    (kept,) = pipe.redis.keys("rt:ticket:*")

    async def listening() -> None:
        (ear,) = await ears(server.app, 1, query=f"ticket={secret}")
        pipe.redis.expire(kept, 5)
        await live_of(server).check()
        assert pipe.redis.ttl(kept) > 5
        live_of(server)._clock = lambda: now() + (tickets.SECONDS_MAX + 1) * 1_000_000
        await live_of(server).check()
        await asyncio.wait_for(ear.task, AWAITED_SECONDS)

    server.run(listening())


@pytest.mark.parametrize("method, path", [("GET", "/api/live"), ("POST", TICKET), ("GET", "/api/stats/realtime")])
def test_whoever_may_not_read_may_not_listen(
    server: Server, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    assert server.request(method, path).status_code == 401  # by a name that is not this machine's
    assert server.request(method, path, host="203.0.113.7", headers=LOCAL).status_code == 401
    assert server.request(method, path, headers=bearer("ts_read_none")).status_code == 401
    wrong = server.request(method, path, headers=bearer(key_of(server.settings, "shop", "write")))
    assert (wrong.status_code, wrong.json()["code"]) == (403, "forbidden")
    monkeypatch.setattr(rights, "scope_of", lambda *_: db.Scope("default", "somebody"))
    owner = server.request(method, path, headers=LOCAL)
    assert (owner.status_code, owner.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(("ticket", "status"), [("", 401), ("made-up", 401), ("é", 401), ("x" * 101, 422)])
def test_what_is_no_ticket_opens_nothing(server: Server, ticket: str, status: int) -> None:
    answer = server.request("GET", "/api/live", params={"ticket": ticket}, headers=LOCAL)
    assert answer.status_code == status
    assert status == 401 or answer.json()["fields"][0]["field"] == "ticket"


def test_without_redis_it_is_said(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1", "stream_redis_url": settings.redis_url})
    with serving(away) as running:
        for method, path in (("GET", "/api/stats/realtime"), ("POST", TICKET), ("GET", "/api/live?ticket=x")):
            answer = running.request(method, path, headers=LOCAL)
            assert (answer.status_code, answer.json()["code"]) == (503, "storage"), path
