"""One walk through everything. In: a person in a browser, who searches, scrolls, opens a trip and asks about it. Out:
the live view, the trip's counters and the funnel say within three seconds what the person did, and `verify` agrees.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from schema import db
from schema.settings import Settings
from tests.browser.conftest import settled
from tests.browser.sending import AGENT, send
from tests.tripstream.starting import Up
from tests.tripstream.waiting import until

SECONDS_MAX = 3.0
SHOWN = """() => [
    document.querySelector("[data-figure=lastHalfHour]").textContent,
    [...document.querySelectorAll("#types tbody tr")].map(({ cells }) => [cells[0].textContent, cells[2].textContent]),
]"""  # at once: rows are replaced while one is read after the other
STEPS = "search_submit,click_trip,contact_whatsapp"
COUNTERS = ("impression_count", "click_count", "whatsapp_contact_count", "save_count", "booking_start_count")


class Tabs(NamedTuple):
    """The person's own, and two of somebody who watches: the live view, and the funnel."""

    own: Page
    live: Page
    funnel: Page


@pytest.fixture
def tabs(chromium: Browser, shop: Up) -> Iterator[Tabs]:
    size = {"width": 1280, "height": 900}
    contexts = [chromium.new_context(base_url=shop.url, user_agent=AGENT, viewport=size) for _ in range(2)]
    contexts[0].route(re.compile("https://wa.me/.*"), lambda route: route.fulfill(body="hello"))
    yield Tabs(contexts[0].new_page(), contexts[1].new_page(), contexts[1].new_page())
    for context in contexts:
        context.close()


def patience() -> float:
    """Three seconds, where the machine has a core for each that wants one; as much longer as each has to share."""
    return SECONDS_MAX * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def sent_by(page: Page) -> dict[str, str]:
    """The events that a page sends from now on, as they leave the browser: their types by their ids. The start of a
    session is an event that the server makes."""
    types: dict[str, str] = {}

    def note(request: Request) -> None:
        if request.url.endswith("/api/session/start"):
            types[f"session {len(types)}"] = "session_start"
        if request.method == "POST" and request.url.endswith("/api/events/batch"):
            types.update((one["event_id"], one["event_type"]) for one in json.loads(request.post_data or "")["events"])

    page.on("request", note)
    return types


def walk(page: Page) -> int:
    """A search, a look at all of the list, one trip, a tap on WhatsApp. Returns the trip."""
    page.goto("/search")
    page.get_by_role("searchbox", name="Search countries and continents").fill("ital")
    page.get_by_role("checkbox", name="Italy").check()
    page.get_by_role("button", name="Show trips").click()
    cards = page.get_by_role("article")
    expect(cards.first).to_be_visible()
    page.mouse.move(600, 500)
    for _ in range(8):
        page.mouse.wheel(0, 900)
        page.wait_for_timeout(150)  # at a person's pace: nothing is awaited
    page.wait_for_timeout(1100)  # a card is seen after a second
    trip = int(cards.last.get_attribute("data-trip-id") or "")
    cards.last.get_by_role("link").first.click()
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Ask on WhatsApp").click()
    popup.value.close()
    page.evaluate("tripstream.flush()")
    return trip


def counters(known: Settings, trip: int) -> dict[str, int]:
    with db.connect(known) as connection:
        query = "SELECT * FROM trip_interactions WHERE site_id = 'default' AND trip_id = %s"
        cursor = connection.execute(query, [trip])
        names, row = [one.name for one in cursor.description or ()], cursor.fetchone()
    return {name: int(row[names.index(name)]) if row else 0 for name in COUNTERS}


def half_hour(page: Page) -> tuple[int, Counter[str]]:
    """Events of the last half hour, and how many of each type, as the live view shows them."""
    total, rows = page.evaluate(SHOWN)
    return int(total.replace(",", "")), Counter({name: int(n.replace(",", "")) for name, n in rows})


def came(page: Page) -> list[int]:
    """Who came to each step, as the funnel's page shows it."""
    page.goto(f"/dashboard/funnel?days=2&steps={STEPS}")
    return [int(one.replace(",", "")) for one in page.locator("tbody tr td:nth-child(2)").all_text_contents()]


def verified(shop: Up) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment |= {"TRIPSTREAM_STATE": str(shop.state)}
    command = [sys.executable, "-m", "tripstream", "verify"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_what_a_person_did_is_in_every_view_within_three_seconds(tabs: Tabs, shop: Up, known: Settings) -> None:
    send(shop)
    settled(shop)  # what has just started is not measured
    before_steps = came(tabs.funnel)
    tabs.live.goto("/dashboard/live")
    expect(tabs.live.get_by_role("status")).to_have_text("Connected")
    expect(tabs.live.locator("[data-figure=lastHalfHour]")).not_to_have_text(re.compile("^[–0]$"))
    before_events, before_types = half_hour(tabs.live)
    sent = sent_by(tabs.own)
    with db.connect(known) as connection:
        rows = connection.execute("SELECT trip_id FROM trip_interactions").fetchall()
    before_trips = {trip: counters(known, trip) for (trip,) in rows}
    trip = walk(tabs.own)
    done, seconds = time.monotonic(), patience()

    def left() -> float:
        return max(seconds - (time.monotonic() - done), 0.01)

    until(lambda: tabs.own.evaluate("1") and "contact_whatsapp" in sent.values(), "it leaves the browser", left())
    until(lambda: half_hour(tabs.live)[0] == before_events + len(sent), "the live view has all of it", left())
    expected = before_trips.get(trip, dict.fromkeys(COUNTERS, 0))
    moved = {"impression_count": 1, "click_count": 1, "whatsapp_contact_count": 1}
    expected = {name: n + moved.get(name, 0) for name, n in expected.items()}
    until(lambda: counters(known, trip) == expected, f"counters {counters(known, trip)} are {expected}", left())
    settled(shop)  # a funnel follows the rollup, which comes each minute, or when it is asked for
    until(lambda: came(tabs.funnel) == [n + 1 for n in before_steps], "the funnel has one more", left())
    took = time.monotonic() - done
    assert took < seconds

    done_here = Counter(sent.values())
    said = ("search_submit", "results_view", "click_trip", "contact_whatsapp")
    assert {name: done_here[name] for name in said} == dict.fromkeys(said, 1)
    assert done_here["scroll_depth"] >= 4
    assert done_here["impression"] >= 1
    _, after_types = half_hour(tabs.live)
    shown = {name: after_types[name] - before_types[name] for name in done_here if name in after_types}
    assert shown == {name: done_here[name] for name in shown}
    assert shown  # of types the view has the twelve most frequent, and other tests send some too
    expect(tabs.live.locator("#trips")).to_contain_text(f"({trip})")
    books = verified(shop)
    assert books.returncode == 0, books.stdout + books.stderr
