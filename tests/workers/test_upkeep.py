"""The chores: figures mirrored, a Redis that was emptied healed, what is past its time forgotten, months made ahead."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schema import live, registry, stream
from schema.event import now
from tests.make import DAY, HOUR, batch, canonical, uid
from tests.workers.pipeline import Pipeline, meanwhile, until_blocked
from workers import upkeep
from workers.resolve import moment


def mirrored(pipe: Pipeline, site_id: str = "default") -> int:
    return pipe.value("SELECT accepted FROM accepted_mirror WHERE site_id = %s", site_id)


def test_what_was_accepted_is_mirrored_and_the_registry_published(pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('shop', '')")
    pipe.accept(batch(canonical(1), canonical(2)))
    upkeep.mirror(pipe.settings)
    assert (mirrored(pipe), mirrored(pipe, "shop")) == (2, 0)
    assert registry.decode(pipe.redis.get(registry.KEY)).sites.keys() == {"default", "shop"}
    upkeep.mirror(pipe.settings)
    assert mirrored(pipe) == 2


def test_the_figures_survive_a_redis_that_was_emptied(pipe: Pipeline) -> None:
    pipe.send(canonical(1), canonical(2), canonical(3))
    upkeep.mirror(pipe.settings)
    pipe.redis.flushall()
    upkeep.mirror(pipe.settings)
    assert stream.accepted(pipe.redis, ["default"]) == {"default": 3}
    stream.open_lanes(pipe.redis, 2)
    pipe.send(canonical(4))
    upkeep.mirror(pipe.settings)
    assert mirrored(pipe) == 4
    assert pipe.problems() == []


def test_what_was_accepted_before_the_emptied_redis_was_noticed_is_added(pipe: Pipeline) -> None:
    pipe.send(canonical(1), canonical(2), canonical(3))
    upkeep.mirror(pipe.settings)
    pipe.redis.flushall()
    stream.open_lanes(pipe.redis, 2)
    pipe.send(canonical(4))
    upkeep.mirror(pipe.settings)
    upkeep.mirror(pipe.settings)
    assert mirrored(pipe) == 4
    assert pipe.problems() == []


def test_even_when_that_was_more_than_all_before(pipe: Pipeline) -> None:
    pipe.send(canonical(1))
    upkeep.mirror(pipe.settings)
    pipe.redis.flushall()
    stream.open_lanes(pipe.redis, 2)
    pipe.send(canonical(2), canonical(3), canonical(4))
    upkeep.mirror(pipe.settings)
    assert stream.accepted(pipe.redis, ["default"]) == {"default": 4}
    upkeep.mirror(pipe.settings)
    assert mirrored(pipe) == 4
    assert pipe.problems() == []


def test_a_redis_restored_to_an_older_state_is_given_what_it_lacks(pipe: Pipeline) -> None:
    pipe.send(canonical(1), canonical(2), canonical(3))
    upkeep.mirror(pipe.settings)
    pipe.redis.hset("accepted:default", "events", "1")
    upkeep.mirror(pipe.settings)
    assert stream.accepted(pipe.redis, ["default"]) == {"default": 3}
    assert pipe.problems() == []


def test_a_mirror_waits_for_another_or_both_would_add_what_was_lost(pipe: Pipeline) -> None:
    pipe.send(canonical(1), canonical(2))
    pipe.connection.execute("SELECT pg_advisory_lock(hashtext('tripstream.mirror'))")
    with meanwhile(lambda: upkeep.mirror(pipe.settings)) as finished:
        until_blocked(pipe.settings)
        assert pipe.rows("SELECT * FROM accepted_mirror") == []
        pipe.connection.execute("SELECT pg_advisory_unlock_all()")
        finished()
    assert mirrored(pipe) == 2


def test_lapsed_sessions_old_ids_and_old_ticks_are_forgotten(pipe: Pipeline) -> None:
    begin = pipe.redis.pipeline()
    for n, age in enumerate((23 * HOUR, 25 * HOUR)):
        live.begin(begin, "default", uid(3, n), uid(2, n), (now() - age) // 1000, at_most=9)
    begin.execute()
    for n, days in enumerate((399, 401, 500)):
        seen = moment(now() - days * DAY)
        pipe.connection.execute("INSERT INTO event_ids VALUES ('default', %s, %s)", (uid(1, n), seen))
    for chore, days in (("mirror", 8), ("mirror", 6), ("mirror", 0), ("rare", 30)):
        pipe.connection.execute("INSERT INTO clock_ticks VALUES (%s, %s)", (chore, moment(now() - days * DAY)))
    upkeep.prune(pipe.settings)
    assert pipe.redis.zcard("live:default") == pipe.redis.hlen("visitor:default") == 1
    assert pipe.rows("SELECT event_id FROM event_ids") == [(uid(1, 0),)]
    # A chore's newest tick is what tells that it is not due again.
    assert pipe.rows("SELECT chore, count(*) FROM clock_ticks GROUP BY 1 ORDER BY 1") == [("mirror", 2), ("rare", 1)]


def test_forgetting_ids_is_bounded_and_goes_on_at_the_next_tick(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.connection.execute(
        "INSERT INTO event_ids SELECT 'default', gen_random_uuid(), now() - interval '500 days'"
        " FROM generate_series(1, 20001)"
    )
    monkeypatch.setattr(upkeep, "_BITES_MAX", 2)
    upkeep.prune(pipe.settings)
    assert pipe.value("SELECT count(*) FROM event_ids") == 1
    upkeep.prune(pipe.settings)
    assert pipe.value("SELECT count(*) FROM event_ids") == 0


def test_this_month_and_the_next_two_are_there_before_anyone_needs_them(pipe: Pipeline) -> None:
    for _ in range(2):
        upkeep.partitions(pipe.settings)
    today = datetime.now(UTC)
    months = [f"{today.year + m // 12}_{m % 12 + 1:02}" for m in range(today.month - 1, today.month + 2)]
    there = {name for (name,) in pipe.rows("SELECT relname FROM pg_class WHERE relispartition")}
    categories = ("interaction", "transaction", "user_activity", "content")
    assert {f"events_{category}_{month}" for category in categories for month in months} <= there
