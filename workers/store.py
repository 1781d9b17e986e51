"""One transaction's worth of rows: receipts, ledger, identities, users, sessions, events, counters, dirty marks.

In: stream entries. Out: rows, counted once each. Everything in here happens in one transaction of the caller's; a
crash leaves none of it, and doing it again adds nothing. Each step writes in key order, so that two drains that
touch the same rows wait for each other and never deadlock.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.db import Connection
from schema.event import COLUMNS, as_json
from schema.settings import Settings
from schema.sql import load
from schema.stream import Entry
from workers.attribute import attribute
from workers.resolve import Dictionaries, Staged, link_visitors, moment, rows

_SQL = load("drain")
_COUNTERS = ("store_users", "store_sessions", "store_events", "store_trips", "mark_hours", "mark_days")
_COPY = f"COPY stage ({', '.join(COLUMNS)}) FROM STDIN"


class Poison(NamedTuple):
    """Why an event cannot be stored."""

    reason: str
    sqlstate: str | None


class Outcome(NamedTuple):
    """What one transaction did. `stored` are the events that became rows."""

    stored: list[Staged]
    duplicate: int
    dead: int
    batches: int

    @property
    def events(self) -> int:
        """Events that left the queue."""
        return len(self.stored) + self.duplicate + self.dead


Poisoned = Mapping[tuple[UUID, int], Poison]


def store_entries(
    connection: Connection,
    entries: Sequence[Entry],
    poisoned: Poisoned,
    dictionaries: Dictionaries,
    settings: Settings,
) -> tuple[Outcome, dict[str, Counter[str]]]:
    """Store the entries not drained before. `poisoned` names events, by batch and ordinal, that go to the dead letters.

    Returns what was done, and the same per site for `add_drained`.
    """
    new = _new_batches(connection, entries)
    candidates: list[tuple[int, Staged]] = []
    dead: list[tuple[Entry, int | None, Poison]] = []
    for entry in new:
        if entry.batch is None:
            dead.append((entry, None, Poison("the entry cannot be read", None)))
            continue
        for ordinal, event in enumerate(entry.batch.events):
            poison = poisoned.get((entry.batch_id, ordinal))
            if poison is None:
                candidates.append((ordinal, Staged(event, entry.batch)))
            else:
                dead.append((entry, ordinal, poison))
    fresh, repeated = split_new(connection, candidates)
    write(connection, fresh, dictionaries, settings)
    for entry, at, poison in dead:
        _bury(connection, entry, at, poison)
    per_site = _settle(connection, new, repeated, dead)
    outcome = Outcome(fresh, len(repeated), sum(_size(e, at) for e, at, _ in dead), len(new))
    return outcome, per_site


def split_new(
    connection: Connection, candidates: Sequence[tuple[int, Staged]]
) -> tuple[list[Staged], list[tuple[int, Staged]]]:
    """Ask the ledger. Returns the events seen for the first time, and (ordinal, event) of those seen before."""
    if not candidates:
        return [], []
    keys = {
        "sites": [s.batch.site_id for _, s in candidates],
        "event_ids": [s.event.event_id for _, s in candidates],
    }
    unseen = set(connection.execute(_SQL["new_events"], keys).fetchall())
    fresh, repeated = [], []
    for ordinal, s in candidates:
        key = (s.batch.site_id, s.event.event_id)
        if key in unseen:
            unseen.remove(key)
            fresh.append(s)
        else:
            repeated.append((ordinal, s))
    return fresh, repeated


def write(connection: Connection, fresh: Sequence[Staged], dictionaries: Dictionaries, settings: Settings) -> None:
    """Rows, counters and dirty marks of events that the ledger called new."""
    if not fresh:
        return
    bots = {
        index
        for index, s in enumerate(fresh)
        if (agent := dictionaries.agents.get(s.agent or "")) is not None and agent.is_bot
    }
    users = link_visitors(connection, fresh, bots)
    sessions = attribute(connection, fresh, settings.session_timeout_seconds)
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for row in rows(fresh, dictionaries, users, sessions):
            copy.write_row(row)
    for name in _COUNTERS:
        connection.execute(_SQL[name])


def add_drained(connection: Connection, lane: int, per_site: Mapping[str, Counter[str]], seconds: float) -> None:
    """Add this transaction to the lane's totals; last, so that `seconds` is nearly all of it."""
    names = ("batches", "stored", "duplicate", "dead")
    sites = sorted(per_site)
    columns: dict[str, Any] = {name: [per_site[site][name] for site in sites] for name in names}
    columns |= {"sites": sites, "lane": lane, "seconds": [seconds / len(sites)] * len(sites) if sites else []}
    connection.execute(_SQL["add_drained"], columns)


