"""The pages of figures, in a browser: they say what the API says, and their address says what they show."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.tripstream.starting import Up

LAST = datetime.now(UTC).date() - timedelta(days=3)
DAYS = f"start={LAST - timedelta(days=24)}&end={LAST}"
STEPS = "page_view,search_submit,contact_whatsapp|contact_phone"
PAGES = (
    "/dashboard",
    "/dashboard/trips",
    "/dashboard/searches",
    "/dashboard/pages",
    "/dashboard/funnel",
    "/dashboard/retention",
)


@pytest.fixture
def api(visited: Up) -> Any:
    """What an address below /api answers."""
    return lambda path: httpx.get(f"{visited.url}/api/{path}").raise_for_status().json()


def cells(table: Locator) -> list[list[str]]:
    """The text of each cell; a name's first line."""
    read = (
        "rows => rows.map(row => [...row.cells].map(cell => (cell.querySelector('.clip') ?? cell).textContent.trim()))"
    )
    found: list[list[str]] = table.locator("tbody tr").evaluate_all(read)
    return found


def card(page: Page, title: str) -> str:
    return page.locator(".card", has=page.get_by_text(title, exact=True)).locator(".figure").inner_text()


def percent(rate: float | None) -> str:
    return "–" if rate is None else f"{rate * 100:,.1f} %"


def test_a_glance_has_the_figures_of_the_api_beside_those_before(page: Page, visited: Up, api: Any) -> None:
    page.goto(f"/dashboard?{DAYS}")
    told = api(f"stats/overview?{DAYS}")
    for title in ("Visitors", "Sessions", "Events", "Searches", "Contacts", "Bookings"):
        assert card(page, title) == f"{told['current'][title.lower()]:,}"
        expect(page.locator(".card", has=page.get_by_text(title, exact=True))).to_contain_text(
            f"{told['previous'][title.lower()]:,} before"
        )
    days = api(f"stats/series?{DAYS}")["rows"]
    shown = cells(page.locator("table", has=page.get_by_text("Bounce rate")))
    assert [[row[0], row[1], row[3]] for row in shown] == [
        [day["date"], str(day["visitors"]), f"{day['events']:,}"] for day in days
    ]


def test_trips_are_those_of_the_api_with_their_titles_and_one_has_a_funnel(page: Page, visited: Up, api: Any) -> None:
    page.goto(f"/dashboard/trips?{DAYS}&sort=clicks")
    told = api(f"stats/trips?{DAYS}&sort=clicks&limit=20")
    shown = cells(page.locator("table", has=page.get_by_role("columnheader", name="Looked at")))
    assert [row[:4] for row in shown] == [
        [trip["titleEn"], str(trip["impressions"]), str(trip["clicks"]), percent(trip["ctr"])] for trip in told["rows"]
    ]
    everything = api(f"stats/trips?{DAYS}&limit=10000")["rows"]
    steps = [sum(trip[name] for trip in everything) for name in ("impressions", "clicks", "bookingStarts")]
    found = [row[1].replace(",", "") for row in cells(page.locator(".steps"))]
    assert [found[0], found[1], found[3]] == [*map(str, steps)]
    best = told["rows"][0]
    page.get_by_role("link", name=best["titleEn"]).first.click()
    expect(page.get_by_role("heading", name=best["titleEn"])).to_be_visible()
    asked_about = best["saves"] + best["whatsappContacts"] + best["phoneContacts"]
    assert [row[1] for row in cells(page.locator(".steps"))] == [
        str(n) for n in (best["impressions"], best["clicks"], asked_about, best["bookingStarts"])
    ]
    assert f"trip={best['tripId']}" in page.url


def test_click_through_by_position_is_a_chart_and_a_table(page: Page, visited: Up, api: Any) -> None:
    page.goto(f"/dashboard/trips?{DAYS}")
    told = api(f"metrics/positions?{DAYS}")["positions"]
    table = page.locator("table", has=page.get_by_role("columnheader", name="Position", include_hidden=True))
    assert cells(table) == [
        [str(one["position"]), str(one["impressions"]), str(one["clicks"]), percent(one["clickThroughRate"])]
        for one in told
    ]
    panel = page.locator(".panel", has_text="Click-through by position")
    expect(panel.get_by_role("img")).to_be_visible()
    expect(table).to_be_hidden()
    panel.get_by_text("Table", exact=True).click()
    expect(table).to_be_visible()


def test_searches_have_the_recommenders_rates_and_what_was_asked_for(page: Page, visited: Up, api: Any) -> None:
    page.goto(f"/dashboard/searches?{DAYS}")
    told = api(f"metrics?{DAYS}")
    assert told["requests"] > 50
    assert card(page, "Searches") == str(told["requests"])
    assert card(page, "No result") == percent(told["noResultRate"])
    assert card(page, "Relaxed") == percent(told["relaxedRate"])
    assert card(page, "Low score") == percent(told["lowScoreRate"])
    assert card(page, "95 of 100 within") == f"{told['responseTimeMs']['p95']:,.1f} ms"
    top = api(f"metrics/top-searches?{DAYS}")
    for kind in ("continents", "types", "themes", "countries"):
        shown = [row[:2] for row in cells(page.locator(f"#{kind}"))]
        assert shown == [[one["nameEn"], str(one["requests"])] for one in top[kind]]


