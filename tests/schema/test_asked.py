"""Answered requests in the stream: what is packed is unpacked, and an entry says of which kind it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.asyncio
from redis import Redis

from schema import stream
from schema.asked import Asked
from schema.entry import Entry
from tests.conftest import Servers
from tests.make import asked, batch, canonical, shown, uid

FULL = asked(1, results=shown(91, 12, is_relaxed=True, propensity=0.25), user_agent="curl/8")


def read(valkey: Redis) -> list[Entry]:
    stream.open_lanes(valkey, 1)
    return stream.read(valkey, 0, 10, 0)


@pytest.mark.parametrize("one", [FULL, asked(session_id=None, anonymous_id=None, results=[], filters=[])])
def test_what_is_packed_is_unpacked(one: Asked) -> None:
    assert Asked.unpack(one.pack()) == one


def test_its_lane_goes_by_its_visitor_as_far_as_that_is_known() -> None:
    assert asked().visitor == uid(3).bytes
    assert asked(anonymous_id=None).visitor == uid(2).bytes
    assert asked(4, anonymous_id=None, session_id=None).visitor == uid(5, 4).bytes


def test_an_entry_is_read_as_what_it_is_and_promises_no_event(valkey: Redis) -> None:
    events = batch(canonical(1))
    stream.append_asked(valkey, 0, FULL)
    stream.append(valkey, 0, events)
    first, second = read(valkey)
    assert first[1:] == ("default", uid(5, 1), 0, None, FULL.pack(), FULL)
    assert (second.events, second.batch, second.asked) == (1, events, None)
    assert stream.accepted(valkey, ["default"]) == {"default": 1}
    assert stream.known_lanes(valkey, 0) == [0]


def test_a_client_that_is_awaited_appends_the_same(valkey: Redis, servers: Servers) -> None:
    async def append() -> None:
        async with redis.asyncio.Redis.from_url(servers.valkey.url()) as client:
            await stream.append_asked(client, 0, FULL)

    asyncio.run(append())
    assert [entry.asked for entry in read(valkey)] == [FULL]


WRONG: dict[str, dict[str, object]] = {
    "a kind that nobody knows": {"k": "reading"},
    "a later format": {"v": "2"},
    "a payload of another kind": {"d": batch().pack()},
    "a payload cut short": {"d": FULL.pack()[:-3]},
    "NUL in the site": {"d": asked(site_id="a\0").pack()},
    "a time after all calendars": {"d": asked(requested_at=2**62).pack()},
    "no payload": {"d": b""},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_read_stays_inside_its_entry(valkey: Redis, wrong: dict[str, object]) -> None:
    fields: dict[Any, Any] = {
        "v": "1",
        "k": "request",
        "s": "default",
        "b": uid(5, 1).bytes,
        "n": 0,
        "d": FULL.pack(),
    } | wrong
    valkey.xadd("ev:0", fields)
    (entry,) = read(valkey)
    assert (entry.batch, entry.asked) == (None, None)
    assert entry[1:4] == ("default", uid(5, 1), 0)
    assert entry.payload
