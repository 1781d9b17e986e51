"""How a page looks, and how it reads to those who cannot see it. In: a page. Out: what axe finds, and a picture in the
directory that SCREENSHOTS names, where it names one.
"""

from __future__ import annotations

import os
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

CONTRAST = "color-contrast"  # the one rule that a theme can break
_GRAVE = ("serious", "critical")


def grave(page: Page, *rules: str) -> list[tuple[str, list[str]]]:
    """What axe finds serious or worse, and where, by all rules or by these."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    found = Axe().run(page, options=options).response["violations"]
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found if one["impact"] in _GRAVE]


def picture(page: Page, name: str, *, whole: bool = True) -> None:
    """A screenshot, of the whole page or of what the window shows of it."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=whole)
