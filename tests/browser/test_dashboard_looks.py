"""How the pages of figures look: in both themes, on a phone, to assistive technology, and how much they weigh."""

from __future__ import annotations

import subprocess
import sys
from uuid import uuid4

import httpx
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import settled
from tests.browser.looking import CONTRAST, grave, picture
from tests.browser.test_dashboard_figures import PAGES
from tests.browser.visits import DEVICES
from tests.tripstream.starting import Up

PLAIN_MAX, CHARTS_MAX = 30_000, 215_000  # bytes of a page as they are sent, without and with Chart.js' 167,000
SIZES = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .reduce((sum, one) => sum + one.encodedBodySize, 0)"""


def drawn(page: Page, path: str) -> None:
    """The page, with every chart of its tables."""
    page.goto(path)
    expect(page.locator("canvas")).to_have_count(page.locator("table[data-chart]:has(tbody tr)").count())


def test_each_page_is_drawn_and_accessible_in_both_themes(page: Page, visited: Up) -> None:
    """In turns: a page comes in the theme that the one before was left in."""
    html, themes = page.locator("html"), ("light", "dark")
    page.goto("/dashboard")
    if html.get_attribute("data-theme") != themes[0]:
        page.get_by_role("button", name="Light").click()
    for path in PAGES:
        drawn(page, path)
        for theme, rules in zip(themes, [(), (CONTRAST,)], strict=True):
            if theme != themes[0]:
                page.get_by_role("button", name=theme.capitalize()).click()
            expect(html).to_have_attribute("data-theme", theme)
            assert grave(page, *rules) == [], (path, theme)
            picture(page, f"dashboard-{path.removeprefix('/dashboard').strip('/') or 'overview'}-{theme}")
        themes = themes[::-1]


def test_a_phone_shows_each_page_without_scrolling_sideways(page: Page, visited: Up) -> None:
    page.set_viewport_size({"width": 375, "height": 740})
    for path in (*PAGES, "/dashboard/pages?by=target", "/dashboard?start=2020-01-01&end=2020-01-31"):
        drawn(page, path)
        assert page.evaluate("document.documentElement.scrollWidth") == 375, path
        here = page.locator("header nav [aria-current]")
        expect(here).to_be_in_viewport(ratio=0.9)


def test_a_page_weighs_little_and_only_charts_bring_the_library(chromium: Browser, visited: Up) -> None:
    for path in PAGES:
        page = chromium.new_page(base_url=visited.url)  # which has nothing cached
        drawn(page, path)
        has_charts = page.locator("canvas").count() > 0
        assert (page.locator("script[src*='/chart.js']").count() > 0) is has_charts, path
        assert page.locator("script:not([defer]):not([src*='/theme.js'])").count() == 0, path
        size = page.evaluate(SIZES)
        page.close()
        assert 5_000 < size < (CHARTS_MAX if has_charts else PLAIN_MAX), f"{path} takes {size} bytes"


def test_without_scripts_tables_stay_where_they_are_and_steps_are_written(chromium: Browser, visited: Up) -> None:
    context = chromium.new_context(base_url=visited.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/dashboard?days=7")
    expect(page.get_by_role("table").first).to_be_visible()
    page.goto("/dashboard/funnel?days=7")
    page.get_by_label("Steps, with commas between").fill("page_view,search_submit")
    page.get_by_role("button", name="Count").click()
    expect(page.locator("#steps tbody tr")).to_have_count(2)
    context.close()


def tripstream(shop: Up, *arguments: str) -> str:
    """What one of our commands says of that installation."""
    done = subprocess.run(
        [sys.executable, "-m", "tripstream", *arguments],
        env=shop.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def sign_in(page: Page, key: str) -> None:
    page.goto("/dashboard/sign-in")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_a_key_shows_its_own_site_and_one_without_events_says_what_to_do(chromium: Browser, visited: Up) -> None:
    north = tripstream(visited, "site", "add", "north").split()[-1]
    tripstream(visited, "site", "add", "south")
    keys = {site: tripstream(visited, "site", "key", site, "--role", "read").split()[-1] for site in ("north", "south")}
    view = {"event_type": "page_view", "page_url": "https://n.example/a"}
    events = [view | {"session_id": str(uuid4()), "anonymous_id": str(uuid4())} for _ in range(3)]
    body = {"events": events, "write_key": north}
    sent = httpx.post(f"{visited.url}/api/events/batch", json=body, headers={"user-agent": DEVICES[2][0]})
    assert sent.json()["accepted"] == 3, sent.text
    settled(visited)
    page = chromium.new_page(base_url=visited.url)
    sign_in(page, keys["north"])
    expect(page.locator(".fresh")).to_contain_text("Site north")
    expect(page.locator(".card", has_text="Visitors").locator(".figure")).to_have_text("3")
    csv = page.request.get("/api/stats/top?by=path&format=csv").text()
    assert [line.split(",")[0] for line in csv.splitlines()] == ["value", "/a"]
    page.goto("/dashboard/trips")
    expect(page.locator(".empty")).to_contain_text("trip_id")
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, keys["south"])
    for path in PAGES:
        page.goto(path)
        expect(page.locator(".fresh")).to_contain_text("Site south")
        expect(page.locator(".empty").first).to_be_visible()
        assert "north" not in page.content()
    page.close()
