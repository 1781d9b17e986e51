"""How the demo shop looks, weighs, and reads to those who cannot see it: in both languages, on desktops and phones."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.looking import CONTRAST, grave, picture
from tests.tripstream.starting import Up

SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 375, "height": 780}}
WORDS = {
    "en": {"events": "Your events", "sign": "Sign in", "book": "Start booking"},
    "he": {"events": "האירועים שלכם", "sign": "כניסה", "book": "להתחיל הזמנה"},
}
RESULTS = "countries=JP,NO&themes=13,17&difficulty=2&budget=2600&month=1"
KILOBYTES_MAX = {"script": 32, "css": 6, "html": 3}


def look(page: Page, name: str, *rules: str, is_judged: bool = True) -> None:
    """It fits the window, and nothing serious is found."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than its window"
    assert not is_judged or grave(page, *rules) == [], name
    picture(page, name, whole=False)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", WORDS)
def test_every_page_is_readable_by_everybody(chromium: Browser, shop: Up, language: str, size: str) -> None:
    words, at = WORDS[language], f"shop-{language}-{size}"
    is_judged = (language == "he") == (size == "phone")  # each language and each size once; all four have to fit
    context = chromium.new_context(base_url=shop.url, viewport=SIZES[size], locale=language)
    page = context.new_page()
    page.goto("/")
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("article h3").first).to_be_visible()
    look(page, f"{at}-home", is_judged=is_judged)
    page.get_by_role("button", name=words["sign"]).click()
    look(page, f"{at}-sign-in", is_judged=is_judged)
    page.goto("/search?countries=IS,JP&themes=13,14,16")
    expect(page.locator("form")).to_be_visible()
    look(page, f"{at}-search", is_judged=is_judged)
    page.goto(f"/search/results?{RESULTS}")
    expect(page.locator("article h3").first).to_be_visible()
    look(page, f"{at}-results", is_judged=is_judged)
    page.locator("article summary").first.click()
    look(page, f"{at}-why", is_judged=is_judged)
    page.locator("article h3 a").first.click()
    expect(page.get_by_role("button", name=words["book"])).to_be_visible()
    look(page, f"{at}-trip", is_judged=is_judged)
    page.get_by_role("button", name=words["events"]).click()
    expect(page.locator(".events li").first).to_be_visible()
    look(page, f"{at}-events", is_judged=is_judged)
    context.close()


def test_a_dark_system_gets_dark_pages_that_can_be_read(chromium: Browser, shop: Up) -> None:
    context = chromium.new_context(base_url=shop.url, viewport=SIZES["desktop"], color_scheme="dark", locale="en")
    page = context.new_page()
    for name, path in (
        ("search", "/search?themes=13"),
        ("results", f"/search/results?{RESULTS}"),
        ("trip", "/trips/1"),
    ):
        page.goto(path)
        expect(page.locator("h1")).to_be_visible()
        page.wait_for_load_state("networkidle")
        look(page, f"shop-dark-{name}", CONTRAST)
    context.close()


def test_the_shop_is_light(chromium: Browser, shop: Up) -> None:
    """What a first visit loads of ours, compressed."""
    context = chromium.new_context(base_url=shop.url)
    page = context.new_page()
    sizes = dict.fromkeys(KILOBYTES_MAX, 0)
    kinds = {".js": "script", ".css": "css"}

    def weigh(request: object) -> None:
        kind = kinds.get(Path(request.url).suffix) or ("html" if request.resource_type == "document" else None)
        if kind:
            sizes[kind] += request.sizes()["responseBodySize"]

    page.on("requestfinished", weigh)
    page.goto("/", wait_until="networkidle")
    assert all(sizes.values()), sizes
    assert {kind: size for kind, size in sizes.items() if size > KILOBYTES_MAX[kind] * 1000} == {}
    context.close()
