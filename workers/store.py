"""One transaction's worth of rows: receipts, requests, ledger, identities, users, sessions, events, counters, marks.

In: stream entries. Out: rows, counted once each. Everything in here happens in one transaction of the caller's; a
crash leaves none of it, and doing it again adds nothing. Each step writes in key order, so that two drains that
touch the same rows wait for each other and never deadlock.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.asked import Asked
from schema.db import Connection
from schema.entry import Entry
from schema.event import Batch, as_json, without_nul
from schema.settings import Settings
from schema.sql import load
from workers import floors, receipts, requests
from workers.attribute import attribute
from workers.copying import fill_incoming, fill_stage
from workers.fits import Warned
from workers.identities import link_visitors
from workers.receipts import Poison
from workers.resolve import Dictionaries, Staged, moment
from workers.tenure import days_known

_SQL = load("drain")
_COUNTERS = (
    "store_users",
    "store_sessions",
    "store_events",
    "describe_sessions",
    "store_trips",
    "mark_hours",
    "mark_days",
)
_MARK_ANSWERED = load("requests")["mark_answered"]


class Outcome(NamedTuple):
    """What one transaction did. `stored` are the events that became rows; `requests` are stored or dead."""

    stored: list[Staged]
    duplicate: int
    dead: int
    batches: int
    requests: int
    warned: Warned
    discarded: int = 0

    @property
    def taken(self) -> int:
        """Events and requests that left the queue."""
        return len(self.stored) + self.duplicate + self.dead + self.requests + self.discarded


Key = tuple[str, UUID]
"""What an event is known by: its site and its id."""
Poisoned = Mapping[tuple[UUID, int], Poison]


def store_entries(
    connection: Connection,
    entries: Sequence[Entry],
    poisoned: Poisoned,
    dictionaries: Dictionaries,
    settings: Settings,
) -> tuple[Outcome, dict[str, Counter[str]]]:
    """Store the entries not drained before. `poisoned` names events, by batch and ordinal, that go to the dead letters;
    a request for recommendations is its entry's ordinal 0.

    Returns what was done, and the same per site for `add_drained`.
    """
    new = _new_batches(connection, entries)
    candidates: dict[Key, tuple[int, Staged]] = {}
    repeated: list[tuple[int, Staged]] = []
    warned: dict[Key, str] = {}
    fits = dictionaries.fits
    dead: list[tuple[Entry, int | None, Poison]] = []
    discarded = dictionaries.erased.buried(new)
    gone = {(entry.batch_id, ordinal) for entry, ordinal in discarded}
    poisoned = {**poisoned, **floors.too_old(connection, new)}
    for entry in new:
        if entry.asked is not None:
            if (poison := poisoned.get((entry.batch_id, 0))) is not None:
                dead.append((entry, None, poison))
            continue
        if entry.batch is None:
            dead.append((entry, None, Poison("the entry cannot be read", None)))
            continue
        for ordinal, event in enumerate(entry.batch.events):
            if gone and (entry.batch_id, ordinal) in gone:
                continue
            if poisoned and (poison := poisoned.get((entry.batch_id, ordinal))) is not None:
                dead.append((entry, ordinal, poison))
                continue
            why = fits.misfit(event) if event.event_type in fits.types else None
            if why is not None and entry.site_id in fits.strict:
                dead.append((entry, ordinal, Poison(why, None)))
                continue
            candidate, key = (ordinal, Staged(event, entry.batch)), (entry.site_id, event.event_id)
            if candidates.setdefault(key, candidate) is not candidate:
                repeated.append(candidate)
            elif why is not None:
                warned[key] = why
        for ordinal, none in enumerate(entry.batch.quarantined, len(entry.batch.events)):
            if (entry.batch_id, ordinal) not in gone:
                dead.append((entry, ordinal, Poison(f"{none.code}: {none.message}", None)))
    repeated += [candidates.pop(key) for key in known_events(connection, candidates)]
    fresh = [s for _, s in candidates.values()]
    asked = [one for one in asked_in(new, poisoned) if not dictionaries.erased.buries_request(one)]
    requests.store(connection, asked, dictionaries)
    write(connection, fresh, dictionaries, settings)
    _bury(connection, new, dead)
    unfit = [(*candidates[key], why) for key, why in warned.items() if key in candidates]
    per_site = _settle(connection, new, repeated, dead, unfit, discarded)
    lost = sum(_size(e, at) for e, at, _ in dead)
    answered = sum(entry.batch is None and not entry.events for entry in new)
    warnings = receipts.warned(unfit)
    return Outcome(fresh, len(repeated), lost, len(new), answered, warnings, len(discarded)), per_site


def asked_in(entries: Sequence[Entry], poisoned: Poisoned) -> list[Asked]:
    """The requests for recommendations among entries that can be stored."""
    return [e.asked for e in entries if e.asked is not None and (e.batch_id, 0) not in poisoned]


def known_events(connection: Connection, keys: Collection[Key]) -> list[Key]:
    """Enter keys, each given once, into the ledger. Returns those that it had already: duplicates."""
    if not keys:
        return []
    fill_incoming(connection, keys)
    known: list[Key] = connection.execute(_SQL["known_events"]).fetchall()
    return known


def write(connection: Connection, fresh: Sequence[Staged], dictionaries: Dictionaries, settings: Settings) -> None:
    """Rows, counters and dirty marks of events that the ledger called new."""
    if not fresh:
        return
    agents = dictionaries.agents
    bots = {i for i, s in enumerate(fresh) if (agent := agents.get(s.agent or "")) is not None and agent.is_bot}
    users = link_visitors(connection, fresh, bots)
    sessions = attribute(connection, fresh, users, settings.session_timeout_seconds)
    fill_stage(connection, fresh, dictionaries, users, sessions, days_known(connection, fresh, users))
    for name in _COUNTERS:
        connection.execute(_SQL[name])
    if any(s.event.recommendation_request_id for s in fresh):
        connection.execute(_MARK_ANSWERED)


def add_drained(connection: Connection, lane: int, per_site: Mapping[str, Counter[str]], seconds: float) -> None:
    """Add this transaction to the lane's totals; last, so that `seconds` is nearly all of it."""
    names = ("batches", "stored", "duplicate", "dead", "discarded")
    sites = sorted(per_site)
    columns: dict[str, Any] = {name: [per_site[site][name] for site in sites] for name in names}
    columns |= {"sites": sites, "lane": lane, "seconds": [seconds / len(sites)] * len(sites) if sites else []}
    connection.execute(_SQL["add_drained"], columns)


