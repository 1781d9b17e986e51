"""What became of a visitor's own events, for the drawer of the demo shop. In: an anonymous id, which only its own
browser knows, and events it saw leave. Out: the newest stored ones, and what receipts say of the others; of nobody
else's.

It reads the demo's site alone, with row-level security, and of the last hours only.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row
from pydantic import AwareDatetime, BaseModel, Field

from schema import db
from schema.db import Connection
from schema.rights import LOCAL_SITE
from schema.settings import Settings
from schema.sql import load

PAGE_MAX = 50
_SQL = load("shop")
_REACH = timedelta(hours=2)


class Asked(BaseModel):
    """`event_ids`: those whose end is not known yet. `before`: the last one of the page before."""

    anonymous_id: UUID
    event_ids: list[UUID] = Field(default=[], max_length=PAGE_MAX)
    before: tuple[AwareDatetime, UUID] | None = None


class Told(BaseModel):
    """One event. `verdict`: stored, bot, duplicate, dead, discarded. `again`: how often it came once more and was
    left out."""

    event_id: UUID
    event_type: str | None
    occurred_at: datetime | None
    verdict: str
    reason: str | None = None
    trip_id: int | None = None
    again: int = 0


class OwnEvents(BaseModel):
    """Newest first."""

    events: list[Told]


def own_events(settings: Settings, asked: Asked) -> OwnEvents:
    """One page."""
    since = datetime.now(UTC) - _REACH
    with db.wrapped(), db.reading(settings, db.Scope(LOCAL_SITE), statement_seconds_max=5, fresh=True) as connection:
        stored = _stored(connection, asked, since)
        ids = [*stored, *(str(one) for one in asked.event_ids)]
        for row in _rows(connection, "remarks", {"from_id": _first_id(since), "event_ids": ids}):
            _add(stored, row)
    return OwnEvents(events=list(stored.values()))


def _stored(connection: Connection, asked: Asked, since: datetime) -> dict[str, Told]:
    before_at, before_id = asked.before or (None, None)
    values = {"visitor": asked.anonymous_id, "since": since, "most": PAGE_MAX}
    rows = _rows(connection, "stored", values | {"before_at": before_at, "before_id": before_id})
    return {str(row["event_id"]): _of_row(row) for row in rows}


def _of_row(row: dict[str, Any]) -> Told:
    verdict, reason = ("bot", row["bot_reason"]) if row["is_bot"] else ("stored", None)
    return Told(
        event_id=row["event_id"],
        event_type=row["event_type"],
        occurred_at=row["occurred_at"],
        verdict=verdict,
        reason=reason,
        trip_id=row["trip_id"],
    )


def _add(found: dict[str, Told], row: dict[str, Any]) -> None:
    """A receipt's remark: of an event that is stored only that it came again."""
    event = found.get(row["event_id"])
    if event is None:
        found[row["event_id"]] = Told(occurred_at=None, **row)
    elif row["verdict"] == "duplicate":
        event.again += 1


def _first_id(since: datetime) -> UUID:
    """Batch ids begin with their millisecond."""
    return UUID(int=int(since.timestamp() * 1000) << 80)


def _rows(connection: Connection, name: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name], values | {"site_id": LOCAL_SITE}).fetchall()
