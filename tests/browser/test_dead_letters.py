"""Dead letters as people mend them. In: events that Postgres refuses. Out: pages that lose nothing that was typed, and
books that add up.
"""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from schema import db, sites
from schema.settings import Settings
from tests.browser.sending import PLANTED, kill
from tests.tripstream.starting import Up

expect.set_options(timeout=10_000)


def test_a_letter_is_patched_and_replayed_and_what_was_typed_is_never_lost(
    admin: Page, shop: Up, known: Settings
) -> None:
    page, (letter,) = admin, kill(known, shop, "click_trip")
    page.goto("/dashboard/dead-letters")
    page.get_by_role("link", name=str(letter), exact=True).click()
    expect(page.locator(".facts")).to_contain_text("out of range (trip_id)")
    event = page.get_by_label("The event")
    good = event.input_value().replace('"trip_id": 0', '"trip_id": 7')
    assert PLANTED in good
    for typed, why in ((good + "}", "This is no JSON"), (good.replace('_id": 7', '_id": "x"') + " ", "does not fit")):
        event.fill(typed)
        assert _submitted(page, "Save and replay") in (400, 422)
        expect(page.get_by_role("alert")).to_contain_text(why)
        expect(event).to_have_value(typed)
    event.fill(good)
    assert _submitted(page, "Save and replay") == 200
    expect(page.get_by_role("status")).to_contain_text("It was stored")
    expect(page.get_by_role("heading", level=1)).to_contain_text("replayed")
    expect(event).to_have_count(0)


def _submitted(page: Page, name: str) -> int:
    with page.expect_navigation() as navigated:
        page.get_by_role("button", name=name, exact=True).click()
    return navigated.value.status


def test_all_letters_of_a_filter_are_replayed_or_given_up_and_the_books_add_up(
    admin: Page, shop: Up, known: Settings
) -> None:
    page = admin
    kill(known, shop, "trip_view", 3)
    page.goto("/dashboard/dead-letters")
    page.get_by_role("row", name="trip_view").get_by_role("link", name="out of range (trip_id)").first.click()
    expect(page).to_have_url(re.compile(r"type=trip_view&reason=out"))
    rows = page.locator("table").last.locator("tbody tr")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Replay them").click()
    expect(page.get_by_role("status")).to_contain_text("3 replayed: 3 dead still")
    page.go_back()
    page.get_by_role("button", name="Give them up").click()
    expect(page.get_by_role("alert")).to_contain_text("Tick the box first")
    page.go_back()
    page.get_by_label("Yes, give up for good").check()
    page.get_by_role("button", name="Give them up").click()
    expect(page.get_by_role("status")).to_contain_text("3 given up")
    page.goto("/dashboard/dead-letters?type=trip_view&state=discarded")
    expect(page.locator("table").last.locator("tbody tr")).to_have_count(3)
    page.goto("/dashboard/health")
    row = page.locator("#books tbody tr", has=page.get_by_role("rowheader", name="default", exact=True))
    accepted, *settled_, difference = [int(text.replace(",", "")) for text in row.locator("td").all_inner_texts()]
    assert (accepted, difference) == (sum(settled_), 0)
    assert settled_[3] >= 3


def test_who_only_reads_is_shown_letters_and_told_which_key_changes_them(page: Page, shop: Up, known: Settings) -> None:
    (letter,) = kill(known, shop, "page_view")
    page.goto(f"/dashboard/dead-letters/{letter}")
    expect(page.get_by_text("Without a key, this machine reads only.")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Save|Replay|Give"))).to_have_count(0)
    with db.connect(known) as connection:
        key = sites.add_key(connection, "default", "read")
    page.get_by_role("link", name="Sign in with an admin key").click()
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("You are signed in with a key that reads")).to_be_visible()
    expect(page.get_by_text(PLANTED).first).to_be_visible()
    page.goto("/dashboard/live")
    expect(page.get_by_role("status")).to_have_text("Connected")
    page.goto("/dashboard/health")
    expect(page.locator("#books tbody tr")).to_have_count(1)
    expect(page.locator("#checks")).to_have_count(0)
    expect(page.get_by_text("sign in with its admin key")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
