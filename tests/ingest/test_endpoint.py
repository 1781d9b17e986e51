"""POST /api/events/batch and /api/events: what may be sent, what is answered, and what is in the queue by then."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import Any
from urllib.parse import quote_plus, urlencode
from uuid import UUID

import httpx
import pytest

from ingest.endpoint import take
from ingest.rules import Rejection
from schema import stream
from tests import make
from tests.ingest.serving import BATCH, SESSION, SINGLE, Server, Site, drain, figures, queued, select

MIB = 1 << 20


def test_a_batch_is_answered_with_a_receipt_that_its_row_repeats(site: Site) -> None:
    answer = site.server.post(make.body(make.event(0), make.event(1, position=-1), write_key=site.key))
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    receipt = answer.json()
    batch_id = UUID(receipt.pop("batch_id"))
    assert receipt == {
        "accepted": 1,
        "rejected": [{"index": 1, "code": "invalid_field", "message": "position: Expected `int` >= 0"}],
        "durability": "fsync",
    }
    assert batch_id.version == 7
    drain(site.server.settings)
    query = "SELECT site_id, accepted, stored, duplicate, dead FROM batches WHERE batch_id = %s"
    assert select(site.server.settings, query, batch_id) == [(site.site_id, 1, 1, 0, 0)]


def sent_as(content: bytes) -> dict[str, tuple[bytes, dict[str, str]]]:
    """One batch in each way that a browser or a server may send it."""
    form = "application/x-www-form-urlencoded"
    return {
        "as JSON": (content, {"content-type": "application/json"}),
        "as a beacon's text": (content, {"content-type": "text/plain;charset=UTF-8"}),
        "without a type": (content, {}),
        "under a foreign type": (content, {"content-type": "image/png"}),
        "as a form": (urlencode({"data": content}).encode(), {"content-type": form}),
        "as a form with a charset": (b"x=1&events=" + quote_plus(content).encode(), {"content-type": f"{form};a=b"}),
        "as a form named payload": (urlencode({"payload": content}).encode(), {"content-type": form}),
        "as JSON under a form's type": (content, {"content-type": form}),
        "with a line break under a form's type": (b"\r\n\t " + content, {"content-type": form}),
        "gzipped and said so": (gzip.compress(content), {"content-encoding": "gzip"}),
        "gzipped in capitals": (gzip.compress(content), {"content-encoding": " GZIP "}),
        "gzipped silently": (gzip.compress(content), {"content-type": "text/plain"}),
        "a gzipped form": (gzip.compress(urlencode({"data": content}).encode()), {"content-type": form}),
        "with space around it": (b"\r\n\t " + content + b"\n ", {"content-type": "application/json"}),
        "as identity": (content, {"content-encoding": "identity"}),
    }


@pytest.mark.parametrize("way", sent_as(b""))
@pytest.mark.parametrize("path", [BATCH, SINGLE])
def test_a_batch_may_be_sent(site: Site, way: str, path: str) -> None:
    events = [make.event(n, path="/a+b &=%25/é") for n in range(2)]
    content, headers = sent_as(make.body(*events, write_key=site.key))[way]
    answer = site.server.post(content, path, headers=headers)
    assert (answer.status_code, answer.json().get("accepted")) == (202, 2), answer.text
    assert site.rows("path") == [("/a+b &=%25/é",)] * 2


@pytest.mark.parametrize("field", [b"data=%b", b"x=\xd7\x90&payload=%b&y"])
@pytest.mark.parametrize("escaped", [True, False])
def test_a_form_may_hold_letters_of_any_language(site: Site, field: bytes, escaped: bool) -> None:
    batch = {"events": [make.event(0, path="/שלום/é/👩‍👧")], "write_key": site.key}
    content = json.dumps(batch, ensure_ascii=False).encode()
    form = field % (quote_plus(content).encode() if escaped else content)
    answer = site.server.post(form, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 202, answer.text
    assert site.rows("path") == [("/שלום/é/👩‍👧",)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"data=\xff", "not UTF-8"),
        (b"data=%ff", "not UTF-8"),
        (b"data=%ed%a0%80", "not UTF-8"),
        (b"\xef\xbb\xbf" + make.body(), "byte 0"),
        (b"other=1", "field named data"),
        (b"", "field named data"),
        (b"&" * 200 + b"a=b", "too many"),
        (b"data=x", "JSON"),
    ],
)
def test_a_form_without_a_batch_says_where_it_belongs(shared: Server, content: bytes, says: str) -> None:
    answer = shared.post(content, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 400
    assert says in answer.json()["message"]


def test_a_bare_list_and_a_bare_event_are_batches_too(site: Site) -> None:
    auth = {"authorization": f"Bearer {site.key}"}
    listed = site.server.post(json.dumps([make.event(n) for n in range(3)]).encode(), headers=auth)
    assert listed.json()["accepted"] == 3
    single = json.dumps(make.event(3, write_key=site.key, site_id=site.site_id, sent_at="2026-01-01T00:00:00Z"))
    assert site.server.post(single.encode(), SINGLE).json()["accepted"] == 1
    assert site.rows("metadata") == [(None,)] * 4
    bare = site.server.post(single.encode(), BATCH)
    assert (bare.status_code, bare.json()["code"]) == (400, "invalid_body")


def test_every_refusal_keeps_its_place_and_the_first_hundred_say_all_of_what_is_wrong() -> None:
    one = make.batch(make.canonical(1))
    take(one, 1, [Rejection(n, "invalid_field", "position: no", "click") for n in range(150)])
    assert [refused.at for refused in one.refused] == list(range(150))
    assert [refused.message for refused in one.refused] == ["position: no"] * 100 + [""] * 50
    assert list(one.places) == [150]


def test_a_single_event_that_is_refused_is_a_400_and_in_a_batch_it_is_not(site: Site) -> None:
    bad = make.event(0, position=-1)
    answer = site.server.post(json.dumps(bad | {"write_key": site.key}).encode(), SINGLE)
    assert answer.status_code == 400
    assert answer.json() == {"code": "invalid_field", "message": "position: Expected `int` >= 0", "accepted": 0}
    assert len(site.post(bad)["rejected"]) == 1
    with stream.connect(site.server.settings.streams_url) as redis:
        assert stream.rejected(redis, site.site_id) == {"page_view invalid_field": 2}
    assert site.figures() == (0, 0, 0, 0)


@pytest.mark.parametrize("content", [b"[]", b'{"events":[]}'])
def test_an_empty_batch_is_accepted_and_queues_nothing(shared: Server, content: bytes) -> None:
    answer = shared.post(content)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (202, 0, [])
    assert queued(shared.settings) == 0


def test_a_hundred_events_are_accepted_and_one_more_is_too_large(site: Site) -> None:
    site.post(*(make.event(n) for n in range(100)))
    answer = site.server.post(make.body(*(make.event(n) for n in range(101)), write_key=site.key))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "101 events" in answer.json()["message"]
    assert site.figures() == (100, 100, 0, 0)


@pytest.mark.parametrize("length", ["1048577", str(1 << 40), "9" * 5000])
def test_a_body_that_announces_too_much_is_refused_before_it_is_read(shared: Server, length: str) -> None:
    async def body() -> Any:
        raise AssertionError("the body was read")
        yield b""

    answer = shared.request("POST", BATCH, content=body(), headers={"content-length": length})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("length", ["10", "junk", "-1"])
def test_a_body_over_the_limit_is_cut_off_whatever_was_announced(shared: Server, length: str) -> None:
    sent = 0

    async def body() -> Any:
        nonlocal sent
        for _ in range(64):
            sent += 1
            yield b" " * 65_536

    answer = shared.request("POST", BATCH, content=body(), headers={"content-length": length})
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert sent <= 18


def test_a_blind_resend_is_one_event_and_without_a_time_it_is_two(site: Site) -> None:
    timed = make.event(event_id=..., client_timestamp=int(time.time()) - 86_400)
    for _ in range(3):
        site.post(timed)
        site.post(make.event(event_id=...))
    assert site.figures() == (6, 4, 2, 0)


def test_unknown_fields_are_kept_in_the_metadata(site: Site) -> None:
    site.post(make.event(0, experiment={"b": 1}, metadata={"a": 1}))
    assert site.rows("metadata") == [({"a": 1, "experiment": {"b": 1}},)]


def test_the_request_says_which_user_agent_unless_the_event_does(site: Site) -> None:
    agent = "Mozilla/5.0 (é)".encode() + b"\xff" + b"x" * 600
    content = make.body(make.event(0), make.event(1, user_agent="Own/1"), write_key=site.key)
    assert site.server.post(content, headers=[(b"user-agent", agent)]).status_code == 202
    first, second = site.rows("user_agent")
    assert first[0] == ("Mozilla/5.0 (é)\ufffd" + "x" * 600)[:500]
    assert second == ("Own/1",)


def test_accepted_is_counted_in_the_queue_itself(site: Site) -> None:
    site.post(make.event(0), make.event(1), make.event(2, position=-1))
    with stream.connect(site.server.settings.streams_url) as redis:
        assert stream.accepted(redis, [site.site_id]) == {site.site_id: 2}
        entries = [e for k in range(site.server.settings.lanes) for e in stream.waiting(redis, k, "+")]
    [entry] = [entry for entry in entries if entry.site_id == site.site_id]
    assert entry.events == 2
    assert entry.batch is not None
    assert [event.event_id for event in entry.batch.events] == [make.uid(1, 0), make.uid(1, 1)]


def test_one_visitor_stays_in_one_lane_and_many_use_all(site: Site) -> None:
    drain(site.server.settings)
    for visitor in range(20):
        for n in range(2):
            site.post(make.event(visitor * 10 + n, anonymous_id=str(make.uid(3, visitor))))
    with stream.connect(site.server.settings.streams_url) as redis:
        lanes = [
            {entry.batch.events[0].anonymous_id for entry in stream.waiting(redis, lane, "+") if entry.batch}
            for lane in range(site.server.settings.lanes)
        ]
    assert all(lanes)
    assert sum(map(len, lanes)) == 20


def test_three_hundred_posts_at_once_are_all_answered_and_none_is_lost(site: Site) -> None:
    async def all_at_once() -> list[httpx.Response]:
        async with site.server.client() as client:
            return await asyncio.gather(*(client.post(path, content=content(n)) for n, path in enumerate(paths)))

    def content(n: int) -> bytes:
        if n % 3 == 2:
            return json.dumps({"anonymous_id": str(make.uid(3, n)), "write_key": site.key}).encode()
        return make.body(*(make.event(10 * (n - n % 2) + i) for i in range(5)), write_key=site.key)

    paths = [SESSION if n % 3 == 2 else BATCH for n in range(300)]
    answers = site.server.run(all_at_once())
    assert [answer.status_code for answer in answers] == [200 if path == SESSION else 202 for path in paths]
    promised = sum(answer.json().get("accepted", 1) for answer in answers)
    totals = site.figures()
    assert (totals.accepted, totals.dead) == (promised, 0) == (1100, 0)
    assert totals.conserved
    distinct = {10 * (n - n % 2) for n in range(300) if n % 3 != 2}
    assert totals.stored == len(distinct) * 5 + 100
    assert site.server.gate.requests == site.server.gate.bytes == 0


@pytest.mark.parametrize("path", [BATCH, SINGLE, SESSION])
def test_any_site_may_ask_a_browser_to_post_to_it(shared: Server, path: str) -> None:
    asks = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    asks["access-control-request-headers"] = "content-type"
    preflight = shared.request("OPTIONS", path, headers=asks)
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert {"content-type", "content-encoding", "authorization"} <= set(
        preflight.headers["access-control-allow-headers"].split(", ")
    )
    assert "access-control-allow-credentials" not in preflight.headers
    for content in (make.body(), b"not JSON"):
        simple = shared.post(content, path, headers={"origin": "https://shop.example", "content-type": "text/plain"})
        assert simple.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in shared.post(make.body(), path).headers


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH"])
def test_another_method_is_refused_and_told_which_ones_there_are(shared: Server, method: str) -> None:
    answer = shared.request(method, BATCH)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")


def test_the_books_of_the_module_balance(shared: Server) -> None:
    drain(shared.settings)
    for (site_id,) in select(shared.settings, "SELECT site_id FROM sites"):
        assert figures(shared.settings, site_id).conserved
    assert select(shared.settings, "SELECT count(*) FROM dead_letters") == [(0,)]
