"""Documents the hot routes, which FastAPI does not see. In: FastAPI's document. Out: the same with ingest added."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from ingest.dialects.analytics import PageBatch
from ingest.dialects.native import NativeEvent
from ingest.dialects.platform import PlatformEvent
from ingest.dialects.single import Queued, SingleEvent
from ingest.identify import Identify
from ingest.sessions import SessionStart

_ERRORS = {
    "400": "The body is not a batch",
    "401": "The key or the token is wrong, or one is needed",
    "403": "The origin is not allowed",
    "408": "The body arrived too slowly",
    "413": "Too many bytes or events",
    "415": "Unknown Content-Encoding",
    "429": "Too many events from this key or address; send the same batch again after Retry-After",
    "503": "The queue is full or unreachable; send the same batch again after Retry-After",
}


class NativeBatch(msgspec.Struct, kw_only=True):
    """Up to 100 events of one browser."""

    events: list[NativeEvent]
    sent_at: str | None = None
    write_key: str | None = None
    site_id: str | None = None


class Refusal(msgspec.Struct):
    index: int
    code: str
    message: str


class Receipt(msgspec.Struct):
    """What became of a batch. `durability`: fsync, everysec, memory or unknown."""

    accepted: int
    rejected: list[Refusal]
    batch_id: str
    durability: str


class Identified(Receipt):
    """The same, with the id of the user that the token names."""

    user_id: str


class Session(msgspec.Struct):
    session_id: str
    resumed: bool
    expires_in_seconds: int


class Problem(msgspec.Struct):
    code: str
    message: str


_ROUTES: tuple[tuple[str, str, type, str, type], ...] = (
    ("/api/events/batch", "Post a batch of events", NativeBatch, "202", Receipt),
    ("/api/events", "Post one event", NativeEvent, "202", Receipt),
    ("/ingest-event", "Post one event of a site by its id", SingleEvent, "202", Queued),
    ("/api/analytics/ingest", "Post sessions, page views and clicks of pages", PageBatch, "202", Receipt),
    ("/rpc/emit_platform_event", "Emit one event of an application; answers its id", PlatformEvent, "200", UUID),
    ("/api/user/identify", "Say who a visitor is (needs the user's token)", Identify, "202", Identified),
    ("/api/session/start", "Start or resume a session", SessionStart, "200", Session),
)


def document(base: dict[str, Any]) -> dict[str, Any]:
    """Add the ingest routes and their schemas to an OpenAPI document."""
    types = sorted({t for _, _, asked, _, told in _ROUTES for t in (asked, told)} | {Problem}, key=lambda t: t.__name__)
    refs, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(types, refs, strict=True))
    base.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    problem = {"application/json": {"schema": schema_of[Problem]}}
    for path, summary, asked, status, told in _ROUTES:
        told_schema = {"application/json": {"schema": schema_of[told]}}
        responses: dict[str, Any] = {status: {"description": "Done", "content": told_schema}}
        responses |= {code: {"description": text, "content": problem} for code, text in _ERRORS.items()}
        body = {"required": True, "content": {"application/json": {"schema": schema_of[asked]}}}
        base["paths"][path] = {"post": {"summary": summary, "requestBody": body, "responses": responses}}
    return base