@pytest.mark.parametrize("by", ["entry_path", "utm_campaign", "country", "target", "share"])
def test_what_there_was_most_of_is_counted_as_the_api_counts_it(page: Page, visited: Up, api: Any, by: str) -> None:
    page.goto(f"/dashboard/pages?{DAYS}&by={by}")
    told = api(f"stats/top?{DAYS}&by={by}&limit=20")
    assert told["rows"]
    shown = cells(page.locator("table"))
    named = {"sessions": "Sessions", "pageViews": "Page views", "events": "Events", "clicks": "Clicks"}
    heads = [head.split(" ↓")[0] for head in page.locator("thead th").all_inner_texts()]
    for row, one in zip(shown, told["rows"], strict=True):
        assert row[0] == one["value"]
        assert {name: row[heads.index(title)] for name, title in named.items() if title in heads} == {
            name: f"{one[name]:,}" for name in named if one[name] is not None
        }


def test_steps_are_chosen_from_lists_and_counted(page: Page, visited: Up, api: Any) -> None:
    page.goto(f"/dashboard/funnel?{DAYS}&steps=page_view,search_submit")
    page.get_by_role("button", name="Add a step").click()
    page.get_by_role("combobox", name="Step 3").select_option("contact_whatsapp|contact_phone")
    page.get_by_role("combobox", name="by", exact=True).select_option("user")
    page.get_by_role("combobox", name="Within").select_option("1d")
    page.get_by_role("button", name="Count").click()
    expect(page.locator("#steps tbody tr")).to_have_count(3)
    told = api(f"stats/funnel?{DAYS}&steps={STEPS}&window=1d&by=user")["steps"]
    assert told[2]["reached"]
    assert [(row[1], row[3]) for row in cells(page.locator("#steps"))] == [
        (str(step["reached"]), percent(step["ofFirst"])) for step in told
    ]
    page.reload()
    expect(page.get_by_role("combobox", name="Step 3")).to_have_value("contact_whatsapp|contact_phone")
    page.get_by_role("button", name="Take this step out").first.click()
    page.get_by_role("button", name="Count").click()
    expect(page.locator("#steps tbody tr")).to_have_count(2)


def test_cohorts_are_those_of_the_api(page: Page, visited: Up, api: Any) -> None:
    page.goto("/dashboard/retention?weeks=4")
    told = api("stats/retention?weeks=4")["cohorts"]
    assert sum(cohort["active"].get("1", 0) for cohort in told)
    shown = [[text for text in row if text] for row in cells(page.locator(".heat"))]
    later = [[f"{rate * 100:.0f} %" for rate in [*cohort["rate"].values()][1:]] for cohort in told]
    assert shown == [[one["week"], str(one["users"]), *rates] for one, rates in zip(told, later, strict=True)]


def test_days_and_order_stay_in_the_address_and_back_undoes_them(page: Page, visited: Up) -> None:
    page.goto("/dashboard/trips")
    page.get_by_role("link", name="7 days").click()
    expect(page).to_have_url(re.compile(r"/dashboard/trips\?days=7$"))
    page.get_by_role("link", name="of shown").click()
    expect(page).to_have_url(re.compile(r"days=7&sort=ctr$"))
    head = page.get_by_role("columnheader", name="of shown")
    expect(head).to_have_attribute("aria-sort", "descending")
    page.get_by_role("link", name="of shown").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("link", name="Next").click()
    expect(page).to_have_url(re.compile(r"days=7&sort=ctr&order=asc&offset=20$"))
    page.get_by_role("link", name="Pages and sources").click()
    expect(page).to_have_url(re.compile(r"/dashboard/pages\?days=7$"))
    for _ in range(3):
        page.go_back()
    expect(head).to_have_attribute("aria-sort", "descending")
    page.go_back()
    expect(page.get_by_role("columnheader", name="Shown", exact=True)).to_have_attribute("aria-sort", "descending")
    expect(page.get_by_role("link", name="7 days")).to_have_attribute("aria-current", "true")
    page.get_by_label("From", exact=True).fill("2026-01-01")
    page.get_by_label("to", exact=True).fill("2026-01-31")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"start=2026-01-01&end=2026-01-31$"))
    expect(page.locator(".empty")).to_contain_text("choose other days")


@pytest.mark.parametrize(
    ("address", "wrong"),
    [
        ("/dashboard?start=2026-02-30", "start"),
        ("/dashboard/trips?sort=colour", "sort"),
        ("/dashboard/pages?by=moon", "by"),
        ("/dashboard/pages?by=path&owner=ann", "owner"),
        ("/dashboard/funnel?steps=page_view,flight", "steps: there is no event type flight"),
        ("/dashboard/retention?weeks=0", "weeks"),
        ("/dashboard/searches?days=30&colour=red", "colour"),
    ],
)
def test_a_wrong_parameter_is_named_on_a_page_that_leads_back(
    chromium: Browser, visited: Up, address: str, wrong: str
) -> None:
    page = chromium.new_page(base_url=visited.url)
    response = page.goto(address)
    assert response and response.status == 422
    expect(page.get_by_role("alert")).to_contain_text(wrong)
    page.get_by_role("link", name="Show this page without filters").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).not_to_have_text("That cannot be shown")
    page.close()


def test_every_csv_is_there(page: Page, visited: Up) -> None:
    found = set()
    for path in (*PAGES, "/dashboard/pages?by=share&owner=ruth", "/dashboard/trips?sort=dwell&order=asc&impressions=2"):
        page.goto(path)
        hrefs = page.locator("a.csv").evaluate_all("all => all.map(one => one.href)")
        panels = page.locator(".panel:has(table)").count()
        assert len(hrefs) == panels, f"{path}: a table has no CSV"
        found |= set(hrefs)
    for href in found:
        answer = page.request.get(href)
        assert answer.status == 200, f"{href}: {answer.text()}"
        assert answer.headers["content-type"].startswith("text/csv")
        assert len(answer.text().splitlines()) > 1, href
