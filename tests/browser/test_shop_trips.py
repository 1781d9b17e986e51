"""A trip of the demo shop, sign-in, and one's own events: what is done there is in Postgres, for whoever did it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.shopping import Opening, opening, sent, stored, visitor
from tests.tripstream.starting import Up
from tests.tripstream.waiting import until


@pytest.fixture
def opened(chromium: Browser, shop: Up) -> Iterator[Opening]:
    with opening(chromium, shop) as open_one:
        yield open_one


def test_what_is_done_on_a_trips_page_is_counted_for_the_list_it_came_from(opened: Opening, shop: Up) -> None:
    page = opened("/search/results?countries=IT")
    page.context.route(re.compile("https://wa.me/.*"), lambda route: route.fulfill(body="hello"))
    card = page.get_by_role("article").nth(1)
    request, trip = card.get_attribute("data-request-id"), int(card.get_attribute("data-trip-id") or "")
    card.get_by_role("link").click()
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Ask on WhatsApp").click()
    assert popup.value.url.startswith("https://wa.me/")
    popup.value.close()
    page.evaluate("document.getElementById('phone').addEventListener('click', (event) => event.preventDefault())")
    page.get_by_role("link", name="Call us").click()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Saved").click()
    page.get_by_role("button", name="Start booking").click()
    expect(page.get_by_role("dialog")).to_contain_text("nothing is booked")
    page.keyboard.press("Escape")
    page.mouse.wheel(0, 4000)
    until(lambda: page.evaluate("scrollY + innerHeight >= document.documentElement.scrollHeight - 2"), "it scrolls")
    page.wait_for_timeout(1100)  # a look of less than a second is no dwelling
    page.get_by_role("link", name="Find a trip").click()
    who = visitor(page)
    sent(page)
    types = (
        "click_trip",
        "contact_whatsapp",
        "contact_phone",
        "save_trip",
        "unsave_trip",
        "booking_start",
        "trip_dwell",
    )
    found = {one["eventType"]: one for one in stored(shop, visitor=who)}
    assert {name: (found[name]["tripId"], found[name]["recommendationRequestId"]) for name in types} == dict.fromkeys(
        types, (trip, request)
    )
    assert (found["click_trip"]["position"], found["click_trip"]["source"]) == (2, "search_results")
    assert found["results_view"]["recommendationRequestId"] == request
    assert {"page_view", "session_start", "scroll_depth"} <= found.keys()


def test_whoever_signs_in_is_back_where_they_were_and_is_linked(opened: Opening, shop: Up) -> None:
    page = opened("/search?countries=JP")
    who, email = visitor(page), "noa.levi@example.com"
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Email").fill(email)
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name=f"Signed in as {email}")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/search\?countries=JP$"))
    user, wanted = f"demo-{sha256(email.encode()).hexdigest()[:24]}", {"user_identify", "page_view"}
    until(lambda: wanted <= {one["eventType"] for one in stored(shop, user=user)}, "the visitor is linked")
    theirs = stored(shop, user=user)
    assert {one["visitor"] for one in theirs} == {who}
    assert [one for one in theirs if "token" in str(one)] == []
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_focused()
    assert visitor(page) != who


def test_the_drawer_shows_each_event_on_its_way_into_postgres(opened: Opening) -> None:
    page = opened("/")
    held: list[Route] = []
    is_held = True
    page.route("**/api/events/batch", lambda route: held.append(route) if is_held else route.continue_())
    page.goto("/search")  # what the first page sent may have gone before
    page.get_by_role("button", name="Your events").click()
    drawer = page.get_by_role("region", name="Your events")
    seen = drawer.get_by_role("listitem").filter(has_text="page_view")
    expect(seen.get_by_text("in the browser").first).to_be_visible()  # on a slow machine the first page's is there too
    until(lambda: page.evaluate("1") and held, "it is sent")
    is_held = False
    for route in held:
        route.continue_()
    expect(seen.get_by_text("stored", exact=True)).to_have_count(2, timeout=15_000)
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    expect(page.get_by_role("button", name="Your events")).to_be_focused()


def test_whoever_does_not_want_to_be_recorded_is_not(opened: Opening) -> None:
    page = opened("/")
    page.get_by_role("button", name="Your events").click()
    page.get_by_label("Record what I do").uncheck()
    posted: list[str] = []
    page.on(
        "request", lambda one: posted.append(one.url) if "/api/events" in one.url or "/api/session" in one.url else None
    )
    page.goto("/search/results?countries=IT")
    expect(page.get_by_role("article").first).to_be_visible()
    page.get_by_role("article").first.get_by_role("link").click()
    expect(page.get_by_role("button", name="Start booking")).to_be_visible()
    page.goto("/")
    assert posted == []
    assert page.evaluate("Object.keys(localStorage).filter((name) => name.startsWith('tripstream:'))") == []
