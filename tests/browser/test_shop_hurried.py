"""People who do not wait for the demo shop: keys, the back button and other links while something is under way."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.shopping import Opening, opening
from tests.tripstream.starting import Up
from tests.tripstream.waiting import until


@pytest.fixture
def opened(chromium: Browser, shop: Up) -> Iterator[Opening]:
    with opening(chromium, shop) as open_one:
        yield open_one


def test_the_way_past_the_header_is_no_new_page(opened: Opening) -> None:
    page = opened("/search/results?continents=EU")
    expect(page.get_by_role("article").first).to_be_visible()
    page.evaluate("() => { window.was = document.querySelector('article') }")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the trips")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    expect(page).to_have_url(re.compile("continents=EU$"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Change the search")).to_be_focused()
    assert page.evaluate("window.was.isConnected")


def test_what_had_the_focus_and_is_gone_hands_it_on(opened: Opening) -> None:
    page = opened("/search?countries=JP")
    page.get_by_role("button", name="Start over").click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(0)
    page.get_by_role("link", name="Horizons").click()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("Find a trip")


def test_the_drawer_asks_in_one_turn_however_often_it_is_opened(opened: Opening) -> None:
    page = opened("/")
    held: list[Route] = []
    is_held = True
    page.route("**/shop/events", lambda route: held.append(route) if is_held else route.fulfill(json={"events": []}))
    page.get_by_role("button", name="Your events").click()
    for name in ("עברית", "English", "עברית", "English"):
        page.get_by_role("button", name=name).click()
    until(lambda: page.evaluate("1") and len(held) == 5, "each has asked")
    is_held = False
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "/shop/events" in one.url else None)
    for route in held:
        route.fulfill(json={"events": []})
    page.wait_for_timeout(2500)
    assert 1 <= len(asked) <= 4


def test_a_sign_in_that_ends_late_takes_nobody_away_from_where_they_are(opened: Opening, shop: Up) -> None:
    page = opened("/")
    held: list[Route] = []
    page.route("**/api/user/identify", lambda route: held.append(route))
    claims = urlsafe_b64encode(b'{"email": "noa@example.com"}').decode()
    page.goto(f"/auth/callback?next=/search%3Fcountries=JP#access_token=x.{claims}.x")
    page.get_by_role("link", name="Horizons").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Where will you stand")
    held[0].fulfill(status=202, json={})
    expect(page.get_by_role("button", name="Signed in as noa@example.com")).to_be_visible()
    expect(page).to_have_url(f"{shop.url}/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Where will you stand")
