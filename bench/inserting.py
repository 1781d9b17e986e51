"""The pipeline without a queue: one INSERT per event, and the counters of its session, visitor and trip with it.

In: batches of one or ten events over HTTP. Out: 202 once each event was committed in a transaction of its own. The
handlers run in FastAPI's threads, on a pool of eight connections, as a synchronous application would.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from psycopg_pool import ConnectionPool
from pydantic import BaseModel

from bench.plain import INSERT, TABLE, Event

COUNTERS = """
CREATE TABLE IF NOT EXISTS plain_sessions (
    session_id uuid PRIMARY KEY, anonymous_id uuid, last_seen_at timestamptz, events bigint, views bigint, clicks bigint
);
CREATE TABLE IF NOT EXISTS plain_visitors (
    anonymous_id uuid PRIMARY KEY, last_seen_at timestamptz, events bigint, clicks bigint
);
CREATE TABLE IF NOT EXISTS plain_trips (trip_id bigint PRIMARY KEY, impressions bigint, clicks bigint, saves bigint);
"""
COUNT_SESSION = """
INSERT INTO plain_sessions AS s VALUES (%s, %s, %s, 1, (%s = 'page_view')::int, (%s = 'click_trip')::int)
ON CONFLICT (session_id) DO UPDATE SET last_seen_at = greatest(s.last_seen_at, excluded.last_seen_at),
    events = s.events + 1, views = s.views + excluded.views, clicks = s.clicks + excluded.clicks
"""
COUNT_VISITOR = """
INSERT INTO plain_visitors AS v VALUES (%s, %s, 1, (%s = 'click_trip')::int)
ON CONFLICT (anonymous_id) DO UPDATE SET last_seen_at = greatest(v.last_seen_at, excluded.last_seen_at),
    events = v.events + 1, clicks = v.clicks + excluded.clicks
"""
COUNT_TRIP = """
INSERT INTO plain_trips AS t VALUES (%s, (%s = 'impression')::int, (%s = 'click_trip')::int, (%s = 'save_trip')::int)
ON CONFLICT (trip_id) DO UPDATE SET impressions = t.impressions + excluded.impressions,
    clicks = t.clicks + excluded.clicks, saves = t.saves + excluded.saves
"""


class Batch(BaseModel):
    """Events of one browser."""

    events: list[Event]


@asynccontextmanager
async def _connected(app: FastAPI) -> AsyncIterator[None]:
    with ConnectionPool(os.environ["DATABASE_URL"], min_size=8, max_size=8, open=True) as pool:
        with pool.connection() as connection:
            connection.execute(TABLE + COUNTERS)
        app.state.pool = pool
        yield


app = FastAPI(lifespan=_connected)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Alive."""
    return {"status": "alive"}


@app.post("/api/events", status_code=202)
def one(event: Event) -> dict[str, int]:
    """One event."""
    _store(event)
    return {"accepted": 1}


@app.post("/api/events/batch", status_code=202)
def many(batch: Batch) -> dict[str, int]:
    """Ten, one after the other."""
    for event in batch.events:
        _store(event)
    return {"accepted": len(batch.events)}


def _store(event: Event) -> None:
    row, kind = event.row(), event.event_type
    at = row[4]
    with app.state.pool.connection() as connection:
        connection.execute(INSERT, row)
        connection.execute(COUNT_SESSION, (event.session_id, event.anonymous_id, at, kind, kind))
        connection.execute(COUNT_VISITOR, (event.anonymous_id, at, kind))
        if event.trip_id is not None:
            connection.execute(COUNT_TRIP, (event.trip_id, kind, kind, kind))
