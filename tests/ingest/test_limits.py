"""How much the accept path takes on at once, and how long it waits. In: bodies that come slowly, or never end. Out:
503, 408 or nothing, and an empty cloakroom afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import redis

from tests import make
from tests.ingest.serving import BATCH, SESSION, SINGLE, Server, queued, serving


def meanwhile(server: Server, first: bytes, second: bytes) -> tuple[httpx.Response, httpx.Response]:
    """Post `first` slowly: its body ends only when `second`, posted after it began, was answered."""

    async def both() -> tuple[httpx.Response, httpx.Response]:
        begun, answered = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            begun.set()
            yield first[:1]
            await answered.wait()
            yield first[1:]

        async with server.client() as client:
            announced = {"content-length": str(len(first))}
            slow = asyncio.ensure_future(client.post(BATCH, content=slowly(), headers=announced))
            await begun.wait()
            quick = await client.post(BATCH, content=second)
            answered.set()
            return await slow, quick

    return server.run(both())


LIMITS: list[tuple[dict[str, Any], bytes, int]] = [
    ({"inflight_requests_max": 1}, make.body(), 503),
    ({"inflight_requests_max": 2}, make.body(), 202),
    ({"inflight_bytes_max": 1 << 20}, make.body().ljust((1 << 20) - len(make.body())), 202),
    ({"inflight_bytes_max": 1 << 20}, make.body().ljust((1 << 20) - len(make.body()) + 1), 503),
]


@pytest.mark.parametrize(("limit", "second", "status"), LIMITS)
def test_what_is_too_much_at_once_is_asked_to_come_again(
    shared: Server, limit: dict[str, Any], second: bytes, status: int
) -> None:
    with serving(shared.settings.model_copy(update=limit)) as server:
        slow, quick = meanwhile(server, make.body(), second)
        assert (slow.status_code, quick.status_code) == (202, status)
        if status == 503:
            assert (quick.json()["code"], quick.headers["retry-after"]) == ("busy", "1")
            assert server.post(second).status_code == 202
        assert (server.gate.requests, server.gate.bytes) == (0, 0)


def test_a_body_without_a_length_counts_as_the_largest(shared: Server) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield make.body()

    with serving(
        shared.settings.model_copy(update={"inflight_bytes_max": 1 << 20, "body_bytes_max": 2 << 20})
    ) as server:
        assert server.request("POST", BATCH, content=endless()).status_code == 503
        assert server.post(make.body()).status_code == 202


@pytest.mark.parametrize("path", [BATCH, SINGLE, SESSION])
def test_a_body_that_does_not_arrive_in_time_is_given_up(shared: Server, path: str) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield make.body()[:10]
        await asyncio.Event().wait()

    before = queued(shared.settings)
    with serving(shared.settings.model_copy(update={"body_seconds_max": 0.05})) as server:
        answer = server.request("POST", path, content=trickle())
        assert (answer.status_code, answer.json()["code"]) == (408, "slow_sender")
        assert answer.headers["connection"] == "close"
        assert (server.gate.requests, server.gate.bytes) == (0, 0)
    assert queued(shared.settings) == before


@pytest.mark.parametrize("received", [0, 1])
def test_a_sender_that_leaves_before_the_end_has_sent_nothing(shared: Server, received: int) -> None:
    before = queued(shared.settings)
    whole = {"type": "http.request", "body": make.body(), "more_body": True}
    messages = iter([whole] * received + [{"type": "http.disconnect"}] * 5)
    told: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": BATCH, "headers": [], "client": ("127.0.0.1", 1)}
    shared.run(shared.app(scope, receive, send))
    assert told[0]["status"] == 400
    assert queued(shared.settings) == before
    assert (shared.gate.requests, shared.gate.bytes) == (0, 0)


@pytest.mark.parametrize("content", [make.body(), b"", b"not JSON", b"\x1f\x8b", make.body(write_key="x")])
def test_whatever_the_answer_the_room_it_took_is_given_back(shared: Server, content: bytes) -> None:
    shared.post(content)
    assert (shared.gate.requests, shared.gate.bytes) == (0, 0)


def test_how_long_a_session_lives_is_a_setting(shared: Server) -> None:
    content = b'{"anonymous_id":"%s"}' % str(make.uid(3)).encode()
    with serving(shared.settings.model_copy(update={"session_timeout_seconds": 60})) as server:
        answer = server.post(content, SESSION).json()
        assert answer["expires_in_seconds"] == 60
        with redis.Redis.from_url(shared.settings.redis_url) as client:
            client.zadd("live:default", {answer["session_id"]: time.time_ns() // 1_000_000 - 61_000})
        assert not server.post(content, SESSION).json()["resumed"]
