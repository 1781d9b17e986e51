"""The canonical event: packed and unpacked, shown to people, and the ids that are made for it."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.event import EVENT_FIELDS, NAMESPACE, Batch, Event, as_json, derived_id, from_json, new_id, now
from tests.make import T0, batch, canonical, uid

TEXT = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
EVENTS = st.builds(
    Event,
    event_id=st.uuids(),
    event_type=st.text(max_size=9),
    occurred_at=st.integers(-(2**63), 2**63 - 1),
    session_id=st.none() | st.uuids(),
    trip_id=st.none() | st.integers(-(2**63), 2**64 - 1),
    position=st.none() | st.integers(-(2**63), 2**64 - 1),
    score=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    path=TEXT,
    metadata=TEXT,
)


@given(st.lists(EVENTS, max_size=3))
def test_a_batch_comes_back_as_it_was_packed(events: list[Event]) -> None:
    whole = batch(*events, ip_prefix="203.0.113.0/24", country="IL", user_agent="curl/8")
    assert Batch.unpack(whole.pack()) == whole


@given(EVENTS)
def test_an_event_comes_back_as_it_was_shown(event: Event) -> None:
    assert from_json(as_json(event)) == event


def test_a_batch_without_later_fields_is_still_read() -> None:
    short = msgspec.msgpack.encode(["default", uid(4).bytes, T0, [[uid(1).bytes, "page_view", T0]]])
    assert Batch.unpack(short) == batch(canonical(session_id=None, anonymous_id=None), received_at=T0)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x90",
        b"{}",
        canonical().event_id.bytes,
        msgspec.msgpack.encode({"site_id": "default"}),
        msgspec.msgpack.encode(["default", "no uuid", 1, []]),
        batch().pack()[:-1],
        batch().pack() + b"\x00",
        b"\x91" * 100_000,
    ],
)
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError, RecursionError)):
        Batch.unpack(payload)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b'{"event_type": "a", "occurred_at": 1}', "event_id|UUID|null"),
        (b'{"event_id": "no", "event_type": "a", "occurred_at": 1}', "UUID"),
        (b'{"event_id": "00000000-0000-4000-8000-000000000000", "event_type": "a", "occurred_at": "x"}', "int"),
        (
            b'{"event_id": "00000000-0000-4000-8000-000000000000", "event_type": "a", "tripid": 1}',
            "no such field: tripid",
        ),
        (b"[]", "object|dict"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused_with_the_reason(text: bytes, what: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=what):
        from_json(text)


def test_what_is_shown_leaves_out_what_is_not_there() -> None:
    shown = msgspec.json.decode(as_json(canonical(position=0)))
    assert shown.keys() == {"event_id", "event_type", "occurred_at", "session_id", "anonymous_id", "position"}
    assert shown.keys() < set(EVENT_FIELDS)


def test_a_made_id_is_of_version_7_and_sorts_by_its_time() -> None:
    ids = [new_id(T0 + n * 1000) for n in range(100)]
    assert ids == sorted(ids)
    assert {(made.version, made.variant) for made in ids} == {(7, "specified in RFC 4122")}
    assert all(made.int >> 80 == T0 // 1000 + n for n, made in enumerate(ids))
    assert len({new_id(T0) for _ in range(1000)}) == 1000


def test_a_derived_id_is_of_version_5_and_follows_from_its_parts() -> None:
    made = derived_id("default", "content", b"{}", "0")
    assert made == derived_id("default", b"content", "{}", "0") == UUID("5caf8845-d729-5d9b-9490-597cfe04e609")
    assert (made.version, made.variant) == (5, "specified in RFC 4122")
    others = {derived_id("other", "content", b"{}", "0"), derived_id("default", "content", b"{}", "1"), NAMESPACE}
    assert made not in others
    assert derived_id("a", "b", "c") != derived_id("a", "bc")


def test_now_is_in_microseconds() -> None:
    assert 1_700_000_000_000_000 < now() < 10_000_000_000_000_000
