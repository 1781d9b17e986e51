"""The pages that people work with: live, dead letters, health, try it. In: events, good and bad, of a running stack.
Out: what is on the page, also for those who may only look.
"""

from __future__ import annotations

import re
from uuid import uuid4

import httpx
from playwright.sync_api import Browser, Page, Route, expect

from reports.dashboard.pages import PLACES
from schema import db
from schema.settings import Settings
from tests.browser.conftest import ADMIN, settled, sign_in
from tests.browser.looking import CONTRAST, grave, picture
from tests.browser.sending import AGENT, PLANTED, kill, send
from tests.tripstream.starting import Up
from tests.tripstream.waiting import until

PAGES = ("live", "dead-letters", "health", "try", "sign-in")
DRAWN = """() => String(Chart.getChart(document.querySelector("canvas")).data.datasets[0].data.reduce((a, b) => a + b))
    === document.querySelector("[data-figure=lastHalfHour]").textContent.replace(",", "")"""
expect.set_options(timeout=10_000)


def lately(shop: Up) -> int:
    """Events of the last half hour."""
    return int(httpx.get(f"{shop.url}/api/stats/realtime").json()["lastHalfHour"]["events"])


def active(shop: Up) -> int:
    """Visitors of the last five minutes; those of other tests leave meanwhile."""
    return int(httpx.get(f"{shop.url}/api/stats/realtime").json()["activeVisitors"])


def figure(page: Page, name: str) -> int:
    """A card's figure."""
    text = page.locator(".card", has=page.get_by_text(name, exact=True)).locator(".figure").inner_text()
    return int(text.replace(",", "")) if text != "–" else -1


def test_the_live_page_moves_with_what_happens_and_names_trips(page: Page, shop: Up) -> None:
    page.goto("/dashboard/live")
    state = page.get_by_role("status")
    expect(state).to_have_text("Connected")
    expect(page.locator("[data-figure=lastMinute]")).not_to_have_text("–")
    settled(shop)  # what other tests left on its way; a drain tells of the last of it when it has stored it
    before = lately(shop)
    until(lambda: figure(page, "Last half hour") >= before, "the page has heard of it")
    title = httpx.get(f"{shop.url}/dashboard/titles", params={"trip_id": [3]}).json()[0]["title_en"]
    send(shop, page_url=f"https://trips.example/{PLANTED}", event_type="page_view")
    send(shop, event_type="click_trip", trip_id=3, source=f"{PLANTED}"[:60])
    until(lambda: figure(page, "Last half hour") >= before + 2, "both are counted")
    until(lambda: figure(page, "Active visitors") == active(shop) >= 2, "and who did them")
    expect(page.locator("#trips")).to_contain_text(f"{title} (3)")
    expect(page.locator("#latest tbody tr").first).to_contain_text(re.compile("click_trip|page_view"))
    expect(page.locator("#minutes tbody tr")).to_have_count(30)
    page.wait_for_function(DRAWN)
    page.get_by_role("button", name="Pause").click()
    still = figure(page, "Last half hour")
    send(shop)
    until(lambda: lately(shop) > still, "it is counted")
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    assert figure(page, "Last half hour") == still
    page.get_by_role("button", name="Go on").click()
    until(lambda: figure(page, "Last half hour") == lately(shop), "what had come meanwhile is shown")


def test_the_live_page_says_why_it_hears_nothing_and_comes_back(chromium: Browser, shop: Up) -> None:
    context = chromium.new_context(base_url=shop.url)
    page = context.new_page()
    why = '{"code": "busy", "message": "Too many listen to live figures here."}'
    page.route("**/api/live", lambda route: route.fulfill(status=503, headers={"retry-after": "1"}, body=why))
    page.goto("/dashboard/live")
    state = page.get_by_role("status")
    expect(state).to_contain_text("Too many listen to live figures here. Meanwhile asked every 1 s.")
    expect(page.locator("[data-figure=lastHalfHour]")).not_to_have_text("–")  # asked for once instead
    away = '{"code": "storage", "message": "Redis, which holds the live figures, cannot be reached."}'
    page.route("**/api/stats/realtime", lambda route: route.fulfill(status=503, body=away))
    expect(state).to_contain_text("Redis, which holds the live figures, cannot be reached. Trying again…")
    page.unroute("**/api/stats/realtime")
    page.unroute("**/api/live")
    expect(state).to_have_text("Connected")
    context.close()


def test_an_answer_that_is_no_stream_is_not_asked_for_in_a_storm(chromium: Browser, shop: Up) -> None:
    context = chromium.new_context(base_url=shop.url)
    page, asked = context.new_page(), list[str]()
    page.on("request", lambda one: asked.append(one.url) if one.url.endswith("/api/live") else None)
    page.route("**/api/live", lambda route: route.fulfill(status=200, content_type="text/html", body="Sign in here"))
    page.goto("/dashboard/live")
    page.wait_for_timeout(1500)
    assert 2 <= len(asked) <= 6
    context.close()


def held_first(held: list[Route], route: Route) -> None:
    """The first waits until the test answers it."""
    if held:
        route.continue_()
    else:
        held.append(route)


