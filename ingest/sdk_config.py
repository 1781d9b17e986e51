"""What the browser SDKs of other vendors ask for before they send: which features are on. In: GET, and POST for flags.
Out: the same few answers for every site, so that events come here and nothing else is tried.

The answers say nothing of a site, and a wrong key is told where it matters, with the first event.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from ingest.http import cors, preflight

Make = Callable[[Request], Any]
_HOST = re.compile(r"[\w.:\[\]-]{1,255}")
_KEY = re.compile(r"[\w:-]{1,200}", re.ASCII)
_ID = "tripstream"
_OFF = {"enabled": False}
_POSTHOG: dict[str, Any] = {
    "supportedCompression": ["gzip", "gzip-js", "base64"],
    "hasFeatureFlags": False,
    "defaultIdentifiedOnly": True,
    "elementsChainAsString": True,
    "analytics": {"endpoint": "/e/"},
    "toolbarParams": {},
    "isAuthenticated": False,
    "siteApps": [],
}
_POSTHOG |= dict.fromkeys(("autocapture_opt_out", "autocaptureExceptions", "captureDeadClicks"), False)
_POSTHOG |= dict.fromkeys(("capturePerformance", "heatmaps", "logs", "sessionRecording", "surveys"), False)
_FLAGS: dict[str, Any] = {
    "flags": {},
    "featureFlags": {},
    "featureFlagPayloads": {},
    "errorsWhileComputingFlags": False,
    "quotaLimited": [],
}


def segment_settings(request: Request) -> Any:
    """Where analytics-next sends to: here. Without this answer it sends nothing."""
    said = request.headers.get("x-forwarded-proto", request.url.scheme)
    protocol = said if said in ("http", "https") else "https"
    host = request.headers.get("host", "")
    to = f"{host}{request.scope.get('root_path', '')}/v1" if _HOST.fullmatch(host) else ""
    key = request.path_params["key"]
    return {
        "integrations": {
            "Segment.io": {"apiKey": key, "apiHost": to, "protocol": protocol, "unbundledIntegrations": []}
        },
        "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
        "edgeFunction": {},
        "analyticsNextEnabled": True,
        "metrics": {"sampleRate": 0},
        "remotePlugins": [],
    }


def rudder_source(request: Request) -> Any:
    """A source without destinations: RudderStack's SDK then sends its events here and loads nothing."""
    config = {"statsCollection": {"errors": _OFF, "metrics": _OFF}}
    names = {"id": _ID, "name": _ID, "workspaceId": _ID, "writeKey": request.query_params.get("writeKey", "")}
    more: dict[str, Any] = {"config": config, "destinations": [], "connections": [], "dataplanes": {}}
    return {
        "source": {**names, "enabled": True, "updatedAt": "2026-01-01T00:00:00.000Z", **more},
        "updatedAt": "2026-01-01T00:00:00.000Z",
        "consentManagementMetadata": {"providers": []},
        "isHosted": True,
    }


def posthog_flags(_: Request) -> Any:
    """No feature flags, for posthog-js with the rest of its settings."""
    return _POSTHOG | _FLAGS


def posthog_config(request: Request) -> Any:
    """What posthog-js may do: capture, and nothing that would need an answer."""
    return _POSTHOG | {"token": request.path_params["key"]}


def posthog_script(request: Request) -> bytes:
    """The same as a script, for pages that load it with a script element."""
    config = msgspec.json.encode({request.path_params["key"]: {"config": posthog_config(request), "siteApps": []}})
    return (
        b"(function(){Object.assign(window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{},%s)})();" % config
    )


_GET = ("GET", "OPTIONS")
_BOTH = ("GET", "POST", "OPTIONS")
_ROUTES: tuple[tuple[str, Make, tuple[str, ...]], ...] = (
    ("/v1/projects/{key}/settings", segment_settings, _GET),
    ("/sourceConfig", rudder_source, _GET),
    ("/array/{key}/config", posthog_config, _GET),
    ("/array/{key}/config.js", posthog_script, _GET),
    ("/flags", posthog_flags, _BOTH),
    ("/decide", posthog_flags, _BOTH),
    ("/flags/definitions", lambda _: {"flags": [], "group_type_mapping": {}, "cohorts": {}}, _GET),
    ("/api/feature_flag/local_evaluation", lambda _: {"flags": [], "group_type_mapping": {}, "cohorts": {}}, _GET),
    ("/api/surveys", lambda _: {"surveys": []}, _GET),
    ("/api/early_access_features", lambda _: {"earlyAccessFeatures": []}, _GET),
    ("/api/web_experiments", lambda _: {"experiments": []}, _GET),
)


def add_routes(app: Starlette) -> None:
    """Every one with and without a slash at its end."""
    for path, make, methods in _ROUTES:
        for slash in ("", "/"):
            app.router.add_route(path + slash, _answering(make, methods), list(methods), include_in_schema=False)


def _answering(make: Make, methods: tuple[str, ...]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        header = dict(request.scope["headers"])
        if request.method == "OPTIONS":
            allowed = dict(preflight(header, reflect=True)) | {
                b"access-control-allow-methods": ", ".join(methods).encode()
            }
            return _response(204, b"", allowed)
        if not _KEY.fullmatch(request.path_params.get("key", _ID)):
            return _response(404, b'{"code":"not_found","message":"This is no key."}', dict(cors(header, reflect=True)))
        made = make(request)
        is_script = isinstance(made, bytes)
        response = _response(200, made if is_script else msgspec.json.encode(made), dict(cors(header, reflect=True)))
        if is_script:
            response.headers["content-type"] = "application/javascript"
        response.headers["cache-control"] = "private, max-age=60"
        return response

    return answer


def _response(status: int, body: bytes, headers: dict[bytes, bytes]) -> Response:
    told = {name.decode(): value.decode("latin-1") for name, value in headers.items()}
    return Response(body, status, told, media_type="application/json")
