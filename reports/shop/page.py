"""The shop's page. In: settings. Out: HTML that loads our modules; every view is the same page, drawn by the browser.

Nothing of a request is in it, so it needs no template language: `$asset(name)` stands for a file's address.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from fastapi.responses import HTMLResponse, Response

from reports.html import HEADERS
from schema.assets import Shelf, of_folder

HERE = Path(__file__).parent
PREFIX = "/shop/assets"


@cache
def shelf() -> Shelf:
    """Our styles and modules."""
    return Shelf(PREFIX, of_folder(HERE / "static"))


@cache
def _html(signs_in: bool) -> str:
    text = (HERE / "shop.html").read_text()
    text = text.replace("$modules", "\n  ".join(_preloaded()))
    text = text.replace("$signs_in", "demo" if signs_in else "elsewhere")
    return re.sub(r"\$asset\(([\w.]+)\)", lambda found: shelf().url(found[1]), text)


def _preloaded() -> list[str]:
    """Modules are found through one another, one round trip after the other, unless they are named at once."""
    scripts = [name for name in shelf().assets if name.endswith(".js")]
    return [f'<link rel="modulepreload" href="{shelf().url(name)}">' for name in scripts]


def page(signs_in: bool) -> Response:
    """The page, whatever its address asks for."""
    return HTMLResponse(_html(signs_in), headers=HEADERS)
