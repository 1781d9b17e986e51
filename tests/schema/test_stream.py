"""The queue: what is appended is read, whatever is wrong with an entry stays inside it, nothing is trimmed."""

from __future__ import annotations

import msgspec
import pytest
import redis
from redis import Redis

from schema import stream
from schema.entry import Entry
from schema.stream import Backlog
from tests.conftest import Servers
from tests.make import batch, canonical, uid


def append(valkey: Redis, *numbers: int, lane: int = 0, site_id: str = "default") -> None:
    for n in numbers:
        pipe = valkey.pipeline(transaction=True)
        stream.append(pipe, lane, batch(canonical(2 * n), canonical(2 * n + 1), n=n, site_id=site_id))
        pipe.execute()


def read_one(valkey: Redis, fields: dict[str, object]) -> Entry:
    stream.open_lanes(valkey, 1)
    valkey.xadd("ev:0", fields, id="1767225600000-123")
    (entry,) = stream.read(valkey, 0, 10, 0)
    return entry


def test_what_is_appended_is_read_once_and_pending_until_forgotten(valkey: Redis) -> None:
    append(valkey, 1, 2)  # before the group exists: it begins at the beginning
    stream.open_lanes(valkey, 1)
    first, second = stream.read(valkey, 0, 10, 0)
    assert (first.batch, second.batch) == (
        batch(canonical(2), canonical(3), n=1),
        batch(canonical(4), canonical(5), n=2),
    )
    assert (first.site_id, first.batch_id, first.events) == ("default", uid(4, 1), 2)
    assert stream.read(valkey, 0, 10, 0) == []
    assert stream.read_pending(valkey, 0, 10) == [first, second]
    stream.forget(valkey, 0, [first.entry_id])
    assert stream.read_pending(valkey, 0, 10) == [second]
    assert valkey.xlen("ev:0") == 1
    stream.forget(valkey, 0, [])


def test_accepted_grows_with_the_append_and_not_without_it(valkey: Redis) -> None:
    append(valkey, 1, 2)
    append(valkey, 3, site_id="other")
    assert stream.accepted(valkey, ["default", "other", "third"]) == {"default": 4, "other": 2, "third": 0}


def test_refused_events_are_counted_by_reason(valkey: Redis) -> None:
    for _ in range(2):
        reasons = {"page_view too_old": 2, "unknown invalid_field": 1}
        valkey.eval(stream.APPEND, 0, *stream.arguments([], [("default", reasons)]))
    assert stream.rejected(valkey, "default") == {"page_view too_old": 4, "unknown invalid_field": 2}
    assert stream.rejected(valkey, "other") == {}


def test_a_deleted_entry_that_is_pending_is_empty(valkey: Redis) -> None:
    append(valkey, 1)
    stream.open_lanes(valkey, 1)
    (entry,) = stream.read(valkey, 0, 10, 0)
    valkey.xdel("ev:0", entry.entry_id)
    (gone,) = stream.read_pending(valkey, 0, 10)
    assert (gone.entry_id, gone.batch, gone.events, gone.payload) == (entry.entry_id, None, 0, b"")


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"not msgpack", b"\x91" * 100_000, batch().pack()[:-1], msgspec.msgpack.encode([1, 2, 3])]
)
def test_an_unreadable_payload_keeps_what_its_header_says(valkey: Redis, payload: bytes) -> None:
    entry = read_one(valkey, {"v": b"1", "s": "shop", "b": uid(4).bytes, "n": 7, "d": payload})
    assert (entry.batch, entry.site_id, entry.batch_id, entry.events) == (None, "shop", uid(4), 7)
    assert entry.payload == payload or (not payload and entry.payload)


@pytest.mark.parametrize(
    ("fields", "site_id", "events"),
    [
        ({"x": "y"}, "default", 0),
        ({"v": "2", "s": "shop", "n": "3", "d": batch().pack()}, "shop", 3),
        ({"s": b"\xff\0", "n": "-3"}, "\ufffd", 0),
        ({"n": "1" * 30, "b": b"short"}, "default", 0),
        ({"v": "1", "s": "shop", "n": "1", "d": batch(site_id="a\0b").pack()}, "shop", 1),
        ({"v": "1", "s": "shop", "n": "1", "d": batch(received_at=2**62).pack()}, "shop", 1),
    ],
)
def test_an_entry_of_a_stranger_is_read_as_far_as_it_goes(
    valkey: Redis, fields: dict[str, object], site_id: str, events: int
) -> None:
    entry = read_one(valkey, fields)
    assert (entry.batch, entry.site_id, entry.events) == (None, site_id, events)
    assert entry.payload


def test_strangers_entries_without_a_batch_id_are_told_apart(valkey: Redis) -> None:
    stream.open_lanes(valkey, 2)
    for lane, entry_id in ((0, "1767225600000-120"), (0, "1767225600000-121"), (1, "1767225600000-120")):
        valkey.xadd(f"ev:{lane}", {"x": "y"}, id=entry_id)
    entries = [entry for lane in (0, 1) for entry in stream.read(valkey, lane, 10, 0)]
    assert len({entry.batch_id for entry in entries}) == 3
    stream.forget(valkey, 0, ["1767225600000-121"])
    assert stream.read_pending(valkey, 0, 1)[0].batch_id == entries[0].batch_id


def test_the_backlog_is_counted_and_dated_per_lane(valkey: Redis) -> None:
    stream.open_lanes(valkey, 2)
    append(valkey, 1, 2)
    first_ms = int(valkey.xrange("ev:0", count=1)[0][0].split(b"-")[0])
    assert stream.backlog(valkey, [0, 1]) == [Backlog(0, 2, first_ms), Backlog(1, 0, None)]


