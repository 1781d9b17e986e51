"""How the tracker keeps and sends what happens, page by page: batches, beacons, consent, storage, pauses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.front import EVENTS, Front, fronting

START = "/api/session/start"
KEPT = "() => Object.keys(localStorage).filter((name) => name.startsWith('tripstream:'))"
NO_STORAGE = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError') }})"
FULL_STORAGE = "() => { for (let size = 1 << 22; size >= 1; size >>= 1) try { for (;;) localStorage['x' + Math.random()] = 'x'.repeat(size) } catch {} }"


@pytest.fixture
def site() -> Iterator[Front]:
    with fronting() as site:
        yield site


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh profile. What is thrown into one of its pages fails the test."""
    context = chromium.new_context()
    wrong: list[str] = []
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    yield context
    context.close()
    assert wrong == []


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


def test_ten_make_a_batch_and_fewer_go_after_five_seconds(visitor: BrowserContext, site: Front) -> None:
    page = visitor.new_page()
    page.clock.install()
    page.goto(site.url)
    track(page, *range(9))
    assert site.events() == []
    track(page, 9)
    come(page, site, *range(10))
    track(page, 10)
    page.clock.run_for(4_900)
    assert len(site.events()) == 10
    page.clock.run_for(200)
    come(page, site, 10)
    assert [len(one.body["events"]) for one in site.posted if one.path == EVENTS] == [10, 1]
    assert page.evaluate("(name) => Object.keys(localStorage).some((one) => one.startsWith(name))", "tripstream:b:") is False


def test_size_and_period_of_batches_are_options(visitor: BrowserContext, site: Front) -> None:
    site.attributes += ' data-batch="25" data-seconds="0.2"'
    page = opened(visitor, site)
    track(page, *range(25))
    come(page, site, *range(25))
    track(page, 25)
    come(page, site, 25, seconds=3)
    assert [len(one.body["events"]) for one in site.posted if one.path == EVENTS] == [25, 1]


def test_a_session_starts_once_and_each_event_says_what_device_it_is(visitor: BrowserContext, site: Front) -> None:
    page = opened(visitor, site)
    for n, width in enumerate((767, 768, 1023, 1024)):
        page.set_viewport_size({"width": width, "height": 700})
        track(page, n)
    page.goto(site.url + "/next")
    track(page, *range(4, 14))
    events = come(page, site, *range(14))
    (start,) = [one.body for one in site.posted if one.path == START]
    assert (start["device_type"], start["site_id"]) == ("mobile", "shop")
    assert {(e["session_id"], e["anonymous_id"]) for e in events} == {(start["session_id"], start["anonymous_id"])}
    devices = {e["metadata"]["n"]: e["device_type"] for e in events}
    assert [devices[n] for n in range(4)] == ["mobile", "tablet", "tablet", "desktop"]


def test_half_an_hour_without_an_event_ends_the_session_and_not_the_visitor(
    visitor: BrowserContext, site: Front
) -> None:
    page = visitor.new_page()
    page.clock.install()
    page.goto(site.url)
    for n, minutes in enumerate((0, 29, 29, 31)):
        page.clock.fast_forward(minutes * 60_000)
        track(page, n)
    page.clock.run_for(6_000)
    events = come(page, site, 0, 1, 2, 3)
    by_number = {e["metadata"]["n"]: e["session_id"] for e in events}
    assert by_number[0] == by_number[1] == by_number[2] != by_number[3]
    assert {e["session_id"] for e in events} == {one.body["session_id"] for one in site.posted if one.path == START}
    assert len({e["anonymous_id"] for e in events}) == 1


def test_ids_are_uuids_of_the_time_and_stand_in_order(visitor: BrowserContext, site: Front) -> None:
    page = opened(visitor, site)
    track(page, *range(200))
    events = come(page, site, *range(200))
    in_order = [e["event_id"] for e in sorted(events, key=lambda e: e["metadata"]["n"])]
    assert in_order == sorted(set(in_order))
    assert {UUID(one).version for one in in_order} == {7}
    assert {UUID(one).variant for one in in_order} == {"specified in RFC 4122"}
    assert abs((UUID(in_order[0]).int >> 80) - events[0]["client_timestamp"]) < 1000


def test_leaving_sends_a_beacon_once_and_the_next_page_asks_for_its_answer(
    visitor: BrowserContext, site: Front
) -> None:
    page = visitor.new_page()
    page.clock.install()
    page.goto(site.url)
    page.evaluate("""() => {
        const was = navigator.sendBeacon;
        navigator.sendBeacon = function (to, body) { localStorage.sent = (localStorage.sent || '') + typeof body + ' '; return was.call(this, to, body) }
    }""")
    track(page, 1, 2, 3)
    page.goto(site.url + "/next")
    events = come(page, site, 1, 2, 3)
    assert page.evaluate("localStorage.sent") == "string "
    (beacon,) = [one for one in site.posted if one.path == EVENTS]
    assert beacon.headers["content-type"] == "text/plain;charset=UTF-8"
    assert [e["metadata"]["n"] for e in events] == [1, 2, 3]
    page.clock.run_for(12_000)
    page.wait_for_function("() => !Object.keys(localStorage).some((one) => one.startsWith('tripstream:b:'))")
    again = site.events("click")[3:]
    assert [e["event_id"] for e in again] == [e["event_id"] for e in events]


