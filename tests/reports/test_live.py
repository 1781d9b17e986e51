"""GET /api/live: what happens now reaches whoever listens, and no listener costs another anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reports import live as hub
from schema import realtime as keys
from schema.event import now
from schema.hosting import ENDING
from schema.settings import Settings
from tests.ingest.serving import Server, serving
from tests.make import MINUTE
from tests.reports.listening import AWAITED_SECONDS, LOCAL, TICKET, Ear, bearer, ears, hanging, happen, key_of, live_of
from tests.workers.pipeline import Pipeline


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    with serving(settings.model_copy(update={"live_listeners_max": 60})) as running:
        yield running


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
            await asyncio.to_thread(happen, pipe, n)
            assert (await ear.until(n + 1))["lastMinute"]["events"] == n + 1
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


def test_a_silent_stream_beats_and_so_it_does_without_redis(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_goes_out_of_the_last_minute_is_told_although_nothing_happens(
    server: Server, pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_MOVE_SECONDS", 0.1)
    monkeypatch.setattr(hub, "_READ_SECONDS", 0.02)
    happen(pipe, 0)

    async def listening() -> None:
        (ear,) = await ears(server.app, 1)
        live_of(server)._clock = lambda: now() + 2 * MINUTE
        while (found := await ear.figures())["lastMinute"]["events"]:
            pass
        assert found["lastHalfHour"]["events"] == 1
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


def test_of_many_who_come_at_once_no_more_are_let_in(settings: Settings) -> None:
    with serving(settings.model_copy(update={"live_listeners_max": 5})) as server:
        key = key_of(settings, "default")

        async def listening() -> None:
            all_ = [Ear(server.app, **bearer(key)) for _ in range(40)]
            found = [await ear.status() for ear in all_]
            assert (found.count(200), found.count(503), len(live_of(server).listeners)) == (5, 35, 5)
            for ear in all_:
                await ear.hang_up()

        server.run(listening())


def test_streams_end_when_the_server_does(server: Server) -> None:
    """As our server calls what the lifespan's state names."""

    async def listening() -> None:
        all_ = await ears(server.app, 3)
        for end in server.ending[ENDING]:
            end()
        for ear in all_:
            assert await ear.body() == b""
            await asyncio.wait_for(ear.task, AWAITED_SECONDS)
        late = Ear(server.app)
        assert (await late.status(), (await late.body())[:5], await late.body()) == (200, b"retry", b"")

    server.run(listening())


def test_without_redis_it_is_said(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1", "stream_redis_url": settings.redis_url})
    with serving(away) as running:
        for method, path in (("GET", "/api/stats/realtime"), ("POST", TICKET), ("GET", "/api/live?ticket=x")):
            answer = running.request(method, path, headers=LOCAL)
            assert (answer.status_code, answer.json()["code"]) == (503, "storage"), path


def test_a_redis_that_hangs_is_waited_for_once_and_not_by_one_after_the_other(settings: Settings) -> None:
    with hanging() as url:
        more = {"redis_url": url, "stream_redis_url": settings.redis_url, "redis_seconds_max": 0.5}
        with serving(settings.model_copy(update=more)) as server:

            async def asked() -> tuple[set[int], float]:
                async with server.client() as client:
                    began = time.monotonic()
                    asking = (client.get("/api/stats/realtime", headers=LOCAL, timeout=60) for _ in range(20))
                    answers = await asyncio.gather(*asking)
                    return {one.status_code for one in answers}, time.monotonic() - began

            statuses, took = server.run(asked())
            assert statuses == {503} and took < 3
