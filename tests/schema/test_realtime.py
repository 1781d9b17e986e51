"""What is known of a site now: counted by the minute in which it happened, gone after half an hour, without an id."""

from __future__ import annotations

from collections import Counter

import pytest
from redis import Redis

from schema import realtime
from schema.realtime import SLOT_US, Happened, Latest, Now, Ticket
from tests.make import MINUTE, SECOND, T0


def happened(at: int = T0, visitor: int = 1, *, trip: int | None = None, path: str | None = None) -> Happened:
    """One page view."""
    slot = at // SLOT_US
    trips, pages = ({slot // 60: Counter([one])} if one is not None else {} for one in (trip, path))
    return Happened({(slot, "page_view"): 1}, {(slot, visitor)}, trips, pages, [Latest(at, "page_view", path, trip)])


def write(valkey: Redis, *happenings: Happened, at: int = T0, site_id: str = "default") -> None:
    for one in happenings:
        realtime.write(valkey, {site_id: one}, at)


def now(valkey: Redis, at: int, site_id: str = "default") -> Now:
    pipe = valkey.pipeline(transaction=False)
    realtime.ask(pipe, site_id, at)
    return realtime.read(pipe.execute(), at)


def test_a_site_of_which_nothing_is_known_has_figures_too(valkey: Redis) -> None:
    found = now(valkey, T0)
    assert (found.version, found.last_minute, found.last_half_hour) == (0, {}, {})
    assert (found.visitors, found.active_visitors, found.trips, found.pages, found.latest) == (0, 0, [], [], [])
    assert [n for _, n in found.by_minute] == [0] * 30
    assert found.by_minute[-1][0] == T0 // MINUTE


@pytest.mark.parametrize(
    ("later", "last_minute", "active", "half_hour"),
    [(0, 1, 1, 1), (59 * SECOND, 1, 1, 1), (61 * SECOND, 0, 1, 1), (5 * MINUTE, 0, 0, 1), (30 * MINUTE, 0, 0, 0)],
)
def test_an_event_goes_out_of_the_windows_one_after_the_other(
    valkey: Redis, later: int, last_minute: int, active: int, half_hour: int
) -> None:
    write(valkey, happened(trip=7, path="/"))
    found = now(valkey, T0 + later)
    assert (sum(found.last_minute.values()), found.active_visitors) == (last_minute, active)
    assert (sum(found.last_half_hour.values()), found.visitors) == (half_hour, half_hour)
    assert len(found.trips) == len(found.pages) == len(found.latest) == half_hour


def test_an_event_that_came_minutes_late_counts_in_its_own_minute(valkey: Redis) -> None:
    write(valkey, happened(T0 - 3 * MINUTE), happened(), at=T0)
    found = now(valkey, T0)
    assert found.last_minute == {"page_view": 1}
    assert found.last_half_hour == {"page_view": 2}
    assert [n for _, n in found.by_minute[-4:]] == [1, 0, 0, 1]
    assert valkey.keys(f"rt:seconds:*:{(T0 - 3 * MINUTE) // MINUTE}") == []  # nobody will ask


def test_a_visitor_of_several_minutes_is_one_visitor(valkey: Redis) -> None:
    write(valkey, *(happened(T0 + n * MINUTE, visitor=n % 2) for n in range(4)))
    assert now(valkey, T0 + 4 * MINUTE).visitors == 2


def test_the_top_is_summed_over_the_half_hour_and_sites_do_not_mix(valkey: Redis) -> None:
    write(valkey, *(happened(T0 + n * MINUTE, trip=n % 3, path=f"/{n % 4}") for n in range(24)))
    write(valkey, happened(trip=9, path="/elsewhere"), site_id="other")
    found = now(valkey, T0 + 24 * MINUTE)
    assert found.trips == [(0, 8), (1, 8), (2, 8)]
    assert found.pages == [("/0", 6), ("/1", 6), ("/2", 6), ("/3", 6)]
    assert now(valkey, T0 + MINUTE, "other").trips == [(9, 1)]


def test_of_very_many_trips_and_paths_the_frequent_stay(valkey: Redis) -> None:
    slot = T0 // SLOT_US
    for n in range(12):
        pages = Counter({f"/made-up/{n}/{m}": 1 for m in range(300)} | {"/home": 50})
        write(valkey, Happened({(slot, "page_view"): 350}, set(), {}, {slot // 60: pages}, []))
    assert valkey.zcard(f"rt:pages:default:{T0 // MINUTE // 5}") == 1000
    assert now(valkey, T0).pages[0] == ("/home", 600)


def test_the_latest_are_the_newest_by_their_own_time_and_twenty(valkey: Redis) -> None:
    times = [T0 + n * SECOND for n in (5, 1, 9, *range(100, 140))]
    write(valkey, *map(happened, times))
    assert [one.occurred_at for one in now(valkey, T0 + 140 * SECOND).latest] == sorted(times)[:-21:-1]
    assert valkey.llen("rt:latest:default") == 43
    write(valkey, *map(happened, times))
    assert valkey.llen("rt:latest:default") == 50


def test_every_write_is_news(valkey: Redis) -> None:
    seen = []
    for n in range(3):
        seen.append(realtime.ask_version(valkey, "default"))
        write(valkey, happened(T0 + n))
    assert seen == [None, b"1", b"2"]
    assert now(valkey, T0).version == 3
    assert realtime.ask_version(valkey, "other") is None


def test_every_key_goes_by_itself(valkey: Redis) -> None:
    write(valkey, happened(trip=7, path="/"))
    realtime.keep_ticket(valkey, "secret", Ticket("default", None, T0), 60)
    lives = {key.decode().split(":")[1]: valkey.ttl(key) for key in valkey.keys("*")}
    assert lives.keys() == {"changed", "seconds", "minute", "visitors", "trips", "pages", "latest", "ticket"}
    assert all(0 < seconds <= 35 * 60 for seconds in lives.values())


def test_a_pipeline_takes_it_as_a_client_does(valkey: Redis) -> None:
    pipe = valkey.pipeline(transaction=False)
    realtime.write(pipe, {"default": happened()}, T0)
    assert valkey.dbsize() == 0
    pipe.execute()
    assert now(valkey, T0).last_minute == {"page_view": 1}


def test_very_many_visitors_are_counted_within_two_in_a_hundred(valkey: Redis) -> None:
    slot = T0 // SLOT_US
    write(valkey, Happened({(slot, "click"): 1}, {(slot, 7919 * n % 2**32) for n in range(20_000)}, {}, {}, []))
    assert now(valkey, T0).visitors == pytest.approx(20_000, rel=0.02)


def test_what_could_name_somebody_is_forgotten_on_request_and_counts_stay(valkey: Redis) -> None:
    write(valkey, happened(trip=7, path="/"))
    assert realtime.forget(valkey, "default") == 2
    found = now(valkey, T0)
    assert (found.latest, found.visitors, found.last_half_hour) == ([], 0, Counter(page_view=1))


def test_a_ticket_is_kept_as_its_hash_and_ends(valkey: Redis) -> None:
    made = Ticket("default", "ab" * 32, T0 + SECOND)
    realtime.keep_ticket(valkey, "secret", made, 60)
    (key,) = valkey.keys("*")
    assert b"secret" not in key + (valkey.get(key) or b"")
    kept = realtime.ask_ticket(valkey, "secret")
    assert realtime.read_ticket(kept, T0) == made
    assert realtime.read_ticket(kept, T0 + SECOND) is None
    assert realtime.read_ticket(realtime.ask_ticket(valkey, "another"), T0) is None
    valkey.expire(key, 5)
    realtime.extend_ticket(valkey, "secret", 60)
    assert valkey.ttl(key) > 5
