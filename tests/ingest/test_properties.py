"""Whatever Hypothesis thinks of, posted. In: bytes, JSON, and valid batches that were damaged. Out: never a 5xx, always
JSON, and books that balance once the queue is drained.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest import body
from ingest.dialects import native
from ingest.dialects.native import NativeEvent
from ingest.endpoint import decode
from schema.errors import InvalidBody, TooLarge
from schema.event import Batch, Event, as_json, from_json
from tests import make
from tests.ingest.contexts import context
from tests.ingest.serving import BATCH, SESSION, SINGLE, Server, drain, figures

ROUTES = st.sampled_from([BATCH, SINGLE, SESSION])
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["application/json", "text/plain", "application/x-www-form-urlencoded", ""]),
        "content-encoding": st.sampled_from(["gzip", "identity", "br", ""]),
        "origin": st.sampled_from(["https://shop.example", "null", ""]),
        "authorization": st.sampled_from(["", "Bearer", "Bearer x", "Basic eDp5"]),
        "user-agent": st.binary(max_size=600).filter(lambda raw: not {0, 10, 13} & set(raw)),
    },
)
TEXT = st.text(max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT | st.uuids(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(NativeEvent.__struct_fields__) | TEXT
EVENTS = st.builds(
    lambda n, changed: make.event(n) | changed, st.integers(0, 50), st.dictionaries(NAMES, VALUES, max_size=3)
)
DAMAGED = st.lists(EVENTS | VALUES, max_size=6)


def checked(answer: httpx.Response) -> int:
    """Events accepted, of an answer that is as promised."""
    told = answer.json()
    assert answer.headers["content-length"] == str(len(answer.content))
    if answer.status_code == 202:
        assert told.keys() == {"accepted", "rejected", "batch_id", "durability"}
        assert all(refusal["code"] and refusal["message"] for refusal in told["rejected"])
        return int(told["accepted"])
    if answer.status_code == 200:
        assert told.keys() == {"session_id", "resumed", "expires_in_seconds"}
        return int(not told["resumed"])
    assert 400 <= answer.status_code < 500, answer.text
    assert {"code", "message"} <= told.keys()
    assert told["message"]
    return 0


def test_no_bytes_can_break_it(shared: Server) -> None:
    @given(ROUTES, st.binary(max_size=200), HEADERS)
    @example(BATCH, b"\x1f\x8b", {})
    @example(BATCH, b"data", {"content-type": "application/x-www-form-urlencoded"})
    def check(path: str, content: bytes, headers: dict[str, Any]) -> None:
        assert checked(shared.post(content, path, headers=headers)) == 0

    check()


def test_no_json_can_break_it(shared: Server) -> None:
    @given(ROUTES, VALUES | st.fixed_dictionaries({"events": VALUES}), HEADERS)
    def check(path: str, value: Any, headers: dict[str, Any]) -> None:
        checked(shared.post(json.dumps(value, default=str).encode(), path, headers=headers))

    check()


def test_of_a_damaged_batch_every_event_is_accepted_or_refused_and_the_books_balance(shared: Server) -> None:
    before = figures(shared.settings).accepted
    accepted = []

    @given(DAMAGED, st.dictionaries(st.sampled_from(["sent_at", "extra"]), VALUES))
    def check(events: list[Any], more: dict[str, Any]) -> None:
        content = json.dumps({"events": events, **more}, default=str, ensure_ascii=False).encode()
        answer = shared.post(content)
        assert answer.status_code == 202, answer.text
        accepted.append(checked(answer))
        refused = [refusal["index"] for refusal in answer.json()["rejected"]]
        assert accepted[-1] + len(refused) == len(events)
        assert refused == sorted(set(refused))

    check()
    drain(shared.settings)
    totals = figures(shared.settings)
    assert totals.accepted == before + sum(accepted)
    assert totals.conserved
    assert totals.dead == 0


def test_a_batch_with_a_few_bytes_changed_is_answered_and_the_books_balance(shared: Server) -> None:
    whole = make.body(*(make.event(n, metadata={"é": [n]}, page_url="https://a/?utm_source=b") for n in range(3)))
    changes = st.lists(st.tuples(st.integers(0, len(whole)), st.integers(0, 3), st.binary(max_size=3)), max_size=4)

    @given(changes, st.booleans())
    def check(edits: list[tuple[int, int, bytes]], squeezed: bool) -> None:
        content = whole if not squeezed else gzip.compress(whole, mtime=0)
        for at, gone, put in edits:
            content = content[:at] + put + content[at + gone :]
        checked(shared.post(content))

    check()
    drain(shared.settings)
    assert figures(shared.settings).conserved


UUIDS = st.uuids().map(str)
CODES = st.text(min_size=1, max_size=100) | st.text(max_size=101)
VALID = st.fixed_dictionaries(
    {"event_type": CODES, "session_id": UUIDS, "anonymous_id": UUIDS, "event_id": UUIDS},
    optional={
        "client_timestamp": st.none() | st.floats(0, 1e13) | st.integers(make.T0 // 1000 - 10**11, make.T0 // 1000),
        "trip_id": st.none() | st.integers(0, 2**63),
        "recommendation_request_id": st.none() | UUIDS,
        "position": st.integers(-1, 2**31),
        "score": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        "page_url": st.text(max_size=30).map("https://a/?utm_term=".__add__),
        "metadata": st.none() | st.dictionaries(TEXT, VALUES, max_size=3),
        "schema_version": st.integers(0, 40_000),
        **dict.fromkeys(("source", "path", "referrer", "user_id", "owner_code", "user_code", "extra"), TEXT),
    },
)
ENVELOPES = st.fixed_dictionaries(
    {"events": st.lists(VALID, max_size=3)},
    optional={"sent_at": VALUES, "write_key": st.none() | TEXT, "site_id": st.none() | TEXT, "more": VALUES},
)


@given(ENVELOPES, st.booleans(), st.booleans())
def test_the_short_way_through_a_body_ends_where_the_long_way_ends(root: Any, single: bool, strict: bool) -> None:
    sent = root["events"][0] if single and len(root["events"]) == 1 else root
    raw = json.dumps(sent, default=str, ensure_ascii=False).encode()
    known = context(strict=strict)
    envelope = native.read_exact(raw, single)
    short = None if envelope is None else native.parse_exact(envelope, known)
    if short is not None:
        found = native.items(decode(raw), single)
        assert short == native.parse(found, sent.get("sent_at"), known, may_hold_nul=b"\\u0000" in raw)
        assert not short.rejected


def test_what_browsers_send_goes_the_short_way() -> None:
    full = make.event(0, client_timestamp="2025-12-31T23:59:00Z", metadata={"a": 1}, user_code="x")
    for raw, single in (
        (make.body(full, sent_at=5), False),
        (json.dumps(full).encode(), True),
        (make.body(full), True),
    ):
        envelope = native.read_exact(raw, single)
        assert envelope is not None
        assert native.parse_exact(envelope, context()) is not None


PRINTABLE = st.text(st.characters(codec="utf-8"), max_size=20)
BY_TYPE = {"UUID": st.uuids(), "int": st.integers(-(2**63), 2**63 - 1), "str": PRINTABLE}
BY_TYPE["float"] = st.floats(allow_nan=False, allow_infinity=False)


def _field(annotation: str) -> st.SearchStrategy[Any]:
    kind, _, optional = annotation.partition(" | ")
    return BY_TYPE[kind] | st.none() if optional else BY_TYPE[kind]


CANONICAL = st.builds(Event, **{name: _field(kind) for name, kind in Event.__annotations__.items()})
BATCHES = st.builds(
    Batch,
    site_id=PRINTABLE,
    batch_id=st.uuids(),
    received_at=BY_TYPE["int"],
    events=st.lists(CANONICAL, max_size=3),
    ip_prefix=st.none() | PRINTABLE,
    country=st.none() | PRINTABLE,
    user_agent=st.none() | PRINTABLE,
)


@given(BATCHES)
def test_a_batch_comes_out_of_the_queue_as_it_went_in(batch: Batch) -> None:
    assert Batch.unpack(batch.pack()) == batch


@given(st.binary(max_size=100) | BATCHES.map(lambda batch: batch.pack()[:-1]))
def test_foreign_bytes_in_the_queue_raise_what_the_reader_expects(payload: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        Batch.unpack(payload)


@given(CANONICAL)
def test_an_event_shown_to_people_reads_back_as_the_same_event(event: Event) -> None:
    assert from_json(as_json(event)) == event
    assert None not in json.loads(as_json(event)).values()


@given(st.binary(max_size=5000) | st.binary(max_size=20).map(lambda raw: raw * 1000), st.integers(1, 6000))
def test_gzip_is_undone_up_to_the_limit_to_the_byte(raw: bytes, limit: int) -> None:
    squeezed = gzip.compress(raw, mtime=0)
    if len(raw) > limit:
        with pytest.raises(TooLarge):
            body.gunzip(squeezed, limit)
    else:
        assert body.gunzip(squeezed, limit) == raw


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=16), st.integers(0, 400))
def test_every_member_of_a_gzip_stream_counts_and_none_over_the_limit(parts: list[bytes], limit: int) -> None:
    squeezed = b"".join(gzip.compress(part, mtime=0) for part in parts)
    whole = b"".join(parts)
    if len(whole) > limit:
        with pytest.raises(TooLarge):
            body.gunzip(squeezed, limit)
    else:
        assert body.gunzip(squeezed, limit) == body.gunzip(squeezed + bytes(7), limit) == whole


@pytest.mark.parametrize(
    "more", [b"x", b"\x1f\x8b", gzip.compress(b"b", mtime=0)[:-1], gzip.compress(b"", mtime=0) * 16]
)
def test_what_follows_a_gzip_stream_is_not_lost_in_silence(more: bytes) -> None:
    with pytest.raises(InvalidBody):
        body.gunzip(gzip.compress(b"a") + more, 1000)


@given(st.binary(min_size=1, max_size=500), st.data())
def test_torn_gzip_is_refused_wherever_it_was_torn(raw: bytes, data: st.DataObject) -> None:
    squeezed = gzip.compress(raw, mtime=0)
    with pytest.raises(InvalidBody):
        body.gunzip(squeezed[: data.draw(st.integers(0, len(squeezed) - 1))], 1000)


@given(st.binary(max_size=500))
def test_foreign_bytes_as_gzip_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidBody):
        body.gunzip(raw, 1000)
