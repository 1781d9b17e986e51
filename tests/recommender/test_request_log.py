"""The hand-off of answered requests: bounded, silent, and honest about what it lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from recommender.request_log import LOST, RequestLog
from schema import stream
from schema.asked import Asked
from schema.settings import Settings
from tests.make import T0, uid


def asked(n: int) -> Asked:
    return Asked(
        site_id="default", request_id=uid(9, n), requested_at=T0, preferences="{}", filters=[],
        search_type="exploration", policy_id="rules", policy_version=1, results=[], primary_count=0, relaxed_count=0,
        total_candidates=0, response_time_us=1,
    )  # fmt: skip


def append(settings: Settings, number: int, has_room: Callable[[], bool] = lambda: True) -> float:
    """Hand over so many at once. Returns how many were lost."""

    async def all_at_once() -> None:
        log = RequestLog(settings, has_room)
        await asyncio.gather(*(log.append(asked(n)) for n in range(number)))
        await log.close()

    before = LOST._value.get()
    asyncio.run(all_at_once())
    return LOST._value.get() - before


def queued(settings: Settings) -> int:
    with stream.connect(settings.streams_url) as redis:
        return sum(lane.batches for lane in stream.backlog(redis, range(settings.lanes)))


def test_each_is_queued_once(settings: Settings) -> None:
    assert append(settings, 10) == 0
    assert queued(settings) == 10


def test_no_more_than_64_are_under_way_while_redis_is_slow(settings: Settings) -> None:
    with stream.connect(settings.streams_url) as redis:
        redis.execute_command("CLIENT", "PAUSE", 300, "WRITE")
    assert append(settings, 70) == 6
    assert queued(settings) == 64


def test_events_have_what_room_is_left_and_the_loss_is_told_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    assert append(settings, 3, has_room=lambda: False) == 3
    assert queued(settings) == 0
    assert [record.message for record in caplog.records] == ["answered requests are not logged"]


def test_what_is_answered_within_a_moment_is_handed_over_together_whoever_gives_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[int] = []
    send = RequestLog._send

    async def counted(log: RequestLog) -> None:
        await asyncio.sleep(0)
        handed.append(len(log._waiting))
        await send(log)

    monkeypatch.setattr(RequestLog, "_send", counted)

    async def one_gives_up() -> None:
        log = RequestLog(settings, lambda: True)
        waiting = [asyncio.ensure_future(log.append(asked(n))) for n in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await log.append(asked(5))
        await log.close()

    asyncio.run(one_gives_up())
    assert (handed, queued(settings)) == ([5, 1], 6)


def test_all_that_were_to_go_together_are_counted_when_they_are_lost(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"})
    assert append(nowhere, 3) == 3
    with stream.connect(settings.streams_url) as redis:
        room = redis.config_get("maxmemory")["maxmemory"]
        redis.config_set("maxmemory", 1)
        try:
            assert append(settings, 3) == 3
        finally:
            redis.config_set("maxmemory", room)
    assert queued(settings) == 0
