"""What tests of the tracker do with a page: open it, track numbered events, wait until they came."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import BrowserContext, Page

from tests.browser.front import Front

NOTHING_KEPT = "() => !Object.keys(localStorage).some((name) => name.startsWith('tripstream:b:'))"


def opened(visitor: BrowserContext, site: Front, path: str = "/", before: str = "") -> Page:
    page = visitor.new_page()
    if before:
        page.add_init_script(before)
    page.goto(site.url + path)
    return page


def track(page: Page, *numbers: int) -> None:
    page.evaluate("(numbers) => numbers.forEach((n) => tripstream.track('click', {metadata: {n}}))", numbers)


def come(page: Page, site: Front, *numbers: int, seconds: float = 20) -> list[dict[str, Any]]:
    """Wait until each of these events came and was answered. Returns all that came, as often as they came."""
    for _ in range(int(seconds * 50)):
        found = [e["metadata"]["n"] for e in site.events("click", answered=True)]
        if set(numbers) <= set(found):
            return site.events("click")
        page.wait_for_timeout(20)
    raise AssertionError(f"{sorted(set(numbers) - set(found))} did not come")


def until_posted(page: Page, site: Front, path: str, times: int = 1) -> None:
    for _ in range(500):
        if len([one for one in site.posted if one.path == path]) >= times:
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"{path} was not posted to {times} times")
