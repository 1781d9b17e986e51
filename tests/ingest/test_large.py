"""Large bodies of SDKs. In: bodies that are little on the wire, or many at once. Out: refusals before they are read,
turns, and an event loop that reads none of them."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import threading
from typing import Any

import pytest

from ingest import dialect
from ingest.app import DIALECTS
from ingest.dialect import DialectEndpoint
from ingest.large import LARGE, count_values, head
from schema import addresses, stream
from schema.errors import TooLarge
from tests.ingest.serving import Server, Site, add_site, drain, select, serving
from tests.ingest.test_sdk_shapes import call, capture

PUBLIC = "93.184.216.34"
LONG = "x" * (LARGE + 1)


def batch(*items: Any, **more: Any) -> bytes:
    return json.dumps({"batch": list(items), "long": LONG, **more}).encode()


def keyed(key: str) -> list[tuple[str, bytes]]:
    """Large bodies with a key in each of its places."""
    return [
        ("/v1/batch", batch(call(), writeKey=key)),
        ("/v1/track", json.dumps(call(writeKey=key, properties={"x": LONG})).encode()),
        (f"/v1/batch?writeKey={key}", batch(call())),
        ("/batch/", batch(capture(), api_key=key)),
        ("/batch/", batch({"properties": {"x": LONG}}, api_key=key)),
        ("/e/", json.dumps([capture(token=key), capture(x=LONG)]).encode()),
        (
            "/e/",
            json.dumps([capture(), {"x": LONG}, {"api_key": 5}])
            .encode()
            .replace(b"{", b'{"token": "%s",' % key.encode(), 1),
        ),
        ("/e/", json.dumps(capture(token=key) | {"z": LONG}).encode()),
        ("/e/", base64.b64encode(batch(capture(), api_key=key))),
    ]


@pytest.mark.parametrize("way", range(9))
def test_of_a_strangers_large_body_only_the_key_is_read(site: Site, way: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path, content = keyed(site.key)[way]
    assert site.server.post(gzip.compress(content), path).status_code == 200
    monkeypatch.setattr(DialectEndpoint, "_context", lambda *_: pytest.fail("it was read"))
    path, content = keyed("wrong")[way]
    assert site.server.post(gzip.compress(content), path, host=PUBLIC).status_code == 401


@pytest.mark.parametrize("content", [b"", b"no", b"[", b"5", b'"x"', b'{"a', b'{"batch":5}', b"\xff", b"[" * 5000])
def test_what_cannot_be_told_early_is_read(site: Site, content: bytes) -> None:
    answer = site.server.post(content.ljust(LARGE + 1), "/v1/batch", headers={"x-write-key": site.key})
    assert answer.status_code == 400
    assert head(content) in (None, {"batch": None})


def test_a_first_event_that_is_itself_large_is_read_for_its_key(site: Site) -> None:
    content = json.dumps([capture(x=LONG, token=site.key)]).encode()
    assert head(content) is None
    assert site.server.post(content, "/e/").status_code == 200
    assert site.server.post(content.replace(site.key.encode(), b"wrong"), "/e/").status_code == 401


@pytest.mark.parametrize("item", [b"{},", b"[],", b'{"a":{}},', b"0,"])
def test_a_body_of_too_many_values_is_refused_before_it_is_read(
    site: Site, item: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DialectEndpoint, "_context", lambda *_: pytest.fail("it was read"))
    content = b'{"ip":"","batch":[%s{}]}' % (item * 600_000)
    for path, sent in (("/v1/batch", content), ("/e/", base64.b64encode(content))):
        answer = site.server.post(gzip.compress(sent, 1), path, headers={"x-write-key": site.key})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_values_are_counted_by_what_stands_before_each() -> None:
    assert count_values(b'{"a":[1,2,{"b":{}}]}', 6) == 6
    with pytest.raises(TooLarge, match="more than 5 values"):
        count_values(b'{"a":[1,2,{"b":{}}]}', 5)


def test_large_bodies_are_read_and_packed_beside_the_event_loop(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def watch(where: Any, name: str) -> None:
        real = getattr(where, name)

        def watched(*arguments: Any) -> Any:
            threads.append((name, threading.current_thread() is threading.main_thread()))
            return real(*arguments)

        monkeypatch.setattr(where, name, watched)

    for where, name in ((dialect, "count_values"), (addresses, "cut"), (dialect, "make_batch"), (dialect, "take")):
        watch(where, name)
    content = batch(call(ip="203.0.113.9"), writeKey=site.key)
    assert site.server.post(content, "/v1/batch").status_code == 200
    assert {name for name, _ in threads} == {"count_values", "cut", "make_batch", "take"}
    assert not any(is_main for _, is_main in threads)


def test_two_are_read_at_once_some_wait_and_the_rest_come_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    server, lock, second, enough = site.server, threading.Lock(), threading.Event(), threading.Event()
    reading: list[int] = [0]
    most: list[int] = [0]
    real = dialect.count_values

    def slowly(raw: bytes, most_values: int) -> Any:
        with lock:
            reading[0] += 1
            most[0] = max(most[0], reading[0])
            if most[0] == 2:
                second.set()
        assert enough.wait(20)
        with lock:
            reading[0] -= 1
        return real(raw, most_values)

    async def many(count: int) -> list[Any]:
        async with server.client() as client:
            content = batch(call(), writeKey=site.key)
            tasks = [asyncio.create_task(client.post("/v1/batch", content=content)) for _ in range(count)]
            while sum(task.done() for task in tasks) < count - 18:
                await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.to_thread(second.wait, 20)
            enough.set()
            return list(await asyncio.gather(*tasks))

    monkeypatch.setattr(dialect, "count_values", slowly)
    answers = server.run(many(24))
    assert sorted(answer.status_code for answer in answers) == [200] * 18 + [503] * 6
    assert {answer.headers.get("retry-after") for answer in answers} == {None, "2"}
    assert most == [2]
    assert (server.gate.large.waiting, server.gate.bytes, server.gate.requests) == (0, 0, 0)


def test_what_a_body_becomes_in_memory_counts_too(site: Site) -> None:
    content = b'{"batch":[%s{}],"writeKey":"%s"}' % (b"{}," * 40_000, site.key.encode())
    server = site.server
    with serving(server.settings.model_copy(update={"inflight_bytes_max": 4 << 20})) as small:
        answer = small.post(content, "/v1/batch")
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert small.gate.bytes == 0


def test_an_address_that_is_refused_too_often_is_asked_to_wait(shared: Server) -> None:
    limits = {"address_events_per_second_max": 1, "address_events_burst_max": 30}
    with serving(shared.settings.model_copy(update=limits)) as server:
        wrong = gzip.compress(batch(call(), writeKey="wrong"))
        for expected in (401, 401, 429):
            answer = server.post(wrong, "/v1/batch", host=PUBLIC)
            assert answer.status_code == expected
        assert int(answer.headers["retry-after"]) > 0
        assert server.post(wrong, "/v1/batch", host="93.184.217.34").status_code == 401
        assert [server.post(wrong, "/v1/batch").status_code for _ in range(4)] == [401] * 4
        bomb = gzip.compress(b" " * (server.settings.sdk_body_bytes_max + 1))
        host = "2001:470::1"
        assert [server.post(bomb, "/v1/batch", host=host).status_code for _ in range(2)] == [413, 429]


def test_every_sdk_route_reads_the_same_with_its_body_unwrapped_before() -> None:
    raw = base64.b64encode(batch(capture()))
    one = DIALECTS["/e/"]
    assert one.unwrap is not None
    assert one.read(one.unwrap(raw)) == one.read(raw)


def test_a_large_body_pays_for_its_size_and_leaves_little_of_what_is_no_event(shared: Server) -> None:
    key = add_site(shared.settings, "paying", key_rate=1, key_burst=100)
    shared.look()
    content = batch(call(properties={"a": "y" * (1 << 20)}), writeKey=key)
    assert [shared.post(content, "/v1/batch").status_code for _ in range(2)] == [200, 429]
    with stream.connect(shared.settings.streams_url) as redis:
        lengths = [redis.memory_usage(f"ev:{lane}") or 0 for lane in range(shared.settings.lanes)]
    assert sum(lengths) < 1 << 20
    drain(shared.settings)
    query = "SELECT convert_from(raw, 'UTF8') FROM dead_letters WHERE site_id = 'paying'"
    ((letter,),) = select(shared.settings, query)
    assert key not in letter and len(letter) < 8192
    assert json.loads(json.loads(letter)["metadata"])["sent"]["bytes"] > 1 << 20
