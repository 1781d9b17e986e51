"""The pipeline that a competent user writes in an hour: FastAPI, one XADD a request, one batch-insert worker.

In: one event a request. Out: 202 after XADD; a worker that inserts up to a thousand rows at a time, commits and
acknowledges. No dedupe, no counters, no group commit. It runs on the same servers as the product.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from fastapi import FastAPI
from psycopg.types.json import Json
from pydantic import BaseModel
from redis import Redis
from redis import asyncio as aioredis

STREAM, GROUP = "plain", "workers"
TABLE = """
CREATE TABLE IF NOT EXISTS plain_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id uuid NOT NULL, event_type text NOT NULL,
    session_id uuid NOT NULL, anonymous_id uuid NOT NULL, occurred_at timestamptz NOT NULL, trip_id bigint,
    source text, position integer, page_url text, referrer text, device_type text, metadata jsonb
);
CREATE INDEX IF NOT EXISTS plain_time ON plain_events (occurred_at);
CREATE INDEX IF NOT EXISTS plain_session ON plain_events (session_id);
"""
INSERT = """
INSERT INTO plain_events (event_id, event_type, session_id, anonymous_id, occurred_at, trip_id, source, position,
                          page_url, referrer, device_type, metadata)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


class Event(BaseModel):
    """One event as the browser sends it."""

    event_id: UUID
    event_type: str
    session_id: UUID
    anonymous_id: UUID
    client_timestamp: float
    trip_id: int | None = None
    source: str | None = None
    position: int | None = None
    page_url: str | None = None
    referrer: str | None = None
    device_type: str | None = None
    metadata: dict[str, Any] | None = None

    def row(self) -> tuple[Any, ...]:
        """In the order of INSERT."""
        at = datetime.fromtimestamp(self.client_timestamp / 1000, UTC)
        return (
            self.event_id, self.event_type, self.session_id, self.anonymous_id, at, self.trip_id, self.source,
            self.position, self.page_url, self.referrer, self.device_type, Json(self.metadata),
        )  # fmt: skip


@asynccontextmanager
async def _connected(app: FastAPI) -> AsyncIterator[None]:
    app.state.redis = aioredis.Redis.from_url(os.environ["REDIS_URL"])
    yield
    await app.state.redis.aclose()


app = FastAPI(lifespan=_connected)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Alive."""
    return {"status": "alive"}


@app.post("/api/events", status_code=202)
async def accept(event: Event) -> dict[str, int]:
    """One XADD."""
    await app.state.redis.xadd(STREAM, {"event": event.model_dump_json()})
    return {"accepted": 1}


def work() -> None:
    """Insert what comes, for ever."""
    with Redis.from_url(os.environ["REDIS_URL"]) as redis, psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute(TABLE)
        connection.commit()
        redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        while True:
            answer: Any = redis.xreadgroup(GROUP, "one", {STREAM: ">"}, count=1000, block=1000)
            for _, entries in answer or []:
                _insert(connection, [fields for _, fields in entries])
                redis.xack(STREAM, GROUP, *[entry_id for entry_id, _ in entries])
                redis.xdel(STREAM, *[entry_id for entry_id, _ in entries])


def _insert(connection: psycopg.Connection, entries: list[Mapping[bytes, bytes]]) -> None:
    rows = [Event.model_validate_json(fields[b"event"]).row() for fields in entries]
    with connection.cursor() as cursor:
        cursor.executemany(INSERT, rows)
    connection.commit()


if __name__ == "__main__":
    work()
