"""Visitors of the demo shop. In: a browser, a shop. Out: pages of theirs, and what Postgres holds of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import settled
from tests.browser.tracking import NOTHING_KEPT
from tests.tripstream.starting import Up
from tests.tripstream.waiting import until

Opening = Callable[..., Page]


@contextmanager
def opening(chromium: Browser, shop: Up) -> Iterator[Opening]:
    """Opens pages of fresh visitors. `fails`: whether a request may fail, which a browser says on its console."""
    made = []

    def open_one(path: str, *, fails: bool = False, **options: Any) -> Page:
        size = {"width": 1280, "height": 900}
        context = chromium.new_context(base_url=shop.url, locale="en-US", **{"viewport": size} | options)
        page, wrong = context.new_page(), []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" and not fails else None)
        made.append((context, wrong))
        page.goto(path)
        expect(page.locator("h1")).to_be_visible()
        return page

    yield open_one
    for context, wrong in made:
        context.close()
        assert wrong == []


def visitor(page: Page) -> str:
    return page.evaluate("tripstream.visitor()")


def sent(page: Page) -> None:
    """Wait until the browser keeps nothing that the server has not answered for."""
    page.evaluate("tripstream.flush()")
    until(lambda: page.evaluate(NOTHING_KEPT), "everything is sent")


def stored(shop: Up, **asked: str) -> list[dict[str, Any]]:
    """A visitor's events as they are in Postgres."""
    settled(shop)
    answer = httpx.get(f"{shop.url}/api/stats/events", params={"limit": "500", "bots": "true", **asked}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["events"]
