"""5,000 events of two visitors, on pages of two origins, through all that happens to pages and servers: every one is
stored, and stored once.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from ingest.tracker import SCRIPT
from schema import stream
from schema.settings import Settings
from tests.browser.front import Front, fronting
from tests.browser.tracking import NOTHING_KEPT
from tests.chaos.queue import backlog
from tests.ingest.serving import add_site, select
from tests.tripstream.starting import Up, upon, web_pids
from tests.tripstream.waiting import gone, until
from workers.verify import verify

BURST, BURSTS = 100, 50
TRACK = "([from, to]) => { for (let n = from; n < to; n++) tripstream.track('click', {metadata: {n}}) }"


@pytest.fixture
def stack(settings: Settings, state: Path, tmp_path: Path) -> Iterator[Up]:
    """The product as people start it, on servers that the test can look into."""
    with upon(settings, state, tmp_path / "log") as started:
        yield started


class Visitor:
    """A browser's profile with one page open, which tracks in bursts. Its events are numbered with everybody's."""

    def __init__(self, context: BrowserContext, site: Front, numbers: Iterator[int], stack: Up) -> None:
        self.context, self.site, self.numbers, self.stack = context, site, numbers, stack
        self.tracked: list[int] = []
        self.page = self.opened()

    def opened(self) -> Page:
        page = self.context.new_page()
        page.goto(f"{self.site.url}/{len(self.tracked)}")
        return page

    def burst(self, page: Page | None = None) -> None:
        mine = [next(self.numbers) for _ in range(BURST)]
        (page or self.page).evaluate(TRACK, [mine[0], mine[-1] + 1])
        self.tracked += mine

    def stays(self) -> None:
        self.burst()

    def goes_on(self) -> None:
        self.burst()
        self.page.goto(f"{self.site.url}/{len(self.tracked)}")

    def reloads(self) -> None:
        self.burst()
        self.page.reload()

    def comes_back(self) -> None:
        self.burst()
        self.page.goto(f"{self.site.url}/away")
        self.burst()
        self.page.go_back()

    def closes_the_tab(self) -> None:
        self.burst()
        self.page.close()
        self.page = self.opened()

    def has_two_tabs(self) -> None:
        other = self.opened()
        self.burst(other)
        self.burst()
        other.close()

    def is_offline(self) -> None:
        self.context.set_offline(True)
        self.burst()
        self.context.set_offline(False)

    def is_cut_off(self) -> None:
        self.fails("cut")

    def is_refused(self) -> None:
        self.fails(503)

    def is_too_fast(self) -> None:
        self.fails(429)

    def fails(self, fault: int | str) -> None:
        self.site.fault = fault
        self.burst()
        self.page.goto(f"{self.site.url}/{len(self.tracked)}")
        self.burst()
        self.site.fault = None

    def sees_a_restart(self) -> None:
        until(lambda: web_pids(self.stack), "a web process is there")
        (pid,) = web_pids(self.stack)
        os.kill(pid, signal.SIGKILL)
        self.burst()
        until(lambda: gone(pid), "the web process is gone")
        self.page.goto(f"{self.site.url}/{len(self.tracked)}")

    def is_done(self) -> None:
        """What the others have left was sent by the page that is open."""
        self.page.wait_for_function(NOTHING_KEPT, timeout=60_000)
        self.context.close()


WAYS: tuple[Callable[[Visitor], None], ...] = (
    Visitor.stays,
    Visitor.goes_on,
    Visitor.is_refused,
    Visitor.reloads,
    Visitor.closes_the_tab,
    Visitor.is_cut_off,
    Visitor.comes_back,
    Visitor.has_two_tabs,
    Visitor.is_offline,
    Visitor.is_too_fast,
    Visitor.sees_a_restart,
)


def test_every_event_is_stored_once_whatever_happens(chromium: Browser, stack: Up, settings: Settings) -> None:
    key, numbers = add_site(settings, "shop"), count()
    until(lambda: knows(stack, key), "the new key is known")
    with fronting(stack.url) as same, fronting() as other:
        other.script = f"{stack.url}/tracker.{SCRIPT.version}.js"
        other.attributes += f' crossorigin integrity="{SCRIPT.integrity}"'
        for site in (same, other):
            site.attributes += f' data-key="{key}"'
        visitors = [Visitor(chromium.new_context(), site, numbers, stack) for site in (same, other)]
        for n in range(1000):
            if sum(len(one.tracked) for one in visitors) >= BURST * BURSTS:
                break
            WAYS[n // 2 % len(WAYS)](visitors[n % 2])
        for visitor in visitors:
            visitor.goes_on()
        for visitor in visitors:
            visitor.is_done()
        refused = {one.status for one in same.posted} - {200, 202}
    tracked = sorted(n for one in visitors for n in one.tracked)
    until(lambda: drained(settings), "the queue runs empty", 60)
    stack.process.terminate()
    assert stack.ends() == 0
    assert refused == {0, 429, 503} or refused == {0, 429, 502, 503}
    rows = select(settings, "SELECT (metadata->>'n')::int, event_id FROM readable_events WHERE event_type = 'click'")
    assert len(tracked) >= BURST * BURSTS
    assert sorted(set(tracked) - {n for n, _ in rows}) == []
    assert Counter(n for n, _ in rows) == Counter(tracked)
    assert len({event_id for _, event_id in rows}) == len(rows)
    assert verify(settings, lambda *_: None).problems == []


def knows(stack: Up, key: str) -> bool:
    body = {"site_id": "shop", "write_key": key, "session_id": str(uuid4()), "anonymous_id": str(uuid4())}
    return httpx.post(f"{stack.url}/api/session/start", json=body).status_code == 200


def drained(settings: Settings) -> bool:
    with stream.connect(settings.streams_url) as redis:
        return backlog(redis, settings) == 0
