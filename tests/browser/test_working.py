"""The pages that people work with: live, dead letters, health, try it. In: events, good and bad, of a running stack.
Out: what is on the page, also for those who may only look.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from reports.dashboard.pages import PLACES
from schema import db, sites, stream
from schema.event import new_id, now
from schema.settings import Settings
from tests.browser.conftest import settled
from tests.make import batch, canonical
from tests.tripstream.starting import Up
from tests.tripstream.waiting import until
from tripstream import running

ADMIN = "a" * 32
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
PLANTED = "<script>alert(1)</script>"
PAGES = ("live", "dead-letters", "health", "try", "sign-in")
GRAVE = ("serious", "critical")
AXE = {"resultTypes": ["violations"]}
expect.set_options(timeout=10_000)


@pytest.fixture
def known(shop: Up) -> Settings:
    """The settings of the stack that runs."""
    return running.connect(Settings(state=shop.state))


@pytest.fixture
def admin(chromium: Browser, shop: Up) -> Iterator[Page]:
    """Signed in with the installation's key. Answers that refuse are errors of the console, and no fault here."""
    context = chromium.new_context(base_url=shop.url, viewport={"width": 1280, "height": 800}, user_agent=AGENT)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    sign_in(page, ADMIN)
    yield page
    context.close()
    assert wrong == []


def sign_in(page: Page, key: str) -> None:
    page.goto("/dashboard/sign-in?next=/dashboard/dead-letters")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Dead letters")


def send(shop: Up, **fields: object) -> None:
    """One event of a visitor of its own."""
    said = {"event_type": "page_view", "session_id": str(uuid4()), "anonymous_id": str(uuid4())} | fields
    sent = httpx.post(f"{shop.url}/api/events/batch", json={"events": [said]}, headers={"user-agent": AGENT})
    assert sent.json()["accepted"] == 1, sent.text


def kill(known: Settings, shop: Up, event_type: str, number: int = 1) -> list[int]:
    """So many events that Postgres refuses, as ingest of another version may let them in. Returns their letters."""
    events = [
        canonical(n, event_id=uuid4(), event_type=event_type, trip_id=0, occurred_at=now(), path=f"/{PLANTED}",
                  page_url=f"https://trips.example/{PLANTED}", metadata=f'{{"title": "{PLANTED}"}}')
        for n in range(number)
    ]  # fmt: skip
    one = batch(*events, batch_id=new_id(now()), received_at=now())
    with stream.connect(known.streams_url) as redis:
        stream.append(redis, 0, one)
    settled(shop)
    return letters(known, one.batch_id)


def letters(known: Settings, batch_id: UUID) -> list[int]:
    with db.connect(known) as connection:
        query = "SELECT dead_letter_id FROM dead_letters WHERE batch_id = %s ORDER BY 1"
        return [found for (found,) in connection.execute(query, [batch_id])]


def lately(shop: Up) -> int:
    """Events of the last half hour."""
    return int(httpx.get(f"{shop.url}/api/stats/realtime").json()["lastHalfHour"]["events"])


def figure(page: Page, name: str) -> int:
    """A card's figure."""
    text = page.locator(".card", has=page.get_by_text(name, exact=True)).locator(".figure").inner_text()
    return int(text.replace(",", "")) if text != "–" else -1


def test_the_live_page_moves_with_what_happens_and_names_trips(page: Page, shop: Up) -> None:
    page.goto("/dashboard/live")
    state = page.get_by_role("status")
    expect(state).to_have_text("Connected")
    expect(page.locator("[data-figure=lastMinute]")).not_to_have_text("–")
    before, visitors = figure(page, "Last half hour"), figure(page, "Active visitors")
    title = httpx.get(f"{shop.url}/dashboard/titles", params={"trip_id": [3]}).json()[0]["title_en"]
    send(shop, page_url=f"https://trips.example/{PLANTED}", event_type="page_view")
    send(shop, event_type="click_trip", trip_id=3, source=f"{PLANTED}"[:60])
    expect(page.locator("[data-figure=lastHalfHour]")).to_have_text(f"{before + 2:,}")
    expect(page.locator("[data-figure=activeVisitors]")).to_have_text(f"{visitors + 2:,}")
    expect(page.locator("#trips")).to_contain_text(f"{title} (3)")
    expect(page.locator("#latest tbody tr").first).to_contain_text(re.compile("click_trip|page_view"))
    expect(page.locator("#minutes tbody tr")).to_have_count(30)
    drawn = page.evaluate(
        "Chart.getChart(document.querySelector('canvas')).data.datasets[0].data.reduce((a, b) => a + b)"
    )
    assert drawn == before + 2
    page.get_by_role("button", name="Pause").click()
    send(shop)
    until(lambda: lately(shop) == before + 3, "it is counted")
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    expect(page.locator("[data-figure=lastHalfHour]")).to_have_text(f"{before + 2:,}")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("[data-figure=lastHalfHour]")).to_have_text(f"{before + 3:,}")


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
    page.goto("/dashboard/health")
    expect(page.locator("#books tbody tr")).to_have_count(1)
    expect(page.locator("#checks")).to_have_count(0)
    expect(page.get_by_text("sign in with its admin key")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_health_on_the_machine_itself_shows_the_whole_installation(page: Page) -> None:
    page.goto("/dashboard/health")
    expect(page.locator("#checks")).to_contain_text("To look at")
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


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go: to what SCREENSHOTS names, else to the test's own."""
    chosen = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


def test_the_pages_are_seen_in_both_themes_and_nothing_serious_stands_in_anybodys_way(
    admin: Page, shop: Up, known: Settings, shots: Path
) -> None:
    (letter,) = kill(known, shop, "save_trip")
    for path in (*PAGES, f"dead-letters/{letter}"):
        admin.goto(f"/dashboard/{path}")
        if path == "live":
            expect(admin.get_by_role("status")).to_have_text("Connected")
        if path == "try":
            admin.get_by_role("button", name="Send 100").click()
            expect(admin.locator("#verdict")).to_contain_text("Stored after")
        for theme in ("light", "dark"):
            if admin.locator("html").get_attribute("data-theme") != theme:
                admin.get_by_role("button", name=re.compile("^(Dark|Light)$")).click()
            found = Axe().run(admin, options=AXE).response["violations"]
            grave = [(one["id"], [node["target"] for node in one["nodes"]]) for one in found if one["impact"] in GRAVE]
            assert grave == [], (path, theme)
            for name, width in (("phone", 375), ("desktop", 1280)):
                admin.set_viewport_size({"width": width, "height": 800})
                expect(admin.locator("html")).to_have_js_property("scrollWidth", width)
                file = f"{re.sub(r'[^a-z]+', '-', path)}-{theme}-{name}.png"
                admin.screenshot(path=shots / file, full_page=True)
