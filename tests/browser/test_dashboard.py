"""The dashboard as people use it: pages, sign-in, ranges, charts and their tables."""

from __future__ import annotations

from uuid import uuid4

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import settled
from tests.tripstream.starting import Up

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"


def test_a_glance_shows_what_was_sent(page: Page, shop: Up) -> None:
    page.goto("/dashboard?days=7")
    figure = page.locator(".card", has_text="Visitors").locator(".figure")
    before = int(figure.inner_text().replace(",", ""))
    said = {"event_type": "page_view", "page_url": "https://trips.example/"}
    events = [said | {"session_id": str(uuid4()), "anonymous_id": str(uuid4())} for _ in range(7)]
    sent = httpx.post(f"{shop.url}/api/events/batch", json={"events": events}, headers={"user-agent": AGENT})
    assert sent.json()["accepted"] == 7, sent.text
    settled(shop)
    page.goto("/dashboard?days=7")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(figure).to_have_text(f"{before + 7:,}")
    expect(page.locator("canvas")).to_have_count(page.locator("table[data-chart]").count())
