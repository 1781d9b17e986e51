"""`GET /api/verdicts?batch_id=`. In: the id that a 202 gave, and a right to that site's figures. Out: what became of
each event; 404 for a batch that is unknown, or another site's, which are not told apart; 503 without Redis or Postgres.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from uuid import UUID

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from redis.exceptions import RedisError

from reports import verdicts
from schema import db, rights, stream
from schema.errors import StorageError
from schema.settings import Settings

PATH = "/api/verdicts"
_UNKNOWN = "No batch of yours has this id: it was never accepted, or its receipt was dropped with age."

_AWAY = "Redis, where batches wait, cannot be reached: whether this one does is not known. Ask again."


class EventVerdict(BaseModel):
    """One event. `verdict`: stored, duplicate, bot, dead, discarded, refused, or queued. `index` is its place in the
    request; null for events that were stored without a remark, whose rows do not keep it."""

    index: int | None
    event_id: UUID | None
    event_type: str | None
    verdict: str
    reason: str | None


class BatchVerdicts(BaseModel):
    """One batch. `state`: stored once it was drained, queued before; while it is queued the other counts are 0."""

    batch_id: UUID
    site_id: str
    state: str
    received_at: datetime
    accepted: int
    stored: int
    duplicate: int
    dead: int
    discarded: int
    events: list[EventVerdict]


def _looking(settings: Settings, site_id: str | None) -> AbstractContextManager[db.Connection]:
    """Of any site, with the installation's key, only the writer sees all. Each look sees what was drained by then."""
    return db.connect(settings) if site_id is None else db.reading(settings, db.Scope(site_id), fresh=True)


def _look(settings: Settings, batch_id: UUID, site_id: str | None) -> verdicts.Verdicts | None:
    """Not for long: a Redis that hangs would keep connections that are everybody's."""
    redis = stream.connect(settings.streams_url, settings.redis_seconds_max)
    with redis, _looking(settings, site_id) as connection:
        return verdicts.of_batch(connection, redis, settings, batch_id, site_id)


def add_verdicts_route(app: FastAPI, settings: Settings) -> None:
    """The route."""

    @app.get(PATH, summary="What became of each event of a batch (read key)", response_model=BatchVerdicts)
    def of_batch(request: Request, batch_id: UUID) -> object:
        with db.wrapped():
            site_id = rights.sites_of(settings, request)
            try:
                found = _look(settings, batch_id, site_id)
            except (RedisError, OSError):
                raise StorageError(_AWAY, retry_after_seconds=2) from None
        if found is None:
            unknown = {"code": "not_found", "message": _UNKNOWN, "batch_id": str(batch_id), "state": "unknown"}
            return JSONResponse(unknown, 404)
        return found._asdict() | {"events": [event._asdict() | {"index": event.at} for event in found.events]}
