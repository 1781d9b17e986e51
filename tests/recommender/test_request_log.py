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