def test_what_was_sent_last_is_what_the_page_speaks_of(page: Page) -> None:
    held: list[Route] = []
    page.route("**/api/events/batch", lambda route: held_first(held, route))
    page.goto("/dashboard/try")
    page.get_by_role("button", name="Send one event").click()
    page.get_by_role("button", name="Send 100").click()
    told = page.locator("#told")
    expect(told).to_contain_text("Accepted 100")
    with page.expect_response("**/api/events/batch"):
        held[0].fulfill(status=202, json={"accepted": 1, "durability": "fsync", "batch_id": str(uuid4())})
    expect(page.locator("#verdict")).to_contain_text("Stored after")
    expect(told).to_contain_text("Accepted 100")


def test_health_on_the_machine_itself_shows_the_whole_installation(page: Page) -> None:
    page.goto("/dashboard/health")
    page.get_by_text("As it should be").click()
    for what in ("well clock", "drain of lane 0", "well partitions", "backlog", "Redis durability", "chore rollup"):
        expect(page.get_by_role("rowheader", name=re.compile(f"{what}$"))).to_have_count(1)


def test_one_event_and_a_load_are_sent_from_the_page_and_their_verdicts_shown(chromium: Browser, shop: Up) -> None:
    context = chromium.new_context(base_url=shop.url, user_agent=AGENT)
    page = context.new_page()
    page.goto("/dashboard/try")
    page.get_by_label("Type").select_option("save_trip")
    page.get_by_role("button", name="Send one event").click()
    verdicts = page.locator("#verdicts tbody tr")
    expect(page.locator("#verdict")).to_contain_text("Stored after")
    expect(verdicts).to_have_text([re.compile("stored.*save_trip.*1")])
    page.get_by_role("button", name="Send the same again").click()
    expect(verdicts).to_have_text([re.compile("duplicate.*1")])
    page.get_by_label("Page", exact=True).fill(f"https://trips.example/it's {PLANTED}")
    page.get_by_role("button", name="Send 100").click()
    expect(page.locator("#told")).to_contain_text("Accepted 100")
    expect(page.locator("#verdict")).to_contain_text("Stored after")
    counts = [int(text) for text in page.locator("#verdicts tbody td:nth-child(3)").all_inner_texts()]
    assert (sum(counts), len(counts)) == (100, 6)
    page.get_by_role("button", name="Process the queue now").click()
    expect(page.locator("#drained")).to_contain_text("This needs the admin key")
    page.get_by_text("The same with curl").click()
    expect(page.locator("#curl")).to_contain_text("it'\\''s")
    sign_in(page, ADMIN)
    page.goto("/dashboard/try")
    page.get_by_role("button", name="Send one event").click()
    page.get_by_role("button", name="Process the queue now").click()
    expect(page.locator("#drained")).to_contain_text(re.compile(r"Processed \d+ events"))
    context.close()


def test_what_was_planted_is_text_on_every_page(page: Page, shop: Up, known: Settings) -> None:
    """A script that ran would open a dialogue; one that the policy stopped would be an error of the console."""
    agent = f"{AGENT} {PLANTED}"
    said = {"session_id": str(uuid4()), "anonymous_id": str(uuid4()), "trip_id": 1, "source": PLANTED}
    said |= {
        "page_url": f"https://trips.example/{PLANTED}?utm_source={PLANTED}",
        "referrer": f"https://a.example/{PLANTED}",
    }
    kinds = ("page_view", "search_submit", "click_trip", f"custom.{PLANTED}")
    events = [said | {"event_type": kind, "metadata": {"title": PLANTED, "query": PLANTED}} for kind in kinds]
    for one in events:
        httpx.post(f"{shop.url}/api/events/batch", json={"events": [one]}, headers={"user-agent": agent})
    (letter,) = kill(known, shop, "page_view")
    with db.connect(known, "owner") as owner:
        owner.execute("UPDATE trip_templates SET title_en = %s WHERE template_id = (SELECT template_id FROM"
                      " trip_occurrences WHERE occurrence_id = 1)", [PLANTED])  # fmt: skip
    said_by_dialogues: list[str] = []
    page.on("dialog", lambda dialogue: (said_by_dialogues.append(dialogue.message), dialogue.dismiss()))
    shown = 0
    for path in (*(place.path for place in PLACES), f"/dashboard/dead-letters/{letter}"):
        page.goto(path)
        if path == "/dashboard/live":
            expect(page.locator("#latest")).to_contain_text(PLANTED)
        shown += PLANTED in page.locator("main").inner_text()
    assert shown >= 2
    assert said_by_dialogues == []


def test_the_pages_are_seen_in_both_themes_and_nothing_serious_stands_in_anybodys_way(
    admin: Page, shop: Up, known: Settings
) -> None:
    (letter,) = kill(known, shop, "save_trip")
    for path in (*PAGES, f"dead-letters/{letter}"):
        admin.goto(f"/dashboard/{path}")
        if path == "live":
            expect(admin.get_by_role("status")).to_have_text("Connected")
        if path == "try":
            admin.get_by_role("button", name="Send 100").click()
            expect(admin.locator("#verdict")).to_contain_text("Stored after")
        for theme, rules in (("light", ()), ("dark", (CONTRAST,))):
            if admin.locator("html").get_attribute("data-theme") != theme:
                admin.get_by_role("button", name=re.compile("^(Dark|Light)$")).click()
            assert grave(admin, *rules) == [], (path, theme)
            for name, width in (("phone", 375), ("desktop", 1280)):
                admin.set_viewport_size({"width": width, "height": 800})
                expect(admin.locator("html")).to_have_js_property("scrollWidth", width)
                picture(admin, f"{re.sub(r'[^a-z]+', '-', path)}-{theme}-{name}")