@pytest.mark.parametrize("beacon", ["() => false", "() => { throw new Error('blocked') }", "undefined"])
def test_where_beacons_are_refused_a_fetch_goes_on_without_the_page(
    visitor: BrowserContext, site: Front, beacon: str
) -> None:
    page = opened(visitor, site, before=f"navigator.sendBeacon = {beacon}")
    track(page, 1, 2)
    page.goto("about:blank")
    come(page, site, 1, 2)


def test_more_than_a_browser_sends_at_once_is_split_and_the_rest_is_kept(visitor: BrowserContext, site: Front) -> None:
    site.attributes += ' data-batch="1000" data-seconds="1000"'
    page = visitor.new_page()
    page.clock.install()
    page.goto(site.url)
    page.evaluate("() => { for (let n = 0; n < 60; n++) tripstream.track('click', {metadata: {n, text: 'ש'.repeat(2500)}}) }")
    page.goto(site.url + "/next")
    page.clock.run_for(12_000)
    come(page, site, *range(60))
    sizes = [int(one.headers["content-length"]) for one in site.posted if one.path == EVENTS]
    assert max(sizes) < 65_536
    assert len(sizes) > 3


def test_without_consent_nothing_is_kept_and_nothing_is_sent(visitor: BrowserContext, site: Front) -> None:
    site.attributes = 'data-site="shop" data-consent="false"'
    page = opened(visitor, site)
    track(page, 1)
    assert page.evaluate("async () => [tripstream.visitor(), tripstream.session(), await tripstream.identify('eyJ')]") == [
        None,
        None,
        None,
    ]
    page.reload()
    assert page.evaluate(KEPT) == []
    assert site.posted == []
    page.evaluate("tripstream.consent(true)")
    track(page, 2)
    page.evaluate("tripstream.flush()")
    come(page, site, 2)
    assert [e["event_type"] for e in site.events()] == ["page_view", "click"]
    track(page, 3)
    page.evaluate("tripstream.consent(false)")
    track(page, 4)
    page.reload()
    assert page.evaluate(KEPT) == []
    assert [e["metadata"]["n"] for e in site.events("click")] == [2]


def test_consent_taken_back_in_one_tab_holds_in_the_others(visitor: BrowserContext, site: Front) -> None:
    one, other = opened(visitor, site), opened(visitor, site)
    track(one, 1)
    track(other, 2)
    one.evaluate("tripstream.consent(false)")
    other.wait_for_function("() => tripstream.visitor() === undefined || tripstream.visitor() === false")
    track(other, 3)
    assert other.evaluate(KEPT) == []


def test_tabs_share_visitor_and_session_and_each_sends_its_own(visitor: BrowserContext, site: Front) -> None:
    one, other = opened(visitor, site), opened(visitor, site)
    for n in range(0, 40, 2):
        track(one, n)
        track(other, n + 1)
    events = come(one, site, *range(40))
    assert len(events) == 40
    assert len({(e["anonymous_id"], e["session_id"]) for e in events}) == 1


@pytest.mark.parametrize("before", [NO_STORAGE, f"({FULL_STORAGE})()"])
def test_without_storage_events_come_while_the_page_is_there(
    visitor: BrowserContext, site: Front, before: str
) -> None:
    page = opened(visitor, site, before=before)
    track(page, *range(12))
    page.evaluate("tripstream.flush()")
    events = come(page, site, *range(12))
    assert len({(e["anonymous_id"], e["session_id"]) for e in events}) == 1
    track(page, 12)
    page.goto("about:blank")
    come(page, site, 12)


def test_what_waits_is_bounded_and_the_newest_is_kept(visitor: BrowserContext, site: Front) -> None:
    site.fault, site.retry_after = 503, "600"
    page = opened(visitor, site)
    page.evaluate("() => { for (let n = 0; n < 400; n++) tripstream.track('click', {metadata: {n, text: 'x'.repeat(9000)}}) }")
    held = page.evaluate("() => Object.entries(localStorage).filter(([name]) => name.startsWith('tripstream:b:')).map(([, text]) => text)")
    assert 1_300_000 < sum(map(len, held)) < 1_600_000
    numbers = {event["metadata"]["n"] for text in held for event in json.loads(f"[{text}]")}
    assert numbers >= set(range(300, 400))
    assert 0 not in numbers


