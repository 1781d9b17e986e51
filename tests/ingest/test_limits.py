"""How much the accept path takes on at once, and how long it waits. In: bodies that come slowly, or never end. Out:
503, 408 or nothing, and an empty cloakroom afterwards.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis

from ingest.gate import capped_network
from tests import make
from tests.ingest.serving import BATCH, LOCAL, SESSION, SINGLE, Server, Site, queued, serving

PUBLIC, SAME_NETWORK, ELSEWHERE = "93.184.216.34", "93.184.216.200", "93.184.217.34"


def meanwhile(
    server: Server, first: bytes, second: bytes, hosts: tuple[str, str] = (LOCAL, LOCAL), come: int = 1
) -> tuple[httpx.Response, httpx.Response]:
    """Post `first` slowly: after `come` bytes it goes on only when `second`, posted after it began, was answered."""

    async def both() -> tuple[httpx.Response, httpx.Response]:
        begun, answered = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            begun.set()
            yield first[:come]
            await answered.wait()
            yield first[come:]

        async with server.client(hosts[0]) as client, server.client(hosts[1]) as other:
            announced = {"content-length": str(len(first))}
            slow = asyncio.ensure_future(client.post(BATCH, content=slowly(), headers=announced))
            await begun.wait()
            quick = await other.post(BATCH, content=second)
            answered.set()
            return await slow, quick

    return server.run(both())


LIMITS: list[tuple[dict[str, Any], bytes, int]] = [
    ({"inflight_requests_max": 1}, make.body(), 503),
    ({"inflight_requests_max": 2}, make.body(), 202),
    ({"inflight_bytes_max": 1 << 20}, make.body().ljust((1 << 20) - 9), 202),
    ({"inflight_bytes_max": 1 << 20}, make.body().ljust((1 << 20) - 8), 503),
]


@pytest.mark.parametrize(("limit", "second", "status"), LIMITS)
def test_what_is_too_much_at_once_is_asked_to_come_again(
    shared: Server, limit: dict[str, Any], second: bytes, status: int
) -> None:
    with serving(shared.settings.model_copy(update=limit)) as server:
        slow, quick = meanwhile(server, make.body(), second, come=9)
        assert (slow.status_code, quick.status_code) == (202, status)
        if status == 503:
            assert (quick.json()["code"], quick.headers["retry-after"]) == ("busy", "1")
            assert server.post(second).status_code == 202
        assert (server.gate.requests, server.gate.bytes) == (0, 0)


def test_a_body_without_a_length_counts_as_it_comes(shared: Server) -> None:
    async def pieces(count: int) -> AsyncIterator[bytes]:
        yield make.body()
        for _ in range(count):
            yield b" " * (1 << 16)

    limits = {"inflight_bytes_max": 1 << 20, "body_bytes_max": 2 << 20}
    with serving(shared.settings.model_copy(update=limits)) as server:
        assert server.request("POST", BATCH, content=pieces(15)).status_code == 202
        assert server.request("POST", BATCH, content=pieces(16)).status_code == 503
        assert (server.gate.requests, server.gate.bytes) == (0, 0)


def test_a_body_counts_as_large_as_it_is_once_decompressed(shared: Server) -> None:
    limits = {"inflight_bytes_max": 1 << 20, "body_bytes_max": 2 << 20}
    with serving(shared.settings.model_copy(update=limits)) as server:
        assert server.post(gzip.compress(make.body().ljust(1 << 20))).status_code == 202
        assert server.post(gzip.compress(make.body().ljust((1 << 20) + 1))).status_code == 503
        assert (server.gate.requests, server.gate.bytes) == (0, 0)


@pytest.mark.parametrize("header", [(b"content-length", b"1048576"), (b"transfer-encoding", b"chunked")])
def test_senders_that_announce_much_and_say_nothing_take_no_room(shared: Server, header: tuple[bytes, bytes]) -> None:
    scope = {"type": "http", "method": "POST", "path": BATCH, "headers": [header], "client": (LOCAL, 1)}

    async def silence() -> Any:
        await asyncio.Event().wait()

    async def ignore(_: Any) -> None: ...

    async def posted_meanwhile() -> httpx.Response:
        silent = [asyncio.create_task(shared.app(dict(scope), silence, ignore)) for _ in range(1000)]
        await asyncio.sleep(0)
        async with shared.client() as client:
            answer = await client.post(BATCH, content=make.body())
        assert shared.gate.requests == len(silent)
        for task in silent:
            task.cancel()
        await asyncio.wait(silent)
        return answer

    assert shared.run(posted_meanwhile()).status_code == 202
    assert (shared.gate.requests, shared.gate.bytes) == (0, 0)


@pytest.mark.parametrize(
    ("most", "hosts", "status"),
    [
        (1, (PUBLIC, SAME_NETWORK), 503),
        (2, (PUBLIC, SAME_NETWORK), 202),
        (1, (PUBLIC, ELSEWHERE), 202),
        (1, (PUBLIC, LOCAL), 202),
        (1, (LOCAL, LOCAL), 202),
        (1, ("10.0.0.1", "10.0.0.1"), 202),
        (0, (PUBLIC, PUBLIC), 202),
    ],
)
def test_one_public_network_cannot_take_all_the_room(
    site: Site, most: int, hosts: tuple[str, str], status: int
) -> None:
    limit = {"inflight_requests_per_address_max": most}
    content = make.body(write_key=site.key)
    with serving(site.server.settings.model_copy(update=limit)) as server:
        slow, quick = meanwhile(server, content, content, hosts)
        assert (slow.status_code, quick.status_code) == (202, status)
        if status == 503:
            assert (quick.json()["code"], quick.headers["retry-after"]) == ("busy", "2")
        assert server.post(content, host=hosts[1]).status_code == 202
        assert (server.gate.requests, server.gate.networks) == (0, {})


@pytest.mark.parametrize(
    ("host", "network"),
    [
        (PUBLIC, "93.184.216.0/24"),
        (f"::ffff:{PUBLIC}", "93.184.216.0/24"),
        ("2606:4700:1:2::9", "2606:4700:1::/48"),
        *((private, None) for private in (LOCAL, "::1", "::ffff:127.0.0.1", "10.1.2.3", "172.17.0.1", "192.168.1.1")),
        *((private, None) for private in ("100.64.0.1", "fd00::1", "fe80::1%eth0", "", "testclient")),
    ],
)
def test_only_public_addresses_tell_senders_apart(host: str, network: str | None) -> None:
    assert capped_network(host) == network


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
            client.zadd("live:default", {UUID(answer["session_id"]).bytes: time.time_ns() // 1_000_000 - 61_000})
        assert not server.post(content, SESSION).json()["resumed"]
