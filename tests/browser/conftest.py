"""A browser, and a whole Tripstream to look at. In: Chromium or Chrome of this machine. Out: fixtures.

Where there is no browser these tests are left out, and the end of the run says so; in CI that is an error.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from schema.settings import Settings
from tests.browser import visits
from tests.browser.front import Front, fronting
from tests.tripstream.starting import Up
from tripstream import running
from tripstream.embedded_postgres import DATABASE, Postgres

ADMIN = "a" * 32
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update")
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
MISSING = "no Chromium or Chrome was found here, and what people see was not tested: install the package chromium"


def _executable() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser, headless; of one file, since as long as it is open no other event loop can run in this thread. It
    says that it is no robot: a context's own user agent is not what beacons are sent with."""
    path = _executable()
    if path is None:
        assert not os.environ.get("CI"), MISSING
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, headless=True, args=[*ARGUMENTS, f"--user-agent={AGENT}"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shop(own_state: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`tripstream up` with demo trips, for all tests of a file's worker."""
    log = tmp_path_factory.mktemp("shop") / "up.log"
    countries = {"TRIPSTREAM_TRUSTED_PROXIES": "127.0.0.1", "TRIPSTREAM_COUNTRY_HEADER": "x-country"}
    one = Up(
        own_state(), log, "tripstream", TRIPSTREAM_DEMO_OCCURRENCES="2000", TRIPSTREAM_ADMIN_KEY=ADMIN, **countries
    )
    yield one.is_up()
    one.process.terminate()
    one.ends()


@pytest.fixture(scope="session")
def visited(shop: Up) -> Up:
    """The same after some weeks of visits."""
    visits.visit(shop.url, ADMIN, Postgres(shop.state, {}).url(DATABASE), days=40, a_day=8)
    return shop


@pytest.fixture
def page(chromium: Browser, shop: Up) -> Iterator[Page]:
    """A page of a fresh visitor on a desktop. A script that fails, or that its policy forbids, fails the test."""
    context = chromium.new_context(base_url=shop.url, viewport={"width": 1280, "height": 800})
    yield from watched(context)


def watched(context: BrowserContext) -> Iterator[Page]:
    """One page of it, which may say nothing that is wrong."""
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert wrong == []


@pytest.fixture
def site() -> Iterator[Front]:
    """A small site with the tracker on it, which plays the server too."""
    with fronting() as site:
        yield site


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh profile of a browser. What is thrown into one of its pages fails the test."""
    context = chromium.new_context()
    wrong: list[str] = []
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    yield context
    context.close()
    assert wrong == []


def settled(shop: Up) -> None:
    """Drain what was sent, and roll it up."""
    answer = httpx.post(f"{shop.url}/process-events", headers={"authorization": f"Bearer {ADMIN}"}, timeout=60)
    assert answer.status_code == 200, answer.text


@pytest.fixture
def known(shop: Up) -> Settings:
    """The settings of the stack that runs."""
    return running.connect(Settings(state=shop.state))


@pytest.fixture
def admin(chromium: Browser, shop: Up) -> Iterator[Page]:
    """Signed in with the installation's key. Answers that refuse are errors of the console, and no fault here."""
    size = {"width": 1280, "height": 800}
    context = chromium.new_context(base_url=shop.url, viewport=size, user_agent=visits.DEVICES[2][0])
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    sign_in(page, ADMIN)
    yield page
    context.close()
    assert wrong == []


def sign_in(page: Page, key: str) -> None:
    """With that key, to the page of dead letters."""
    page.goto("/dashboard/sign-in?next=/dashboard/dead-letters")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text(re.compile("Dead letters|Which site"))
    if heading.inner_text() == "Which site?":  # another test has made a second one
        page.get_by_role("button", name="default").click()
    expect(heading).to_have_text("Dead letters")