def _new_batches(connection: Connection, entries: Sequence[Entry]) -> list[Entry]:
    """The entries whose batch has no receipt yet, each batch once."""
    there = {entry.batch_id: entry for entry in entries if entry.payload}
    sites = {site_id: number for number, site_id in enumerate({e.site_id for e in there.values()}, 1)}
    columns = {  # psycopg takes 2 µs to write a value of a list, and nearly every batch may be of one event
        "batch_ids": _array([batch_id.hex for batch_id in there]),
        "names": list(sites),
        "sites": _array([sites[e.site_id] for e in there.values()]),
        "received": _array([f'"{moment(_received(e))}"' for e in there.values()]),
        "accepted": _array([e.events for e in there.values()]),
    }
    new = {row[0] for row in connection.execute(_SQL["new_batches"], columns)}
    return [entry for batch_id, entry in there.items() if batch_id in new]


def _array(values: Sequence[str | int]) -> str:
    """A list as Postgres reads it, of values that need no quotes or have them."""
    return f"{{{','.join(map(str, values))}}}"


def _received(entry: Entry) -> int:
    if entry.batch:
        return entry.batch.received_at
    return entry.asked.requested_at if entry.asked else int(entry.entry_id.split("-")[0]) * 1000


def _size(entry: Entry, ordinal: int | None) -> int:
    return entry.events if ordinal is None else 1


