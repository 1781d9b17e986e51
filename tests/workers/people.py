"""People with tokens. In: who sends what, when. Out: batches as accept makes them of verified requests."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from schema.event import Batch, Event, Verified
from tests.make import HOUR, SECOND, T0, batch, canonical, uid
from tests.workers.pipeline import Pipeline
from workers import mover

_numbers = itertools.count(10_000)


def said(n: int, visitor: int | None, auth: str | None = None, at: int | None = None, **fields: Any) -> Event:
    """The n-th event, n seconds after T0 unless it says when: of a visitor's browser, with somebody's token or none."""
    own = {"anonymous_id": None, "session_id": None} if visitor is None else {}
    known = {"anonymous_id": uid(3, visitor or 0), "session_id": uid(2, visitor or 0)} | own
    moment = T0 + (n if at is None else at) * SECOND
    return canonical(n, **{"auth_user_id": auth, "occurred_at": moment} | known | fields)


def sent(event: Event, email: str | None = None, received_at: int | None = None, site_id: str = "default") -> Batch:
    """One request with that event."""
    verified = Verified(event.auth_user_id, email) if event.auth_user_id else None
    received = T0 + HOUR if received_at is None else received_at
    return batch(event, n=next(_numbers), verified=verified, received_at=received, site_id=site_id)


def arrive(pipe: Pipeline, *batches: Batch, move: bool = True) -> None:
    """Accepted, drained one by one, moved."""
    for one in batches:
        pipe.accept(one)
        pipe.drain()
    if move:
        mover.run_once(pipe.connection)


def owners(pipe: Pipeline, site_id: str = "default") -> set[frozenset[int]]:
    """Which events have one user: numbers of events, in sets."""
    rows = pipe.rows("SELECT user_id, event_id FROM events WHERE site_id = %s AND NOT is_bot", site_id)
    together: dict[int, set[int]] = {}
    for user_id, event_id in rows:
        together.setdefault(user_id, set()).add(event_id.int & 0xFFFF_FFFF)
    return {frozenset(events) for events in together.values()}


def split(*groups: Iterable[int]) -> set[frozenset[int]]:
    return {frozenset(group) for group in groups}
