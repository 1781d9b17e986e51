"""Searching in the demo shop as people do: by keyboard, by link, in two languages, and when something goes wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from reports.shop import page as shop_page
from tests.browser.shopping import Opening, opening
from tests.tripstream.starting import Up

STATIC = Path(shop_page.__file__).parent / "static"
ASKED = "**/api/v2/recommendations"


@pytest.fixture
def opened(chromium: Browser, shop: Up) -> Iterator[Opening]:
    with opening(chromium, shop) as open_one:
        yield open_one


def recommended(shop: Up, **preferences: Any) -> dict[str, Any]:
    answer = httpx.post(f"{shop.url}/api/v2/recommendations", json=preferences, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_search_needs_no_mouse_and_the_back_button_brings_it_back(opened: Opening) -> None:
    page = opened("/search")
    page.get_by_role("searchbox", name="Search countries and continents").focus()
    page.keyboard.type("ital")
    expect(page.get_by_role("status").filter(has_text="One place found")).to_be_attached()
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value") == "IT":
            break
    page.keyboard.press("Space")
    expect(page).to_have_url(re.compile(r"/search\?countries=IT$"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/search/results\?countries=IT$"))
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("article")).to_have_count(10)
    page.go_back()
    expect(page.get_by_role("checkbox", name="Italy")).to_be_checked()
    page.go_forward()
    expect(page.get_by_role("button", name="Remove Italy")).to_be_visible()


def test_everything_that_is_wished_for_stands_in_the_address_and_comes_back_from_it(opened: Opening) -> None:
    page = opened("/search")
    page.get_by_role("radio", name="Trekking").check()
    for theme in ("Mountains", "Nature", "Photography"):
        page.get_by_role("checkbox", name=theme).check()
    expect(page.get_by_role("checkbox", name="Wine")).to_be_disabled()
    page.get_by_label("Year").select_option("2027")
    page.get_by_label("Month").select_option("5")
    page.get_by_label("At least, days").fill("12")
    page.get_by_label("At most, days").fill("6")
    page.get_by_role("button", name="Show trips").click()
    assert "/search?" in page.url, "no search begins while the shortest is longer than the longest"
    page.get_by_label("At most, days").fill("14")
    page.get_by_label("At most, in dollars").fill("4000")
    page.get_by_role("radio", name="Moderate").check()
    said = {"type": "2", "themes": "13,14,16", "year": "2027", "month": "5", "min": "12", "max": "14"}
    wanted = said | {"budget": "4000", "difficulty": "2"}
    assert dict(httpx.URL(page.url).params) == wanted
    other = opened(page.url)
    expect(other.get_by_label("At most, in dollars")).to_have_value("4000")
    expect(other.get_by_label("Month")).to_have_value("5")
    expect(other.get_by_role("radio", name="Moderate")).to_be_checked()
    assert other.get_by_role("checkbox", checked=True).count() == 3


def test_a_list_is_the_same_one_in_hebrew_and_after_the_back_button(opened: Opening) -> None:
    page = opened("/search/results?continents=EU")
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "recommendations" in one.url else None)
    first = page.get_by_role("article").first
    expect(first).to_be_visible()
    shown = first.get_attribute("data-request-id")
    page.get_by_role("button", name="עברית").click()
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    expect(page.get_by_role("heading", level=1)).to_have_text("טיולים בשבילכם")
    assert re.search("[א-ת]", first.get_by_role("heading").inner_text())
    expect(first.get_by_text("ביבשת אירופה").first).to_be_visible()
    first.get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"/trips/\d+$"))
    page.go_back()
    expect(first).to_have_attribute("data-request-id", shown or "")
    assert asked == []
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "he")


def test_relaxed_trips_stand_apart_and_scores_have_their_colour(opened: Opening, shop: Up) -> None:
    asked = [(country, kind) for country in ("IS", "MG", "NP", "GE", "PE") for kind in range(1, 13)]
    answers = ((one, recommended(shop, selectedCountries=[one[0]], preferredTypeId=one[1])) for one in asked)
    code, answer = next(one for one in answers if one[1]["primaryCount"] and one[1]["relaxedCount"])
    page = opened("/search/results?countries={}&type={}".format(*code))
    for part, wanted in (("primary", False), ("relaxed", True)):
        ids = [str(one["occurrenceId"]) for one in answer["results"] if one["isRelaxed"] is wanted]
        cards = page.locator(f"section.{part} article")
        expect(cards).to_have_count(len(ids))
        assert [card.get_attribute("data-trip-id") for card in cards.all()] == ids
    expect(page.get_by_role("heading", name="Close to what you asked for")).to_be_visible()
    for card in page.get_by_role("article").all():
        points = int(card.get_attribute("data-score") or "")
        name = "high" if points >= 70 else "middle" if points >= 50 else "low"
        expect(card.locator(".score")).to_have_class(f"score {name}")
    reasons = page.get_by_role("article").first
    reasons.get_by_text(re.compile(r"Why \d+ points")).click()
    points = [int(one.replace("−", "-")) for one in reasons.locator(".points").all_inner_texts()]
    assert min(max(sum(points), 0), 100) == int(reasons.get_attribute("data-score") or "")


def test_a_list_can_be_sorted_and_wishes_taken_back(opened: Opening) -> None:
    page = opened("/search/results?continents=AS&month=4")
    expect(page.get_by_role("article").first).to_be_visible()
    page.get_by_label("Sort by").select_option("price")
    expect(page).to_have_url(re.compile("sort=price"))
    prices = [int(re.sub(r"\D", "", one)) for one in page.locator("section.primary .price strong").all_inner_texts()]
    assert prices == sorted(prices)
    page.get_by_role("button", name="Remove April").click()
    expect(page).to_have_url(re.compile(r"/search/results\?continents=AS$"))


def test_an_error_says_so_and_can_be_tried_again(opened: Opening) -> None:
    page = opened("/search", fails=True)
    tries: list[str] = []

    def refuse(route: Route) -> None:
        tries.append(route.request.url)
        route.fulfill(status=503, headers={"retry-after": "0"}, json={"code": "busy", "message": "busy"})

    page.route(ASKED, refuse)
    page.get_by_role("button", name="Show trips").click()
    expect(page.get_by_role("alert")).to_contain_text("The server is busy")
    assert len(tries) == 3
    page.unroute(ASKED)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("article")).to_have_count(10)


def test_an_answer_that_never_comes_is_given_up_after_half_a_minute(opened: Opening) -> None:
    page = opened("/search", fails=True)
    page.clock.install()
    page.route(ASKED, lambda _: None)
    with page.expect_request(ASKED):
        page.get_by_role("button", name="Show trips").click()
    page.clock.fast_forward(29_000)
    expect(page.get_by_text("Looking for trips")).to_be_visible()
    page.clock.fast_forward(2_000)
    expect(page.get_by_role("alert")).to_contain_text("no answer within 30 seconds")


def test_what_is_not_there_is_said_with_a_way_on(opened: Opening) -> None:
    page = opened("/trips/999999999", fails=True)
    expect(page.get_by_role("alert")).to_contain_text("no such trip")
    page.get_by_role("link", name="To the first page").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Where will you stand")
    page.goto("/search/results?countries=XX")
    expect(page.get_by_role("alert")).to_contain_text("does not exist")
    page.get_by_role("alert").get_by_role("link", name="Find a trip").click()
    expect(page).to_have_url(re.compile("/search$"))


def test_a_blocked_tracker_stops_nothing_but_the_record(opened: Opening) -> None:
    page = opened("/search", fails=True)
    page.route("**/tracker.js", lambda route: route.abort())
    page.reload()
    page.get_by_role("button", name="Show trips").click()
    page.get_by_role("article").first.get_by_role("link").click()
    page.get_by_role("button", name="Start booking").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Your events").click()
    expect(page.get_by_role("region", name="Your events")).to_contain_text("nothing is recorded")


def test_both_languages_say_the_same_things() -> None:
    said = {name: (STATIC / f"{name}.js").read_text() for name in ("english", "hebrew")}
    words = {name: re.findall(r'^  "?([\w .]+?)"?: "(.+)",$', text, re.MULTILINE) for name, text in said.items()}
    holes = {name: [(key, sorted(re.findall(r"{\w+}", text))) for key, text in found] for name, found in words.items()}
    assert [key for key, _ in holes["english"]] == [key for key, _ in holes["hebrew"]] and len(words["english"]) > 100
    different = {a[0] for a, b in zip(*holes.values(), strict=True) if a[1] != b[1]}
    assert different == set()
