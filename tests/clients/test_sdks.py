"""The official SDKs, each with its defaults, against a running server whose web process is killed twice on the way.

The port belongs to the supervisor, so that connections wait while there is no web process: the SDKs of Node give up
after three refused ones. What an SDK resends because it missed the answer is the same event, by its message id.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from schema import stream
from schema.settings import Settings
from tests.chaos.queue import backlog
from tests.clients.sdks import SDKS, Drive, Sdk
from tests.ingest.serving import add_site, select
from tests.tripstream.starting import Up, web_pids
from tests.tripstream.waiting import gone, until
from workers.verify import verify

COUNT, PARTS = 2_000, 2
PART, PART_SECONDS = COUNT // PARTS, 4.0


class Outcome(NamedTuple):
    """What became of one SDK's events. `failures` is what its callback was told."""

    sent: object
    failures: object
    stored: int
    event_ids: int
    numbers: int


PERFECT = Outcome(COUNT, [], COUNT, COUNT, COUNT)


@pytest.mark.parametrize("sdk", SDKS, ids=[sdk.site for sdk in SDKS])
def test_the_sdk_is_here(sdk: Sdk) -> None:
    if missing := sdk.missing():
        words = f"{sdk.package} is left out: {missing}"
        assert os.environ.get("CI") != "true", words
        pytest.skip(words)


def test_killing_the_server_twice_costs_no_sdk_an_event_and_doubles_none(one: Up, settings: Settings) -> None:
    sdks = [sdk for sdk in SDKS if not sdk.missing()]
    if not sdks:
        pytest.skip("no SDK is installed")
    keys = {sdk: add_site(settings, sdk.site) for sdk in sdks}
    with driving(keys, one) as drives:
        for part in range(PARTS):
            wait_for(settings, sdks, PART * part * 0.9)  # the rest waits in the SDK until its batch is full
            for drive in drives:
                drive.go_on()
            wait_for(settings, sdks, PART * (part + 0.2))
            kill(one)
            assert min(accepted(settings, sdks)) < PART * (part + 1), "nobody was sending any more"
        reports = {drive.sdk: drive.report(60) for drive in drives}
    until(lambda: drained(settings), "the queue runs empty", 60)
    one.process.terminate()
    assert one.ends() == 0
    assert {sdk.site: outcome(settings, sdk, reports[sdk]) for sdk in sdks} == {sdk.site: PERFECT for sdk in sdks}
    assert verify(settings, lambda *_: None).problems == []


@contextmanager
def driving(keys: Mapping[Sdk, str], one: Up) -> Iterator[list[Drive]]:
    """All at the same time, each with its key."""
    drives: list[Drive] = []
    try:
        for sdk, key in keys.items():
            drives.append(sdk.drive(one.url, key, PART, PART_SECONDS, one.path.with_name(f"{sdk.site}.log")))
        yield drives
    finally:
        for drive in drives:
            drive.end()


def wait_for(settings: Settings, sdks: list[Sdk], events: float) -> None:
    until(lambda: min(accepted(settings, sdks)) >= events, f"every SDK has sent {events:.0f} events", 60)


def kill(one: Up) -> None:
    """The web process, without a warning; its supervisor starts another one."""
    (pid,) = web_pids(one)
    os.kill(pid, signal.SIGKILL)
    until(lambda: gone(pid), "it is gone")


def accepted(settings: Settings, sdks: list[Sdk]) -> list[int]:
    """Events promised to each so far; what was sent again is promised again."""
    with stream.connect(settings.streams_url) as redis:
        return list(stream.accepted(redis, [sdk.site for sdk in sdks]).values())


def drained(settings: Settings) -> bool:
    with stream.connect(settings.streams_url) as redis:
        return backlog(redis, settings) == 0


def outcome(settings: Settings, sdk: Sdk, report: dict[str, object]) -> Outcome:
    query = """
        SELECT count(*), count(DISTINCT event_id), count(DISTINCT jsonb_path_query_first(metadata, '$.**.number'))
        FROM events WHERE site_id = %s"""
    return Outcome(report["sent"], report["failures"], *select(settings, query, sdk.site)[0])
