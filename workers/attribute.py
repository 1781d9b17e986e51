"""Sessions for events that came without one. In: a chunk of events and the sessions stored so far. Out: a session id
for each event that lacked one.

Such an event joins its visitor's nearest session within the time-out, or opens a new one whose id is derived from
the event, so that a chunk drained twice opens the same sessions. A late event never merges two sessions: it joins
one, and the other stays as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from schema.db import Connection
from schema.event import MICROSECOND, derived_id
from schema.sql import load
from workers.resolve import Staged, Visitor, moment

_SQL = load("drain")


class Span(NamedTuple):
    """One session's life so far, in microseconds."""

    session_id: UUID
    started_at: int
    last_seen_at: int

    def distance(self, at: int) -> int:
        """How far `at` lies outside."""
        return max(self.started_at - at, at - self.last_seen_at, 0)


def attribute(
    connection: Connection, staged: Sequence[Staged], users: Mapping[int, int], timeout_seconds: int
) -> dict[int, UUID]:
    """Session ids by index in `staged`, for the events without one. `users` are theirs, by index too."""
    lacking = [index for index, s in enumerate(staged) if s.event.session_id is None]
    if not lacking:
        return {}
    timeout = timeout_seconds * MICROSECOND
    visitors = {staged[index].visitor for index in lacking}
    near = [(index, s) for index, s in enumerate(staged) if s.visitor in visitors]
    spans = _stored(connection, near, users, timeout)
    for _, s in near:
        if s.event.session_id is not None:
            _widen(spans[s.visitor], s.event.session_id, s.event.occurred_at)
    found = {}
    for index in sorted(lacking, key=lambda i: (staged[i].event.occurred_at, staged[i].event.event_id)):
        event = staged[index].event
        own = spans[staged[index].visitor]
        nearest = min(own, key=lambda span: (span.distance(event.occurred_at), span.started_at), default=None)
        if nearest is not None and nearest.distance(event.occurred_at) <= timeout:
            session_id = nearest.session_id
        else:
            session_id = derived_id(staged[index].batch.site_id, "session", event.event_id.bytes)
        _widen(own, session_id, event.occurred_at)
        found[index] = session_id
    return found


def _stored(
    connection: Connection, near: Sequence[tuple[int, Staged]], users: Mapping[int, int], timeout: int
) -> dict[Visitor, list[Span]]:
    """The stored sessions near these visitors' events, by visitor; an empty list for a visitor without any."""
    spans: dict[Visitor, list[Span]] = {s.visitor: [] for _, s in near}
    claimed: defaultdict[int, set[Visitor]] = defaultdict(set)
    for index, s in near:
        if s.visitor[1] in ("auth", "claimed") and index in users:
            claimed[users[index]].add(s.visitor)
    times = [s.event.occurred_at for _, s in near]
    known = sorted({(s.batch.site_id, s.event.anonymous_id) for _, s in near if s.event.anonymous_id is not None})
    keys = {
        "since": moment(min(times) - timeout),
        "until": moment(max(times) + timeout),
        "own": [s.event.session_id for _, s in near if s.event.session_id is not None],
        "sites": [site for site, _ in known],
        "visitors": [visitor for _, visitor in known],
        "users": sorted(claimed),
    }
    for site_id, anonymous_id, *rest in connection.execute(_SQL["visitor_sessions"], keys):
        spans[site_id, "anonymous", anonymous_id].append(Span(*rest))
    for user_id, *rest in connection.execute(_SQL["claimed_sessions"], keys) if claimed else ():
        for visitor in claimed[user_id]:
            spans[visitor].append(Span(*rest))
    return spans


def _widen(spans: list[Span], session_id: UUID, at: int) -> None:
    for index, span in enumerate(spans):
        if span.session_id == session_id:
            spans[index] = Span(session_id, min(span.started_at, at), max(span.last_seen_at, at))
            return
    spans.append(Span(session_id, at, at))
