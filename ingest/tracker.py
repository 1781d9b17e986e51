"""The tracker as pages load it. In: GET /tracker.js, /tracker.VERSION.js, /tracker.d.ts, from any origin. Out: the file
that `make tracker` made of tracker.js, and its types.

A version is its content's, so that a page may hold the address to a hash (SRI). One that is no longer, or not yet, here
leads to /tracker.js: a page without a hash goes on, and one with a hash is told by its browser.
"""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from schema.assets import FOR_EVER, Asset

_HERE = Path(__file__).parent
_SHORT = "public, max-age=3600"
SCRIPT = Asset(_HERE / "tracker.min.js")
TYPES = Asset(_HERE / "tracker.d.ts")


def snippet() -> str:
    """The lines with which a page loads this file and no other."""
    return f"""\
<script defer src="https://trips.example/tracker.{SCRIPT.version}.js" crossorigin data-site="shop" data-key="WRITE_KEY"
  integrity="{SCRIPT.integrity}"></script>"""


def add_tracker(app: Starlette) -> None:
    """Its three addresses."""
    routes = {"/tracker.js": _newest, "/tracker.{version}.js": _version, "/tracker.d.ts": _types}
    for path, route in routes.items():
        app.router.add_route(path, route, ["GET"], include_in_schema=False)


async def _newest(request: Request) -> Response:
    return _shared(SCRIPT.answer(request, _SHORT))


async def _version(request: Request) -> Response:
    if request.path_params["version"] != SCRIPT.version:
        return _shared(Response(status_code=307, headers={"location": "tracker.js", "cache-control": "no-store"}))
    return _shared(SCRIPT.answer(request, FOR_EVER))


async def _types(request: Request) -> Response:
    response = _shared(TYPES.answer(request, _SHORT))
    response.headers["content-type"] = "text/plain; charset=utf-8"
    return response


def _shared(response: Response) -> Response:
    """Readable by pages of any origin: without that a browser cannot hold it to its hash."""
    response.headers["access-control-allow-origin"] = "*"
    response.headers["cross-origin-resource-policy"] = "cross-origin"
    return response
