"""How the tracker sends what happens: batches, sessions, ids, beacons."""

from __future__ import annotations

from uuid import UUID

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.front import EVENTS, Front
from tests.browser.tracking import NOTHING_KEPT, come, opened, track

START = "/api/session/start"


def test_ten_make_a_batch_and_fewer_go_after_five_seconds(visitor: BrowserContext, site: Front) -> None:
    page = visitor.new_page()
    page.clock.install(time=0)
    page.clock.pause_at(3600)
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
    page.wait_for_function(NOTHING_KEPT)


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
        page.evaluate("tripstream.flush()")  # what is under way in the next half hour is given up
        page.wait_for_function("() => localStorage['tripstream:s'].endsWith(' 1')")
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
        navigator.sendBeacon = function (to, body) {
            localStorage.sent = (localStorage.sent || '') + typeof body + ' ';
            return was.call(this, to, body);
        };
    }""")
    track(page, 1, 2, 3)
    page.goto(site.url + "/next")
    events = come(page, site, 1, 2, 3)
    assert page.evaluate("localStorage.sent") == "string "
    (beacon,) = [one for one in site.posted if one.path == EVENTS]
    assert beacon.headers["content-type"] == "text/plain;charset=UTF-8"
    assert [e["metadata"]["n"] for e in events] == [1, 2, 3]
    page.clock.run_for(12_000)
    page.wait_for_function(NOTHING_KEPT)
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
    page.evaluate(
        "() => { for (let n = 0; n < 60; n++) tripstream.track('click', {metadata: {n, text: 'ש'.repeat(2500)}}) }"
    )
    page.goto(site.url + "/next")
    page.clock.run_for(12_000)
    page.evaluate("tripstream.flush()")
    come(page, site, *range(60))
    sizes = [int(one.headers["content-length"]) for one in site.posted if one.path == EVENTS]
    assert max(sizes) < 65_536
    assert len(sizes) > 3