def _new_batches(connection: Connection, entries: Sequence[Entry]) -> list[Entry]:
    """The entries whose batch has no receipt yet, each batch once."""
    there = {entry.batch_id: entry for entry in entries if entry.payload}
    columns = {
        "batch_ids": list(there),
        "sites": [e.site_id for e in there.values()],
        "received": [moment(e.batch.received_at if e.batch else _entry_time(e)) for e in there.values()],
        "accepted": [e.events for e in there.values()],
    }
    new = {row[0] for row in connection.execute(_SQL["new_batches"], columns)}
    return [entry for batch_id, entry in there.items() if batch_id in new]


def _entry_time(entry: Entry) -> int:
    return int(entry.entry_id.split("-")[0]) * 1000


def _size(entry: Entry, ordinal: int | None) -> int:
    return entry.events if ordinal is None else 1


def _settle(
    connection: Connection,
    new: Sequence[Entry],
    repeated: Sequence[tuple[int, Staged]],
    dead: Sequence[tuple[Entry, int | None, Poison]],
) -> dict[str, Counter[str]]:
    """Correct the receipts of batches that were not stored whole; return what was done per site."""
    duplicates = Counter(s.batch.batch_id for _, s in repeated)
    buried: Counter[UUID] = Counter()
    verdicts: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for ordinal, s in repeated:
        verdicts[s.batch.batch_id].append({"index": ordinal, "verdict": "duplicate"})
    for entry, at, poison in dead:
        buried[entry.batch_id] += _size(entry, at)
        verdicts[entry.batch_id].append({"index": at, "verdict": "dead", "reason": poison.reason})
    per_site: dict[str, Counter[str]] = defaultdict(Counter)
    corrections = []
    for entry in new:
        duplicate, lost = duplicates[entry.batch_id], buried[entry.batch_id]
        stored = entry.events - duplicate - lost
        per_site[entry.site_id].update(batches=1, stored=stored, duplicate=duplicate, dead=lost)
        if duplicate or lost:
            corrections.append((entry.batch_id, stored, duplicate, lost, Jsonb(verdicts[entry.batch_id])))
    if corrections:
        names = ("batch_ids", "stored", "duplicate", "dead", "verdicts")
        columns = dict(zip(names, map(list, zip(*sorted(corrections), strict=True)), strict=True))
        connection.execute(_SQL["settle_batches"], columns)
    return per_site


def _bury(connection: Connection, entry: Entry, ordinal: int | None, poison: Poison) -> None:
    event = entry.batch.events[ordinal] if entry.batch and ordinal is not None else None
    batch = entry.batch
    shared = {"ip_prefix": batch.ip_prefix, "country": batch.country, "user_agent": batch.user_agent} if batch else None
    connection.execute(
        _SQL["bury"],
        {
            "site_id": entry.site_id,
            "batch_id": entry.batch_id,
            "event_id": event.event_id if event else None,
            "received_at": moment(batch.received_at if batch else _entry_time(entry)),
            "events": _size(entry, ordinal),
            "raw": as_json(event) if event else entry.payload,
            "shared": msgspec.json.encode(shared).decode() if shared else None,
            "reason": poison.reason,
            "sqlstate": poison.sqlstate,
            "stream_id": entry.entry_id,
        },
    )
