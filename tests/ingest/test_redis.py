"""What Redis is to the accept path: full, slow, gone, forgetful, half durable; and what it must never be told.

These have a Valkey of their own. In: an application on it. Out: 503 and the promise that nothing was lost, or 202.
"""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from ingest.commit import GroupCommit, connect
from ingest.gate import durability
from schema import sites, stream
from schema.errors import Busy, TripstreamError
from tests import make
from tests.ingest.serving import BATCH, SESSION, Server, add_site, drain, figures, queued, select, serving
from tripstream.embedded_valkey import Valkey

START = json.dumps({"anonymous_id": str(make.uid(3))}).encode()


def tell(server: Server, **options: Any) -> None:
    """CONFIG SET."""
    with redis.Redis.from_url(server.settings.redis_url) as client:
        client.config_set(*(part for name, value in options.items() for part in (name.replace("_", "-"), value)))


def is_busy(answer: httpx.Response, retry_after: str = "2") -> bool:
    assert answer.json().keys() == {"code", "message"}
    assert "again" in answer.json()["message"]
    return (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "busy", retry_after)


def test_a_redis_that_fills_up_is_noticed_and_the_sender_is_asked_to_wait(frail: Server) -> None:
    assert frail.post(make.body()).status_code == 202
    with redis.Redis.from_url(frail.settings.redis_url) as client:
        used = int(client.info("memory")["used_memory"])
    for share, accepted in ((0.7, False), (0.4, True)):
        tell(frail, maxmemory=int(used / share))
        frail.look()
        answer = frail.post(make.body())
        assert answer.status_code == 202 if accepted else is_busy(answer, "5")
    tell(frail, maxmemory=0)
    frail.look()
    assert frail.gate.memory_share == 0.0
    assert frail.post(make.body()).status_code == 202
    drain(frail.settings)
    assert figures(frail.settings) == (9, 3, 6, 0)


def test_a_redis_that_is_full_unnoticed_refuses_whole_batches_and_can_still_be_drained(
    frail: Server,
) -> None:
    assert frail.post(make.body()).status_code == 202
    tell(frail, maxmemory=1)
    assert is_busy(frail.post(make.body(make.event(7))))
    assert is_busy(frail.post(START, SESSION))
    assert drain(frail.settings) == 3
    assert queued(frail.settings) == 0
    tell(frail, maxmemory=0)
    assert figures(frail.settings) == (3, 3, 0, 0)
    with redis.Redis.from_url(frail.settings.redis_url) as client:
        assert client.exists("live:default", "visitor:default") == 0
    assert frail.post(make.body(make.event(7))).status_code == 202


def test_a_redis_that_is_gone_is_a_503_until_it_is_back(frail: Server, own_valkey: Valkey) -> None:
    assert frail.post(make.body(make.event(0))).status_code == 202
    own_valkey.stop(immediate=True)
    unknown = make.body(make.event(1), write_key="perhaps a key by now")
    for path, content in ((BATCH, make.body(make.event(1))), (BATCH, unknown), (SESSION, START)):
        assert is_busy(frail.post(content, path))
    frail.look()
    assert not frail.gate.reachable
    own_valkey.start()
    frail.look()
    assert frail.gate.reachable
    assert frail.post(make.body(make.event(1))).status_code == 202
    assert frail.post(START, SESSION).json()["resumed"] is False
    drain(frail.settings)
    assert figures(frail.settings) == (3, 3, 0, 0)


def test_an_unconfirmed_batch_sent_again_counts_once(frail: Server) -> None:
    content = [make.body(make.event(n)) for n in range(20)]

    async def all_at_once() -> list[httpx.Response]:
        async with frail.client() as client:
            return await asyncio.gather(*(client.post(BATCH, content=each) for each in content))

    with redis.Redis.from_url(frail.settings.redis_url) as client:
        client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        assert all(is_busy(answer) for answer in frail.run(all_at_once()))
        client.execute_command("CLIENT", "UNPAUSE")
    assert [answer.status_code for answer in frail.run(all_at_once())] == [202] * 20
    drain(frail.settings)
    totals = figures(frail.settings)
    assert totals.stored == 20
    assert totals.conserved


def test_requests_that_arrive_together_share_a_round_trip(frail: Server) -> None:
    async def all_at_once() -> list[httpx.Response]:
        async with frail.client() as client:
            posts = (client.post(BATCH, content=make.body(make.event(n))) for n in range(100))
            return await asyncio.gather(*posts)

    frail.post(make.body(make.event(0)))
    with redis.Redis.from_url(frail.settings.redis_url) as client:
        client.config_resetstat()
        answers = frail.run(all_at_once())
        calls = {name: figure["calls"] for name, figure in client.info("commandstats").items()}
    assert len({answer.json()["batch_id"] for answer in answers}) == 100
    assert calls["cmdstat_xadd"] == 100
    assert calls.get("cmdstat_exec", 0) + calls.get("cmdstat_evalsha", 0) < 20


class Stub:
    """A Redis whose script waits to be told how to end."""

    def __init__(self) -> None:
        self.calls = 0
        self.called = asyncio.Event()
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def register_script(self, _: str) -> Any:
        return self

    async def __call__(self, *_: Any, **__: Any) -> None:
        self.calls += 1
        self.called.set()
        await self.outcome


