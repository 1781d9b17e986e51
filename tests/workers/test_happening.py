"""What a drain tells of now: what happened within the half hour, without bots, once each, at no event's cost."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

from redis import Redis

from schema import realtime, stream
from schema.event import Batch, Event, now
from schema.realtime import SLOT_US, Happened, Now
from schema.settings import Settings
from tests.conftest import Servers
from tests.make import HOUR, MINUTE, SECOND, T0, batch, canonical, uid
from tests.reports.listening import hanging
from tests.workers.pipeline import ROBOT, Pipeline, pipeline
from tripstream.embedded_valkey import Valkey
from workers.drain import Drain
from workers.happening import gather
from workers.resolve import Agent, Dictionaries, Staged

SLOT = T0 // SLOT_US


def gathered(*batches: Batch, at: int = T0, unregistered: str = "") -> dict[str, Happened]:
    known = Dictionaries()
    known.agents = {ROBOT: Agent(1, True, None), "Firefox": Agent(2, False, "desktop")}
    known.unregistered = {unregistered}
    return gather([Staged(event, one) for one in batches for event in one.events], known, at)


def told(redis: Redis, at: int, site_id: str = "default") -> Now:
    pipe = redis.pipeline(transaction=False)
    realtime.ask(pipe, site_id, at)
    return realtime.read(pipe.execute(), at)


def test_bots_and_what_is_long_past_are_not_live() -> None:
    assert gathered(batch(canonical(), user_agent=ROBOT)) == {}
    assert gathered(batch(canonical(), user_agent=ROBOT), batch(canonical(user_agent=ROBOT), n=1)) == {}
    assert gathered(batch(canonical()), at=T0 + 30 * MINUTE) == {}
    mixed = batch(canonical(), canonical(1, user_agent=ROBOT), canonical(2, user_agent="Firefox"))
    assert gathered(mixed)["default"].events == {(SLOT, "page_view"): 2}
    assert gathered(batch(canonical(user_agent="Firefox"), canonical(1), user_agent=ROBOT))["default"].events == {
        (SLOT, "page_view"): 1
    }


def test_trips_are_what_was_done_with_them_and_pages_what_was_viewed() -> None:
    shown = canonical(event_type="impression", trip_id=7)
    clicked = canonical(1, event_type="click_trip", trip_id=7, path="/search")
    viewed = canonical(2, trip_id=8, path="/" + "x" * 300)
    (found,) = gathered(batch(shown, clicked, viewed)).values()
    assert found.trips == {SLOT // 60: {7: 1, 8: 1}}
    assert found.pages == {SLOT // 60: {"/" + "x" * 199: 1}}


def test_a_visitor_is_who_the_rollups_take_for_one() -> None:
    nobody = {"anonymous_id": None}
    batches = [
        batch(canonical(), canonical(1), canonical(2, anonymous_id=uid(3, 9))),
        batch(canonical(3, **nobody, claimed_user="ann"), canonical(4), n=1),
        batch(canonical(5, **nobody, claimed_user="ann"), n=2),
        batch(canonical(6, **nobody), canonical(7, **nobody), n=3),
    ]
    (found,) = gathered(*batches, at=T0 + HOUR // 3).values()
    assert len(found.visitors) == 4
    assert all(visitor < 2**32 for _, visitor in found.visitors)


def test_types_that_were_too_many_are_one_and_sites_are_apart() -> None:
    found = gathered(batch(canonical(event_type="odd")), batch(canonical(1), n=1, site_id="b"), unregistered="odd")
    assert found["default"].events == {(SLOT, "unregistered"): 1}
    assert [one.event_type for one in found["default"].latest] == ["unregistered"]
    assert found["b"].events == {(SLOT, "page_view"): 1}


def test_the_latest_say_what_and_where_and_not_who() -> None:
    seen = canonical(path="/a", trip_id=3, source="homepage", claimed_user="ann", contact_id="c")
    (found,) = gathered(batch(seen, country="IL", user_agent="Firefox")).values()
    assert found.latest == [realtime.Latest(T0, "page_view", "/a", 3, "homepage", "IL", "desktop")]


def invented(n: int, at: int, chance: random.Random) -> Event:
    """Any event of the last fifty minutes."""
    kind = chance.choice(["page_view", "impression", "click_trip", "scroll_depth"])
    fields: dict[str, Any] = {"trip_id": chance.choice([None, 1, 2, 3]), "path": chance.choice([None, "/", "/b"])}
    anonymous = uid(3, chance.randrange(40))
    when = at - chance.randrange(50 * MINUTE)
    return canonical(n, event_type=kind, occurred_at=when, anonymous_id=anonymous, session_id=None, **fields)


def test_what_is_told_is_what_a_plain_count_says(pipe: Pipeline) -> None:
    chance, at = random.Random(5), now()
    events = [invented(n, at, chance) for n in range(600)]
    for n in range(0, 600, 50):
        pipe.send(*events[n : n + 50], lane=n // 50 % 2)
    later = now()
    found = told(pipe.redis, later)
    first = later // MINUTE - 29
    live = [e for e in events if e.occurred_at // MINUTE >= first]
    assert found.last_half_hour == Counter(e.event_type for e in live)
    assert dict(found.by_minute) == {
        m: sum(e.occurred_at // MINUTE == m for e in live) for m in range(first, first + 30)
    }
    recent = [e for e in live if e.occurred_at // SLOT_US > later // SLOT_US - 12]
    assert found.last_minute == Counter(e.event_type for e in recent)
    assert found.visitors == len({e.anonymous_id for e in live})
    five = [e for e in live if e.occurred_at // MINUTE // 5 > later // MINUTE // 5 - 6]
    assert dict(found.trips) == Counter(e.trip_id for e in five if e.trip_id and e.event_type != "impression")
    assert dict(found.pages) == Counter(e.path for e in five if e.path and e.event_type == "page_view")


def test_what_is_sent_twice_is_told_once_and_no_id_is_told_at_all(pipe: Pipeline) -> None:
    at = now() - 2 * SECOND
    event = canonical(anonymous_id=uid(3, 0xABCDEF), occurred_at=at, claimed_user="ann@example.org", path="/a")
    for _ in range(2):
        pipe.send(event)
    assert told(pipe.redis, now()).last_half_hour == {"page_view": 1}
    keys = list(pipe.redis.scan_iter("rt:*"))
    dumps = b"".join(pipe.redis.dump(key) or b"" for key in keys)
    for planted in (
        b"ann@example.org",
        uid(3, 0xABCDEF).bytes,
        str(uid(3, 0xABCDEF)).encode(),
        uid(2).bytes,
        str(uid(2)).encode(),
    ):
        assert planted not in dumps


def test_a_drain_behind_by_an_hour_tells_nothing_and_stores_all(pipe: Pipeline) -> None:
    pipe.send(*(canonical(n, occurred_at=now() - HOUR) for n in range(3)))
    assert list(pipe.redis.scan_iter("rt:*")) == []
    assert pipe.value("SELECT count(*) FROM events") == 3


def test_live_figures_go_where_the_streams_do_not(settings: Settings, servers: Servers, state: Any) -> None:
    """And where that Redis is away, the drain goes on without."""
    valkey = Valkey(state, bytes_max=64 << 20).start()
    try:
        apart = settings.model_copy(update={"redis_url": valkey.url(), "stream_redis_url": settings.redis_url})
        with pipeline(apart) as pipe:
            pipe.send(canonical(occurred_at=now()))
            with Redis.from_url(valkey.url()) as other:
                assert told(other, now()).last_half_hour == {"page_view": 1}
            assert list(pipe.redis.scan_iter("rt:*")) == []
            valkey.stop(immediate=True)
            pipe.send(canonical(1, occurred_at=now()))
            assert pipe.value("SELECT count(*) FROM events") == 2
    finally:
        valkey.stop(immediate=True)


def test_a_redis_that_refuses_live_figures_costs_no_event(pipe: Pipeline) -> None:
    pipe.redis.set("rt:latest:default", "not a list")
    pipe.send(canonical(occurred_at=now()))
    assert pipe.value("SELECT count(*) FROM events") == 1


def test_a_redis_that_hangs_costs_the_drain_a_second_in_a_while(settings: Settings) -> None:
    with hanging() as url:
        apart = settings.model_copy(update={"redis_url": url, "stream_redis_url": settings.redis_url})
        with pipeline(apart) as pipe:
            drain, began = Drain(pipe.connection, pipe.redis, 0, apart), time.monotonic()
            for n in range(5):
                pipe.accept(batch(canonical(n, occurred_at=now()), n=n))
                assert drain.run_once() == 1
            assert time.monotonic() - began < 4
            assert pipe.value("SELECT count(*) FROM events") == 5


def test_a_redis_whose_machine_is_gone_is_waited_for_no_longer() -> None:
    """A connection is not refused then: five seconds of each fifteen."""
    assert stream.connect("redis://h", 1.0).connection_pool.connection_kwargs["socket_connect_timeout"] == 1.0