def _bury(connection: Connection, new: Sequence[Entry], dead: receipts.Dead) -> None:
    """Keep dead letters: one by one took 0.17 ms each, and somebody's SDK may send 50,000 that are none."""
    if dead:
        places = receipts.places_of(new)
        letters = [_letter(entry, at, poison, places) for entry, at, poison in dead]
        connection.execute(_SQL["bury"], {name: [letter[name] for letter in letters] for name in letters[0]})


def _settle(
    connection: Connection,
    new: Sequence[Entry],
    repeated: receipts.Repeated,
    dead: receipts.Dead,
    unfit: receipts.Unfit,
    discarded: receipts.Discarded,
) -> dict[str, Counter[str]]:
    """Correct the receipts of batches that were not stored whole; return what was done per site."""
    duplicates = Counter(s.batch.batch_id for _, s in repeated)
    buried: Counter[UUID] = Counter()
    for entry, at, _ in dead:
        buried[entry.batch_id] += _size(entry, at)
    thrown = Counter(entry.batch_id for entry, _ in discarded)
    verdicts = receipts.verdicts(new, repeated, dead, unfit, discarded)
    per_site: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in new:
        done = per_site[entry.site_id]
        done["batches"] += 1
        done["stored"] += entry.events
    corrections = []
    for entry in new if verdicts else ():  # nearly always all were stored, and nothing is to be said
        if entry.batch_id in verdicts:
            duplicate, lost, away = duplicates[entry.batch_id], buried[entry.batch_id], thrown[entry.batch_id]
            stored = entry.events - duplicate - lost - away
            per_site[entry.site_id].update(stored=stored - entry.events, duplicate=duplicate, dead=lost, discarded=away)
            corrections.append((entry.batch_id, stored, duplicate, lost, away, Jsonb(verdicts[entry.batch_id])))
    if corrections:
        names = ("batch_ids", "stored", "duplicate", "dead", "discarded", "verdicts")
        columns = dict(zip(names, map(list, zip(*sorted(corrections), strict=True)), strict=True))
        connection.execute(_SQL["settle_batches"], columns)
    return per_site


def _letter(entry: Entry, ordinal: int | None, poison: Poison, places: receipts.Places) -> dict[str, Any]:
    batch = entry.batch
    event_id, raw = _as_letter(batch, ordinal) if batch and ordinal is not None else (None, entry.payload)
    return {
        "site_id": entry.site_id,
        "batch_id": entry.batch_id,
        "event_id": event_id,
        "place": None if ordinal is None or batch is None else places[entry.batch_id][ordinal],
        "received_at": moment(_received(entry)),
        "events": _size(entry, ordinal),
        "raw": raw,
        "shared": msgspec.json.encode(_shared(batch)).decode() if batch else None,
        "reason": without_nul(poison.reason),  # a letter that cannot be kept would block its lane
        "sqlstate": poison.sqlstate,
        "stream_id": entry.entry_id,
    }


def _shared(batch: Batch) -> dict[str, Any]:
    """What a replay needs of the letter's request. Whose token it was only where there was one."""
    texts = {"ip_prefix": batch.ip_prefix, "country": batch.country, "user_agent": batch.user_agent}
    if batch.category is not None:
        texts["category"] = batch.category
    found: dict[str, Any] = {name: text and without_nul(text) for name, text in texts.items()}
    if batch.verified is not None:
        claims = msgspec.structs.asdict(batch.verified)
        found["verified"] = {name: without_nul(text) for name, text in claims.items() if text is not None}
    return found


def _as_letter(batch: Batch, ordinal: int) -> tuple[UUID, bytes]:
    """An event's id and JSON. What was quarantined is an event without a type, so that it must be patched before it
    can be replayed; what was sent is in its metadata."""
    if ordinal < len(batch.events):
        event = batch.events[ordinal]
        return event.event_id, as_json(event)
    unfit = batch.quarantined[ordinal - len(batch.events)]
    fields = {"event_id": unfit.event_id, "occurred_at": batch.received_at, "metadata": f'{{"sent":{unfit.sent}}}'}
    if batch.verified is not None:
        fields["auth_user_id"] = batch.verified.user_id
    return unfit.event_id, msgspec.json.encode(fields)
