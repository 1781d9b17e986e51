"""GET /docs: the API, to read and to try. In: the OpenAPI document. Out: a page whose assets come from the installed
package fastapi-offline, so that it works without any other server.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from schema.assets import of_package

_ASSETS = "/docs/assets"


def add_docs(app: FastAPI) -> None:
    """Put the page and its assets into the app."""
    app.mount(_ASSETS, StaticFiles(directory=of_package("fastapi_offline", "static")))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=app.openapi_url or "",
            title=f"{app.title} API",
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon.png",
        )
