"""What visitors send, from a seed. In: a random generator. Out: batches in the native dialect, and ways to spoil them.

Few trips, visitors and sessions, so that every drain touches the rows that every other drain touches. Every event
carries its time, so that what it must count for is known before it is sent.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from schema.event import MICROSECOND, Event

TRIPS, VISITORS, SESSIONS_EACH = 25, 40, 2
PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
WEIGHTS = {
    "page_view": 30, "impression": 25, "click_trip": 12, "click": 4, "search_submit": 8, "search.performed": 3,
    "save_trip": 5, "unsave_trip": 2, "contact_whatsapp": 3, "contact_phone": 3, "booking_start": 3, "trip_dwell": 8,
    "session_start": 2, "payment.completed": 1, "review.posted": 1,
}  # fmt: skip

Wire = dict[str, Any]


class Traffic:
    """An endless supply of events that differ only by the seed."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._visitors = [self.uuid() for _ in range(VISITORS)]
        self._sessions = {v: [self.uuid() for _ in range(SESSIONS_EACH)] for v in self._visitors}
        self._today = datetime.now(UTC).replace(microsecond=0)

    def uuid(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))

    def event(self) -> Wire:
        """One event as a browser sends it."""
        chance = self._chance
        visitor = chance.choice(self._visitors)
        kind = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        at = self._today - timedelta(milliseconds=chance.randrange(60_000, 8 * 3_600_000))
        wire: Wire = {
            "event_id": self.uuid(), "event_type": kind, "anonymous_id": visitor,
            "session_id": chance.choice(self._sessions[visitor]), "client_timestamp": at.isoformat(),
            "user_agent": BOT if chance.random() < 0.03 else PERSON,
        }  # fmt: skip
        if kind not in ("session_start", "search_submit"):
            wire["trip_id"] = chance.randint(1, TRIPS)
        if kind == "trip_dwell":
            wire["metadata"] = {"duration_seconds": chance.randrange(0, 600_000) / 1000}
        return wire

    def batch(self, most: int = 12) -> list[Wire]:
        """The events of one request."""
        return [self.event() for _ in range(self._chance.randint(1, most))]


SPOILS: tuple[dict[str, Any], ...] = (
    {"position": 1 << 40},  # 22003 as text; as binary, psycopg would store 0
    {"schema_version": 1 << 16},
    {"trip_id": (1 << 63) + 1},  # more than C can hold
    {"metadata": '{"torn'},  # 22P02: no JSON
    {"path": "/nul\0"},  # refused by psycopg itself
    {"trip_id": -1},  # 23514: a check of the table
    {"occurred_at": 1 << 60},  # no date of Python's, or of Postgres'
)
UNFORESEEN = SPOILS[3]  # that a drain has to ask Postgres for, by halves


def canonical(wire: Wire, **changes: Any) -> Event:
    """The event as the drain reads it."""
    at = datetime.fromisoformat(wire["client_timestamp"])
    metadata = wire.get("metadata")
    values: dict[str, Any] = {
        "event_id": UUID(wire["event_id"]),
        "event_type": wire["event_type"],
        "occurred_at": round(at.timestamp() * MICROSECOND),
        "session_id": UUID(wire["session_id"]),
        "anonymous_id": UUID(wire["anonymous_id"]),
        "trip_id": wire.get("trip_id"),
        "user_agent": wire["user_agent"],
        "metadata": None if metadata is None else f'{{"duration_seconds": {metadata["duration_seconds"]}}}',
    }
    return Event(**values | changes)