def test_an_event_that_is_too_large_says_so_and_costs_no_other(visitor: BrowserContext, site: Front) -> None:
    page = opened(visitor, site)
    track(page, 1)
    page.evaluate("tripstream.track('click_trip', {trip_id: 7, metadata: {text: 'x'.repeat(3e6)}})")
    page.evaluate("const round = {}; round.round = round; tripstream.track('click', {metadata: round})")
    track(page, 2)
    page.evaluate("tripstream.flush()")
    come(page, site, 1, 2)
    (large,) = site.events("click_trip")
    assert large["metadata"]["too_large"] > 3e6


def test_a_page_that_puts_its_own_in_place_of_everything_loses_nothing(visitor: BrowserContext, site: Front) -> None:
    page = opened(visitor, site)
    page.evaluate("""() => {
        JSON.stringify = JSON.parse = () => { throw new Error('mine') };
        Array.prototype.toJSON = () => 'mine';
        Array.prototype.mine = Object.prototype.mine = () => 'mine';
    }""")
    page.evaluate("() => { for (let n = 0; n < 10; n++) tripstream.track('click', {metadata: {n}}) }")
    come(page, site, *range(10))


def test_a_page_that_breaks_its_own_arrays_is_left_alone(visitor: BrowserContext, site: Front) -> None:
    page = opened(visitor, site)
    alive = page.evaluate("""() => {
        for (const gone of ['map', 'forEach', 'filter', 'includes', 'push', 'sort']) {
            const was = Array.prototype[gone];
            Array.prototype[gone] = () => { throw new Error('mine') };
            tripstream.track('click', {});
            tripstream.page();
            tripstream.push(7);
            Array.prototype[gone] = was;
        }
        return 'alive';
    }""")
    assert alive == "alive"


def test_after_a_refusal_all_pages_wait_as_long_as_the_server_says(visitor: BrowserContext, site: Front) -> None:
    site.fault, site.retry_after = 503, "2"
    page = opened(visitor, site)
    track(page, *range(10))
    until_posted(page, site, EVENTS)
    site.fault = None
    refused = [one for one in site.posted if one.status == 503][-1].at
    for path in ("/a", "/b"):
        page.goto(site.url + path)
        page.evaluate("tripstream.flush()")
    come(page, site, *range(10))
    assert min(one.at for one in site.posted if one.status == 202) - refused > 1.9


def test_a_batch_whose_answer_was_lost_is_sent_again_with_its_ids(visitor: BrowserContext, site: Front) -> None:
    site.fault = "cut"
    page = opened(visitor, site)
    track(page, *range(10))
    until_posted(page, site, EVENTS)
    site.fault = None
    events = come(page, site, *range(10))
    assert len(events) >= 20
    assert len({e["event_id"] for e in events}) == 10


def test_an_answer_of_somebody_else_is_not_taken_for_the_servers(visitor: BrowserContext, site: Front) -> None:
    site.fault = 200
    page = opened(visitor, site)
    track(page, *range(10))
    until_posted(page, site, EVENTS)
    site.fault = None
    come(page, site, *range(10))


def test_a_page_that_comes_back_from_the_browsers_cache_goes_on(visitor: BrowserContext, site: Front) -> None:
    site.attributes = 'data-site="shop"'
    page = opened(visitor, site)
    track(page, 1)
    page.evaluate("""() => {
        dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}));
        dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}));
    }""")
    track(page, 2)
    come(page, site, 1, 2)
    page.wait_for_function("() => !Object.keys(localStorage).some((one) => one.startsWith('tripstream:b:'))")
    views = {e["event_id"] for e in site.events("page_view")}
    assert len(views) == 2


def test_being_online_again_ends_the_pause(visitor: BrowserContext, site: Front) -> None:
    page = opened(visitor, site)
    visitor.set_offline(True)
    for n in range(0, 100, 10):
        track(page, *range(n, n + 10))
        page.evaluate("tripstream.flush()")
    visitor.set_offline(False)
    come(page, site, *range(100), seconds=5)


def test_identify_sends_the_token_and_keeps_it_nowhere(visitor: BrowserContext, site: Front) -> None:
    page = opened(visitor, site)
    site.fault = 401
    assert page.evaluate("tripstream.identify('eyJ.bad')") is False
    site.fault = 503
    page.evaluate("() => { window.told = tripstream.identify('eyJ.good') }")
    until_posted(page, site, "/api/user/identify", 2)
    site.fault = None
    assert page.evaluate("window.told") is True
    sent = [one for one in site.posted if one.path == "/api/user/identify"]
    assert sent[-1].headers["authorization"] == "Bearer eyJ.good"
    assert len({one.body["event_id"] for one in sent[1:]}) == 1
    assert "eyJ" not in page.evaluate("() => JSON.stringify({...localStorage})")


def until_posted(page: Page, site: Front, path: str, times: int = 1) -> None:
    for _ in range(500):
        if len([one for one in site.posted if one.path == path]) >= times:
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"{path} was not posted to {times} times")
