"""Builders of events, batches and requests for recommendations, for every test. In: what differs from the ordinary.
Out: wire dicts, Events, Batches, Asked.

Deterministic: the n-th event is the same event in every test and every run. `...` leaves a wire field out.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from schema.asked import Asked, Shown
from schema.event import MICROSECOND, Batch, Event

T0 = 1_767_225_600 * MICROSECOND  # 2026-01-01T00:00:00Z, the moment at which canonical events happen
SECOND, MINUTE, HOUR, DAY = (MICROSECOND * n for n in (1, 60, 3600, 86_400))


def uid(kind: int, n: int = 0) -> UUID:
    """The n-th id of a kind: 1 events, 2 sessions, 3 visitors, 4 batches, 5 requests; whatever else a test wants."""
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


def shown(*scores: int, **overrides: Any) -> list[Shown]:
    """Results in order: trip 101 with the first score, and so on."""
    return [Shown(100 + n, 10 + n, n, score, **overrides) for n, score in enumerate(scores, 1)]


def asked(n: int = 0, **overrides: Any) -> Asked:
    """The n-th answered request, n seconds after T0: two results, found without relaxation."""
    values: dict[str, Any] = {
        "site_id": "default",
        "request_id": uid(5, n),
        "requested_at": T0 + n * SECOND,
        "preferences": '{"selected_countries": ["IT"], "budget": "900.50"}',
        "filters": ["geography", "budget"],
        "search_type": "focused_search",
        "policy_id": "rules",
        "policy_version": 1,
        "results": shown(80, 60),
        "primary_count": 2,
        "relaxed_count": 0,
        "total_candidates": 2,
        "response_time_us": 1500,
        "session_id": uid(2),
        "anonymous_id": uid(3),
    }
    return Asked(**values | overrides)