@pytest.mark.parametrize(
    ("failure", "raised"), [(redis.TimeoutError(), Busy), (OSError(), Busy), (RuntimeError("a bug"), TripstreamError)]
)
def test_a_failed_append_fails_those_that_wait_behind_it_and_none_that_come_later(
    failure: Exception, raised: type[TripstreamError]
) -> None:
    async def run() -> None:
        stub = Stub()
        group = GroupCommit(stub)  # type: ignore[arg-type]
        batches = [stream.pack(0, make.batch(n=n)) for n in range(600)]
        waiting = [asyncio.ensure_future(group.append("default", batch, {})) for batch in batches]
        await stub.called.wait()
        stub.outcome.set_exception(failure)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {raised}
        assert stub.calls == 1
        stub.outcome = asyncio.get_running_loop().create_future()
        stub.outcome.set_result(None)
        assert await group.append("default", stream.pack(0, make.batch()), {}) is None

    asyncio.run(run())


def test_a_batch_that_cannot_be_sent_does_not_wedge_the_process(frail: Server) -> None:
    async def run() -> None:
        async with connect(frail.settings) as client:
            group = GroupCommit(client)
            good = stream.pack(0, make.batch())
            with pytest.raises(TripstreamError):
                await group.append("default", good._replace(site_id="\ud800"), {})
            await group.append("default", good, {})

    frail.run(run())
    assert queued(frail.settings) == 1


def test_before_the_registry_is_published_everything_waits_for_it(settings: Any, own_valkey: Valkey) -> None:
    fresh = settings.model_copy(update={"redis_url": own_valkey.url()})
    with serving(fresh, announced=False) as server:
        for path, content in ((BATCH, make.body()), (SESSION, START)):
            answer = server.post(content, path)
            assert (answer.status_code, answer.json()["code"]) == (503, "busy")
            assert "registry" in answer.json()["message"]
        sites.announce(fresh)
        server.look()
        assert server.post(make.body()).status_code == 202


def test_it_starts_without_redis_and_accepts_once_there_is_one(settings: Any, own_valkey: Valkey) -> None:
    late = settings.model_copy(update={"redis_url": own_valkey.url(), "redis_seconds_max": 0.3})
    sites.announce(late)
    own_valkey.stop(immediate=True)
    with serving(late, announced=False) as server:
        assert server.post(make.body()).status_code == 503
        own_valkey.start()
        server.look()
        assert server.post(make.body()).status_code == 202
    with stream.connect(late.streams_url) as client:
        assert stream.accepted(client, ["default"]) == {"default": 3}


def traces(data: Path, settings: Any) -> bytes:
    """Everything there is in Redis' files and in Postgres' tables and logs."""
    files = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    tables = select(
        settings,
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'",
    )
    rows = [row for (table,) in tables for row in select(settings, f"SELECT t::text FROM {table} AS t")]
    return files + repr(rows).encode() + (settings.state / "postgres.log").read_bytes()


@pytest.mark.parametrize(
    ("host", "prefix"), [("198.51.100.213", "198.51.100.0/24"), ("2001:db8:77:9:a:b:c:d", "2001:db8:77::/48")]
)
def test_the_full_address_is_nowhere_to_be_found(
    frail: Server, own_valkey: Valkey, host: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    key = add_site(frail.settings, "elsewhere")
    frail.look()
    bad = [make.event(1, position=-1), make.event(2, page_url="https://a/?utm_source=%00")]
    for content in (make.body(write_key=key), make.body(*bad, write_key=key), make.body(), b"not JSON"):
        frail.post(content, host=host)
    frail.post(b'{"anonymous_id":"%s","write_key":"%s"}' % (str(make.uid(3)).encode(), key.encode()), host=host)
    packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    data = own_valkey.state
    for queue_emptied in (False, True):
        if queue_emptied:
            drain(frail.settings)
        found = traces(data, frail.settings)
        assert prefix.removesuffix(".0/24").removesuffix("::/48").encode() in found
        assert host.encode() not in found
        assert packed not in found
    assert host not in caplog.text
    assert select(frail.settings, "SELECT DISTINCT ip_prefix::text FROM events") == [(prefix,)]
    assert queued(frail.settings) == 0


CLAIMS = [
    ("yes", "always", "no", "fsync"),
    ("yes", "always", "yes", "everysec"),
    ("yes", "everysec", "no", "everysec"),
    ("yes", "everysec", "yes", "everysec"),
    ("yes", "no", "no", "memory"),
    ("no", "always", "no", "memory"),
]


def test_a_receipt_claims_the_durability_that_is_in_force(frail: Server) -> None:
    for appendonly, appendfsync, on_rewrite, claim in CLAIMS:
        tell(frail, appendfsync=appendfsync, no_appendfsync_on_rewrite=on_rewrite, appendonly=appendonly)
        frail.look()
        assert frail.post(make.body()).json()["durability"] == claim


def test_durability_is_unknown_where_redis_does_not_tell(frail: Server) -> None:
    with redis.Redis.from_url(frail.settings.redis_url) as client:
        client.acl_setuser("quiet", enabled=True, nopass=True, keys="*", commands=["+@all", "-config"])

    async def asked() -> str:
        async with redis.asyncio.Redis.from_url(
            frail.settings.redis_url, username="quiet", password="x", protocol=2
        ) as quiet:
            return await durability(quiet)

    assert frail.run(asked()) == "unknown"
