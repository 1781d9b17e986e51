"""What the tracker sees of a page, and what its calls make of it: views, searches, lists, scrolling, dwell, changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from recommender.policy import WEIGHTS
from recommender.preferences import Preferences
from tests.browser.front import Front
from tests.tripstream.waiting import until

CARD = (
    '<li data-trip-id="{n}" data-position="{n}" data-score="{score}" data-source="search_results" '
    'style="height:400px"><a href="#{n}">Trip {n}</a></li>'
)
LIST = (
    "<ol id=list style='margin:0;padding:0'>" + "".join(CARD.format(n=n, score=90 - n) for n in range(1, 6)) + "</ol>"
)

SEARCHES: list[dict[str, Any]] = [
    {},
    {"selectedCountries": ["IT"], "selectedContinents": ["EU"]},
    {"selected_countries": [], "budget": 900, "year": "all", "month": "all"},
    {"minDuration": 3, "maxDuration": 5},
    {"year": "2027", "month": 4},
    {"preferredTypeId": 2, "preferredThemeIds": [1]},
    {"difficulty": 1, "month": 5, "limit": 10},
    {"preferred_theme_ids": [], "preferred_type_id": None, "difficulty": 2},
    {"selectedContinents": ["EU"], "max_duration": 9},
]


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context: BrowserContext = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.clock.install()
    yield page
    context.close()
    assert wrong == []


def sent(page: Page, site: Front, event_type: str | None = None) -> list[dict[str, Any]]:
    """Every event of this type, once it was sent."""
    page.evaluate("tripstream.flush()")
    return site.events(event_type)


def test_pages_without_a_reload_are_views_with_the_page_before_as_their_referrer(page: Page, site: Front) -> None:
    site.attributes = 'data-site="shop"'
    page.goto(site.url + "/one?utm_source=x#access_token=secret")
    page.evaluate("history.pushState({}, '', '/two')")
    page.evaluate("history.replaceState({}, '', '/two?filter=1')")
    page.evaluate("history.pushState({}, '', '/three')")
    page.evaluate("history.back()")
    page.wait_for_url("**/two?filter=1")
    views = [(e["page_url"], e.get("referrer")) for e in sent(page, site, "page_view")]
    one, two, filtered, three = (site.url + path for path in ("/one?utm_source=x", "/two", "/two?filter=1", "/three"))
    assert views == [(one, None), (two, one), (three, two), (filtered, three)]


def test_calls_from_before_the_script_are_kept_for_it(page: Page, site: Front) -> None:
    site.before = "<script>window.tripstream = []; tripstream.push(['track', 'save_trip', {trip_id: 7}])</script>"
    site.attributes = 'data-site="shop"'
    page.goto(site.url)
    page.evaluate("tripstream.push(['track', 'unsave_trip', {trip_id: 7}])")
    assert [e["event_type"] for e in sent(page, site)] == ["page_view", "save_trip", "unsave_trip"]


def test_a_page_may_start_it_by_itself_and_load_it_twice(page: Page, site: Front) -> None:
    site.attributes = f"></script><script defer src='{site.script}'"
    page.goto(site.url)
    page.evaluate("tripstream.init({site: 'shop', key: 'k', fields: {owner_code: 'guide-7'}})")
    assert [(e["event_type"], e["owner_code"]) for e in sent(page, site)] == [("page_view", "guide-7")]
    assert {(one.body["site_id"], one.body["write_key"]) for one in site.posted} == {("shop", "k")}


def test_a_search_is_of_the_kind_that_the_recommender_says(page: Page, site: Front) -> None:
    page.goto(site.url)
    page.evaluate("(searches) => searches.forEach((asked) => tripstream.search(asked))", SEARCHES)
    for asked, event in zip(SEARCHES, sent(page, site, "search_submit"), strict=True):
        focused = len(Preferences.model_validate(asked).filters) >= WEIGHTS.focused_filters
        assert event["metadata"]["search_type"] == ("focused_search" if focused else "exploration"), asked
        assert Preferences.model_validate(event["metadata"]["preferences"]) == Preferences.model_validate(asked)


def test_results_are_counted_with_the_request_that_found_them(page: Page, site: Front) -> None:
    answer = {
        "requestId": "01a1fe0c-116c-711b-a0ab-7dd05c7dd42b",
        "results": [{"matchScore": 91}, {"matchScore": 70}],
        "primaryCount": 2,
        "relaxedCount": 0,
        "totalCandidates": 364,
        "responseTimeMs": 5.5,
    }
    page.goto(site.url)
    page.evaluate("(answer) => { tripstream.results(answer); tripstream.results({...answer, results: []}) }", answer)
    some, none = sent(page, site, "results_view")
    assert some["recommendation_request_id"] == answer["requestId"]
    wanted = {"primary_count": 2, "relaxed_count": 0, "total_candidates": 364, "response_time_ms": 5.5, "top_score": 91}
    assert some["metadata"].items() >= wanted.items()
    assert none["metadata"].get("top_score") is None


def test_cards_are_seen_once_when_half_of_them_was_visible_for_a_second(page: Page, site: Front) -> None:
    site.bodies["/"] = LIST
    page.goto(site.url)
    page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=10))
    page.evaluate("tripstream.list(document.getElementById('list'), {recommendation_request_id: 'r-1'})")
    frames(page)
    page.clock.run_for(900)
    assert sent(page, site, "impression") == []
    page.clock.run_for(200)
    assert [e["trip_id"] for e in sent(page, site, "impression")] == [1, 2]
    page.evaluate("scrollTo(0, 800)")
    frames(page)
    page.clock.run_for(500)
    page.evaluate("scrollTo(0, 0)")
    frames(page)
    page.clock.run_for(2000)
    assert [e["trip_id"] for e in sent(page, site, "impression")] == [1, 2]
    page.evaluate("scrollTo(0, 800)")
    frames(page)
    page.clock.run_for(1100)
    seen = sent(page, site, "impression")
    assert [(e["trip_id"], e["position"], e["score"], e["source"]) for e in seen][2:] == [
        (3, 3, 87, "search_results"),
        (4, 4, 86, "search_results"),
    ]
    page.evaluate(
        "document.getElementById('list').insertAdjacentHTML('afterbegin', '<li data-trip-id=9 style=height:100px>')"
    )
    page.evaluate("scrollTo(0, 0)")
    frames(page)
    page.clock.run_for(1100)
    assert sorted(e["trip_id"] for e in sent(page, site, "impression")) == [1, 2, 3, 4, 9]
    assert {e["recommendation_request_id"] for e in site.events("impression")} == {"r-1"}


def test_what_is_clicked_says_where_it_stood(page: Page, site: Front) -> None:
    button = "<button id=call data-event=contact_phone><b>Call</b></button>"
    site.bodies["/"] = LIST + f"<div data-trip-id=42>{button}</div><p id=text>no link</p>"
    page.goto(site.url)
    page.evaluate("""() => {
        const list = document.getElementById('list');
        tripstream.list(list, {recommendation_request_id: 'r-1'});
        list.addEventListener('click', (event) => event.stopPropagation());
    }""")
    page.get_by_role("link", name="Trip 2").focus()
    page.keyboard.press("Enter")
    page.locator("li").nth(2).click(position={"x": 600, "y": 200})
    page.get_by_text("Call").click()
    events = sent(page, site)
    by_themselves = ("scroll_depth", "impression")  # on a slow machine a second passes meanwhile
    done = [e["event_type"] for e in events if e["event_type"] not in by_themselves]
    assert done == ["click_trip", "contact_phone"]
    (click,) = site.events("click_trip")
    assert (click["trip_id"], click["position"], click["score"], click["source"]) == (2, 2, 88, "search_results")
    assert click["recommendation_request_id"] == "r-1"
    (call,) = site.events("contact_phone")
    assert (call["trip_id"], call["click_target"]) == (42, "call")


def test_scrolling_tells_each_quarter_once_a_page(page: Page, site: Front) -> None:
    page.goto(site.url)
    page.evaluate("tripstream.page('home')")
    page.evaluate("() => { document.body.style.height = '4000px' }")
    for to in (100, 300, 1300, 900, 4000):
        page.evaluate("(to) => scrollTo(0, to)", to)
        frames(page)
    assert [e["metadata"]["depth"] for e in sent(page, site, "scroll_depth")] == [25, 50, 75, 100]
    page.evaluate("() => { tripstream.page('next'); scrollTo(0, 1300) }")
    frames(page)
    assert [e["metadata"]["depth"] for e in sent(page, site, "scroll_depth")][4:] == [25, 50]


def test_only_visible_time_is_dwell(page: Page, site: Front) -> None:
    page.goto(site.url)
    hide, show = (
        f"""() => {{
        Object.defineProperty(document, 'hidden', {{value: {value}, configurable: true}});
        document.dispatchEvent(new Event('visibilitychange', {{bubbles: true}}));
    }}"""
        for value in ("true", "false")
    )
    page.evaluate("tripstream.dwell(42, {source: 'trip_detail'})")
    page.clock.run_for(5000)
    page.evaluate(hide)
    page.clock.run_for(60_000)
    page.evaluate(show)
    page.clock.run_for(3000)
    page.evaluate("tripstream.page('next')")
    page.clock.run_for(9000)
    page.evaluate("tripstream.page('after')")
    told = {e["event_id"]: e for e in sent(page, site, "trip_dwell")}.values()
    assert [(e["trip_id"], e["source"], round(e["metadata"]["duration_seconds"])) for e in told] == [
        (42, "trip_detail", 5),
        (42, "trip_detail", 3),
    ]


def test_changes_of_filters_wait_until_they_rest(page: Page, site: Front) -> None:
    page.goto(site.url)
    page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=10))
    for budget in (100, 200, 300):
        page.evaluate("(budget) => tripstream.filter('budget', budget)", budget)
        page.clock.run_for(300)
    page.evaluate("() => { tripstream.filter('country', []); tripstream.sort('price') }")
    assert sent(page, site) == []
    page.clock.run_for(600)
    assert [(e["event_type"], e["metadata"]) for e in sent(page, site)] == [
        ("filter_change", {"name": "budget", "value": 300}),
        ("filter_remove", {"name": "country", "value": []}),
        ("sort_change", {"value": "price"}),
    ]
    page.evaluate("tripstream.sort('start')")
    page.goto(site.url + "/next")
    until(lambda: page.evaluate("1") and len(site.events("sort_change")) == 2, "the last came as a beacon")
    assert [e["metadata"]["value"] for e in site.events("sort_change")] == ["price", "start"]


def frames(page: Page) -> None:
    """Until what is on the screen has been looked at."""
    page.screenshot(clip={"x": 0, "y": 0, "width": 8, "height": 8})
    page.screenshot(clip={"x": 0, "y": 0, "width": 8, "height": 8})
