"""What the tracker keeps, and what becomes of it: consent, storage, pages that break things, servers that fail."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.front import EVENTS, Front
from tests.browser.tracking import NOTHING_KEPT, come, opened, track, until_posted

START = "/api/session/start"
KEPT = "() => Object.keys(localStorage).filter((name) => name.startsWith('tripstream:'))"
NO_STORAGE = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError') }})"
FULL_STORAGE = """() => {
    for (let size = 1 << 22; size >= 1; size >>= 1) try {
        for (;;) localStorage['x' + Math.random()] = 'x'.repeat(size);
    } catch {}
}"""


def test_without_consent_nothing_is_kept_and_nothing_is_sent(visitor: BrowserContext, site: Front) -> None:
    site.attributes = 'data-site="shop" data-consent="false"'
    page = opened(visitor, site)
    track(page, 1)
    assert page.evaluate(
        "async () => [tripstream.visitor(), tripstream.session(), await tripstream.identify('eyJ')]"
    ) == [
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
    assert page.evaluate("[tripstream.visitor(), tripstream.session()]") == [None, None]
    page.reload()
    assert page.evaluate(KEPT) == []
    assert [e["metadata"]["n"] for e in site.events("click")] == [2]


def test_consent_taken_back_in_one_tab_holds_in_the_others(visitor: BrowserContext, site: Front) -> None:
    one, other = opened(visitor, site), opened(visitor, site)
    track(one, 1)
    track(other, 2)
    one.evaluate("tripstream.consent(false)")
    other.wait_for_function("() => tripstream.visitor() === undefined")
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
def test_without_storage_events_come_while_the_page_is_there(visitor: BrowserContext, site: Front, before: str) -> None:
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
    page.evaluate(
        "() => { for (let n = 0; n < 400; n++) tripstream.track('click', {metadata: {n, text: 'x'.repeat(9000)}}) }"
    )
    held = page.evaluate(
        "() => Object.keys(localStorage).filter((one) => one.includes(':b:')).map((one) => localStorage[one])"
    )
    assert 1_300_000 < sum(map(len, held)) < 2_000_000
    numbers = {event["metadata"]["n"] for text in held for event in json.loads(f"[{text}]")}
    assert numbers >= set(range(300, 400))
    assert 0 not in numbers


def test_an_event_is_one_write_and_the_session_one_a_second(visitor: BrowserContext, site: Front) -> None:
    """A browser that is busy has read only so many when a tab is closed, and forgets the rest."""
    site.fault, site.retry_after = 503, "600"
    watching, page = opened(visitor, site), visitor.new_page()
    watching.evaluate("() => { window.seen = []; addEventListener('storage', (one) => seen.push(one.key)) }")
    page.clock.install(time=0)
    page.clock.pause_at(3600)
    page.goto(site.url)
    track(page, *range(100))
    watching.wait_for_function("() => seen.filter((one) => one.startsWith('tripstream:b:')).length >= 100")
    page.clock.run_for(1_500)
    track(page, 100)
    watching.wait_for_function("() => seen.filter((one) => one.startsWith('tripstream:b:')).length >= 101")
    writes = Counter(watching.evaluate("seen"))
    kept = [times for name, times in writes.items() if ":b:" in name]
    assert (kept, writes["tripstream:s"]) == ([1] * 101, 2)


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
    page.evaluate("() => { tripstream.page('home'); return tripstream.flush() }")
    come(page, site, *range(10))
    assert [e["page_type"] for e in site.events("page_view")] == ["home"]


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
    site.fault, site.retry_after = 503, "30"
    page = visitor.new_page()
    page.clock.install()
    page.goto(site.url)
    track(page, *range(10))
    until_posted(page, site, START)
    until_posted(page, site, EVENTS)
    page.wait_for_function("() => localStorage['tripstream:w']")
    site.fault = None
    refused = len(site.posted)
    page.goto(site.url + "/next")
    for seconds in (1, 10, 15):
        page.clock.run_for(seconds * 1000)
        page.evaluate("tripstream.flush()")
    assert len(site.posted) == refused
    page.clock.run_for(6_000)
    page.evaluate("tripstream.flush()")
    come(page, site, *range(10))


@pytest.mark.parametrize("wait", ["90000", "Wed, 21 Oct 2099 07:28:00 GMT", "soon", "a clock that was put back"])
def test_a_wait_that_cannot_be_meant_is_no_reason_to_hurry(visitor: BrowserContext, site: Front, wait: str) -> None:
    site.fault, site.retry_after = 503, wait
    page = opened(visitor, site)
    if wait.startswith("a clock"):
        site.fault = "cut"
        page.evaluate("localStorage['tripstream:w'] = Date.now() + 1e9")
    track(page, *range(10))
    page.evaluate("Promise.race([tripstream.flush(), new Promise((wake) => setTimeout(wake, 1500))])")
    page.wait_for_timeout(1500)
    assert 1 <= len([one for one in site.posted if one.path == EVENTS]) <= 4


def test_half_an_emoji_costs_no_event_and_no_other_text(visitor: BrowserContext, site: Front) -> None:
    """The server refuses all of a request that is no text: a hundred events, for one that was cut."""
    page = opened(visitor, site)
    said = r"{n: 1, '\ud800': 'cut \ud83d', whole: '😀', written: '\\ud83d\n'}"
    page.evaluate(f"() => tripstream.track('click', {{metadata: {said}}})")
    page.evaluate("tripstream.flush()")
    (event,) = come(page, site, 1)
    assert event["metadata"] == {"n": 1, "": "cut ", "whole": "😀", "written": "\\ud83d\n"}


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
    page.wait_for_function(NOTHING_KEPT)
    views = {e["event_id"] for e in site.events("page_view")}
    assert len(views) == 2


def test_what_was_kept_by_a_clock_that_was_put_back_goes_with_the_next_page(
    visitor: BrowserContext, site: Front
) -> None:
    site.attributes += ' data-seconds="1000"'
    page = visitor.new_page()
    page.clock.install(time=2_000_000_000_000)
    page.goto(site.url)
    site.fault = 503
    track(page, 0)
    page.clock.set_system_time(1_800_000_000_000)
    track(page, *range(1, 5))
    page.evaluate("tripstream.flush()")
    page.close()
    site.fault, later = None, visitor.new_page()
    later.clock.install(time=1_800_000_060_000)
    later.goto(site.url)
    later.clock.run_for(2_000)
    come(later, site, *range(5))


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
