"""Builders of events and batches, for every test. In: what differs from the ordinary. Out: wire dicts, Events, Batches.

Deterministic: the n-th event is the same event in every test and every run. `...` leaves a wire field out.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from schema.event import MICROSECOND, Batch, Event

T0 = 1_767_225_600 * MICROSECOND  # 2026-01-01T00:00:00Z, the moment at which canonical events happen
SECOND, MINUTE, HOUR, DAY = (MICROSECOND * n for n in (1, 60, 3600, 86_400))


def uid(kind: int, n: int = 0) -> UUID:
    """The n-th id of a kind: 1 events, 2 sessions, 3 visitors, 4 batches; whatever else a test wants."""
    return UUID(int=kind << 96 | 0x4000 << 64 | 0x8 << 60 | n)


def event(n: int = 0, **overrides: Any) -> dict[str, Any]:
    """The n-th event as a browser posts it to the native dialect: a page view without a time of its own."""
    wire = {
        "event_type": "page_view",
        "event_id": str(uid(1, n)),
        "session_id": str(uid(2)),
        "anonymous_id": str(uid(3)),
    }
    return {name: value for name, value in (wire | overrides).items() if value is not ...}


def body(*events: Any, **more: Any) -> bytes:
    """The body of POST /api/events/batch; without events, three of them."""
    return json.dumps({"events": list(events) or [event(n) for n in range(3)], **more}).encode()


def canonical(n: int = 0, **overrides: Any) -> Event:
    """The n-th event as the drain reads it, n seconds after T0; a later `occurred_at` is in microseconds."""
    values: dict[str, Any] = {
        "event_id": uid(1, n),
        "event_type": "page_view",
        "occurred_at": T0 + n * SECOND,
        "session_id": uid(2),
        "anonymous_id": uid(3),
    }
    return Event(**values | overrides)


def batch(*events: Event, n: int = 0, **overrides: Any) -> Batch:
    """The n-th batch, received an hour after T0; without events, one that is not in any other default batch."""
    values: dict[str, Any] = {
        "site_id": "default",
        "batch_id": uid(4, n),
        "received_at": T0 + HOUR,
        "events": list(events) or [canonical(n)],
    }
    return Batch(**values | overrides)
