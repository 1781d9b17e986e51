"""What is in Postgres, against what was promised. In: a history and a drained database. Out: what is lost, doubled,
never sent, altered, miscounted.

The counters are counted here from what was sent, in Python, and share nothing with the drain's SQL. Reads only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from schema import db
from schema.db import Connection
from schema.settings import Settings
from tests.chaos.history import FAIL, OK, UNKNOWN, History
from tests.chaos.traffic import BOT, Wire
from workers.verify import verify

CLICKS = ("click_trip", "click")
SEARCHES = ("search_submit", "search.performed")
CONTACTS = ("contact_whatsapp", "contact_phone")
Figures = dict[Any, tuple[Any, ...]]


class Verdict(NamedTuple):
    """`acked` events were promised. The rest should be empty."""

    acked: int
    stored: int
    lost: list[UUID]
    doubled: list[UUID]
    phantom: list[UUID]
    altered: list[UUID]
    needlessly_dead: list[UUID]
    miscounted: list[str]
    problems: list[str]

    def faults(self) -> dict[str, Any]:
        """What is not as it should be, shortened."""
        found = self._asdict()
        return {name: (len(v), v[:5]) for name, v in found.items() if isinstance(v, list) and v}


def check(settings: Settings, history: History) -> Verdict:
    """Judge. The queue must be empty, and nobody may be sending."""
    problems = verify(settings, lambda *_: None).problems  # rolls up, too
    with db.connect(settings, "owner", statement_seconds_max=0) as connection:
        rows = _rows(connection)
        dead = _dead(connection)
        unreadable = {row[0] for row in connection.execute("SELECT batch_id FROM dead_letters WHERE event_id IS NULL")}
        there = Counter(row[0] for row in rows)
        promised, perhaps = history.ids(OK), history.ids(UNKNOWN)
        lost = (promised | history.poison) - there.keys() - dead.keys()
        counted = [history.sent[event_id] for event_id in there if event_id in history.sent]
        return Verdict(
            acked=len(promised),
            stored=len(rows),
            lost=sorted(lost | (history.unreadable - unreadable)),
            doubled=sorted([e for e, n in there.items() if n > 1] + [e for e in dead if dead[e] > 1 or e in there]),
            phantom=sorted(there.keys() - promised - perhaps),
            altered=[row[0] for row in rows if row[0] in history.sent and _sent(history.sent[row[0]]) != row],
            needlessly_dead=sorted(dead.keys() - history.poison),
            miscounted=_miscounted(connection, counted),
            problems=problems,
        )


def refused(history: History) -> set[UUID]:
    """Ids whose every attempt failed for certain."""
    return history.ids(FAIL) - history.ids(OK, UNKNOWN)


def _rows(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT event_id, event_type, session_id, anonymous_id, trip_id, occurred_at, is_bot"
        " FROM events JOIN event_types USING (event_type_id)"
    ).fetchall()


def _dead(connection: Connection) -> Counter[UUID]:
    """How often each event is a dead letter of the same batch: more than once is twice too often."""
    query = "SELECT event_id, count(*) FROM dead_letters WHERE event_id IS NOT NULL GROUP BY batch_id, event_id"
    most: Counter[UUID] = Counter()
    for event_id, n in connection.execute(query):
        most[event_id] = max(most[event_id], n)
    return most


def _sent(wire: Wire) -> tuple[Any, ...]:
    ids = (UUID(wire["event_id"]), wire["event_type"], UUID(wire["session_id"]), UUID(wire["anonymous_id"]))
    return (*ids, wire.get("trip_id"), _at(wire), wire["user_agent"] == BOT)


def _at(wire: Wire) -> datetime:
    return datetime.fromisoformat(wire["client_timestamp"]).astimezone(UTC)


def _miscounted(connection: Connection, events: Iterable[Wire]) -> list[str]:
    """Every counter that differs from a plain count of the events."""
    people = [wire for wire in events if wire["user_agent"] != BOT]
    return [
        *_differences("trip", _trips(people), _table(connection, TRIPS)),
        *_differences("session", _sessions(people), _table(connection, SESSIONS)),
        *_differences("user", _users(people), _table(connection, USERS)),
        *_differences("hour", _hours(people), _table(connection, HOURS)),
    ]


TRIPS = """
SELECT trip_id, impression_count, click_count, save_count, whatsapp_contact_count, phone_contact_count,
    booking_start_count, total_dwell_time_ms, dwell_count FROM trip_interactions"""
SESSIONS = """
SELECT session_id, page_view_count, search_count, click_count, save_count, contact_count, event_count,
    started_at, last_seen_at FROM sessions"""
USERS = """
SELECT value::uuid, total_searches, total_clicks, total_events, first_seen_at, last_seen_at
FROM users JOIN identities USING (user_id) WHERE kind = 'anonymous'"""
HOURS = "SELECT (hour, event_type)::text, events FROM rollup_hourly JOIN event_types USING (event_type_id)"


def _trips(people: Iterable[Wire]) -> Figures:
    found: Figures = {}
    for trip, kinds, own in _grouped(people, "trip_id"):
        dwells = [round(w["metadata"]["duration_seconds"] * 1000) for w in own if w["event_type"] == "trip_dwell"]
        kept = ("save_trip", "contact_whatsapp", "contact_phone", "booking_start")
        counts = (kinds["impression"], _sum(kinds, CLICKS), *(kinds[name] for name in kept))
        found[trip] = (*counts, sum(dwells), len(dwells))
    return found


def _sessions(people: Iterable[Wire]) -> Figures:
    found: Figures = {}
    for session, kinds, own in _grouped(people, "session_id"):
        sums = (kinds["page_view"], _sum(kinds, SEARCHES), _sum(kinds, CLICKS), kinds["save_trip"])
        times = [_at(wire) for wire in own]
        found[UUID(session)] = (*sums, _sum(kinds, CONTACTS), len(own), min(times), max(times))
    return found


def _users(people: Iterable[Wire]) -> Figures:
    found: Figures = {}
    for visitor, kinds, own in _grouped(people, "anonymous_id"):
        times = [_at(wire) for wire in own]
        found[UUID(visitor)] = (_sum(kinds, SEARCHES), _sum(kinds, CLICKS), len(own), min(times), max(times))
    return found


def _hours(people: Iterable[Wire]) -> Figures:
    counts: Counter[str] = Counter()
    for wire in people:
        hour = _at(wire).replace(minute=0, second=0, microsecond=0)
        counts[f'("{hour:%Y-%m-%d %H:%M:%S}+00",{wire["event_type"]})'] += 1
    return {key: (n,) for key, n in counts.items()}


def _grouped(people: Iterable[Wire], key: str) -> Iterable[tuple[Any, Counter[str], list[Wire]]]:
    groups: defaultdict[Any, list[Wire]] = defaultdict(list)
    for wire in people:
        if key in wire:
            groups[wire[key]].append(wire)
    return [(value, Counter(w["event_type"] for w in own), own) for value, own in groups.items()]


def _sum(kinds: Mapping[str, int], names: Iterable[str]) -> int:
    return sum(kinds[name] for name in names)


def _table(connection: Connection, query: str) -> Figures:
    rows = connection.execute(query).fetchall()
    assert len({row[0] for row in rows}) == len(rows), f"one row each: {query}"
    return {row[0]: row[1:] for row in rows}


def _differences(what: str, expected: Figures, found: Figures) -> list[str]:
    return [
        f"{what} {key}: {found.get(key)}, should be {expected.get(key)}"
        for key in expected.keys() | found.keys()
        if expected.get(key) != found.get(key)
    ]