def test_a_removed_lane_is_known_until_it_is_forgotten(valkey: Redis) -> None:
    stream.open_lanes(valkey, 4)
    stream.open_lanes(valkey, 4)
    assert stream.known_lanes(valkey, 2) == [0, 1, 2, 3]
    stream.forget_lane(valkey, 3)
    assert stream.known_lanes(valkey, 2) == [0, 1, 2]
    assert stream.known_lanes(valkey, 5) == [0, 1, 2, 3, 4]


def test_a_snapshot_takes_figures_and_tails_together(valkey: Redis) -> None:
    stream.open_lanes(valkey, 2)
    append(valkey, 1, 2, lane=1)
    accepted, tails = stream.snapshot(valkey, [0, 1], ["default", "other"])
    assert accepted == {"default": 4, "other": 0}
    append(valkey, 3, lane=1)
    assert [entry.batch_id for entry in stream.waiting(valkey, 1, tails[1], page=1)] == [uid(4, 1), uid(4, 2)]
    assert tails.keys() == {1}
    assert stream.has_until(valkey, 1, tails[1])
    assert not stream.has_until(valkey, 0, tails[1])


def test_deliveries_are_counted(valkey: Redis) -> None:
    stream.open_lanes(valkey, 1)
    assert stream.deliveries_max(valkey, 0) == 0
    append(valkey, 1)
    stream.read(valkey, 0, 10, 0)
    for _ in range(3):
        stream.read_pending(valkey, 0, 10)
    assert stream.deliveries_max(valkey, 0) == 4


def test_what_another_consumer_left_is_adopted_after_five_minutes(valkey: Redis) -> None:
    stream.open_lanes(valkey, 1)
    append(valkey, 1, 2)
    valkey.xreadgroup(stream.GROUP, "stranger", {"ev:0": ">"})
    stale = valkey.xpending_range("ev:0", stream.GROUP, "-", "+", 10)[0]["message_id"]
    valkey.xclaim("ev:0", stream.GROUP, "stranger", 0, [stale], idle=300_001)
    stream.adopt(valkey, 0)
    assert [entry.entry_id for entry in stream.read_pending(valkey, 0, 10)] == [stale.decode()]


def test_signs_of_life_and_pauses_expire(valkey: Redis) -> None:
    assert not (stream.is_draining(valkey, 1) or stream.is_paused(valkey) or stream.is_ticking(valkey))
    stream.beat(valkey, 1, 5)
    stream.pause(valkey, 5)
    stream.beat_clock(valkey)
    assert stream.is_draining(valkey, 1) and not stream.is_draining(valkey, 0)
    assert stream.is_paused(valkey) and stream.is_ticking(valkey)
    assert all(0 < valkey.pttl(key) <= 15_000 for key in ("draining:1", "pause", "ticking"))


def test_the_memory_share_is_of_the_limit(valkey: Redis) -> None:
    assert 0 < stream.memory_share(valkey) < 0.5
    assert not stream.is_full(valkey)
    valkey.config_set("maxmemory", 0)
    try:
        assert stream.memory_share(valkey) == 0
    finally:
        valkey.config_set("maxmemory", 256 << 20)


def test_a_call_that_fails_is_not_repeated(servers: Servers) -> None:
    with stream.connect(servers.valkey.url(), seconds_max=0.05) as client:
        assert client.get_retry()._retries == 0
        with pytest.raises(redis.exceptions.TimeoutError):
            client.blpop(["nothing"], 1)


def test_a_lane_makes_itself_known_with_its_first_entry_and_again_after_it_was_forgotten(valkey: Redis) -> None:
    stream.append(valkey, 3, batch(canonical()))
    assert stream.known_lanes(valkey, 2) == [0, 1, 3]
    stream.open_lanes(valkey, 2)
    (entry,) = stream.read(valkey, 3, 10, 0)
    assert not stream.forget_lane(valkey, 3)
    stream.forget(valkey, 3, [entry.entry_id])
    assert stream.forget_lane(valkey, 3)
    assert stream.known_lanes(valkey, 2) == [0, 1]
    stream.append(valkey, 3, batch(canonical()))
    assert stream.known_lanes(valkey, 2) == [0, 1, 3]


def test_a_waiting_batch_is_found_by_its_id_and_no_other_payload_is_moved(valkey: Redis) -> None:
    for n in range(30):
        fields = {"v": "1", "s": "default", "b": uid(4, n).bytes, "n": 1, "d": b"\xc1" * 500_000}
        valkey.xadd(f"ev:{n % 2}", fields, id=f"{100_000 + n}-1")
    before = valkey.info("stats")["total_net_output_bytes"]
    found = [stream.find(valkey, [0, 1], uid(4, n), 100_000) for n in (0, 29, 30)]
    assert [one and (one.entry_id, one.batch_id) for one in found] == [
        ("100000-1", uid(4, 0)),
        ("100029-1", uid(4, 29)),
        None,
    ]
    assert [len(one.payload) for one in found if one] == [500_000] * 2
    assert valkey.info("stats")["total_net_output_bytes"] - before < 1_100_000
    assert stream.find(valkey, [0, 1], uid(4, 29), 89_000) is None


def test_the_search_for_a_batch_ends_somewhere(valkey: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_LOOKED_AT_MAX", 20)
    monkeypatch.setattr(stream, "_LOOK_BYTES", 1)
    for n in range(40):
        valkey.xadd("ev:0", {"b": uid(4, n).bytes}, id=f"{100_000 + n}-1")
    assert stream.find(valkey, [0], uid(4, 23), 100_000) is not None  # in the third look of eight
    assert stream.find(valkey, [0], uid(4, 24), 100_000) is None
