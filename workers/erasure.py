"""Erases people. In: requests to. Out: rows that are nobody's, and receipts that say what was done, and what was not.

Each step is done again after a crash, and does no harm twice; how far it came is in its row:
  requested   under a standstill, in one transaction: tombstones, and every row of the person made nobody's
  erased      what was queued before is drained, and discarded by the tombstones; the days are rolled up again; what
              still says one of the person's ids is overwritten; Redis' files are rewritten
  incomplete  something remains, or Redis did not do as it was asked: `remaining` and `note` say what; tried again later
  done        nothing is known to remain, and who it was is forgotten here too
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
from psycopg.errors import UndefinedFunction
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb
from redis import Redis
from redis.exceptions import RedisError

from schema import db, live, persistence, realtime, stream
from schema.db import Connection
from schema.errors import InvalidRequest
from schema.settings import Settings
from schema.sql import load
from workers import erasing, jobs, merged, mover, people, rollup, sweeping
from workers.daily import DAILY
from workers.mentions import Mentions
from workers.people import Named, Person
from workers.verify import standstill

_SQL = load("erasing")
_PRIVACY = load("privacy")
_LOCK = "tripstream.erasure"
_QUEUE_SECONDS_MAX = 120
_REWRITE_SECONDS_MAX = 120
_SIDE_BY_SIDE = 100  # entries of a stream in one piece of memory, which holds deleted ones until all of them are
_PAUSE_SECONDS = 0.02
_ROUND_SECONDS_MAX = 1.0
_CHORE_SECONDS_MAX = 120  # rollups wait for the same worker: whoever else is to be erased is so a minute later
_UNCLEAR = "meanwhile this browser was several users: name one of them as user"
_SAMPLED = (
    *("identities", "identity_changes", "events", "sessions", "base_sessions", "texts", "user_agents", "event_outbox"),
    *("dead_letters", "recommendation_requests", "site_owners", "tombstones", "erasures"),
    *(table.name for table in (*DAILY, *merged.TABLES)),  # a path may be named after somebody
)
logger = logging.getLogger("tripstream.erasure")


class Subject(msgspec.Struct):
    """Who it is, while that has to be known."""

    person: Person


def run_due(settings: Settings) -> None:
    """The chore: go on with erasures that are not finished, one at least, and others while there is time."""
    until = time.monotonic() + _CHORE_SECONDS_MAX
    with db.connect(settings) as connection:
        due = [erasure_id for (erasure_id,) in connection.execute(_PRIVACY["due"])]
    for erasure_id in due:
        advance(settings, erasure_id)
        if time.monotonic() >= until:
            return
    if due:
        return
    with db.connect(settings) as connection:
        connection.execute(_PRIVACY["forget_tombstones"], {"days": settings.accept_window_days + 1})


def advance(settings: Settings, erasure_id: UUID) -> dict[str, Any]:
    """Bring one erasure as far as it can come now. Returns its receipt."""
    with db.connect(settings, statement_seconds_max=0) as connection, db.wrapped():
        connection.execute("SELECT pg_advisory_lock(hashtext(%s))", (_LOCK,))
        site_id, named_by, subject, state, _ = _row(connection, erasure_id)
        if state == "requested":
            _erase(settings, connection, erasure_id, site_id, Named(named_by, subject["value"]))
        _, _, subject, state, _ = _row(connection, erasure_id)
        if state in ("erased", "incomplete"):
            _conclude(settings, connection, erasure_id, msgspec.convert(subject, Subject))
        return people.receipt(connection, erasure_id)


def _row(connection: Connection, erasure_id: UUID) -> tuple[Any, ...]:
    row = connection.execute(_PRIVACY["erasure"], {"erasure_id": erasure_id}).fetchone()
    assert row is not None  # noqa: S101 it is never deleted, and whoever asks has just seen it
    return row


def _erase(settings: Settings, own: Connection, erasure_id: UUID, site_id: str, who: Named) -> None:
    """Make the person's rows nobody's, while no drain, rollup or mover works."""
    with standstill(settings) as (connection, _, _), mover.alone(connection, site_id):
        erasing.prepare(connection)
        try:
            with connection.transaction():
                person = people.find(connection, site_id, who)
                person, counts = erasing.erase(connection, person, people.secret())
                erasing.entomb(connection, erasure_id, person)
                values = {"counts": Jsonb(counts), "subject": Jsonb(msgspec.to_builtins(Subject(person)))}
                connection.execute(_SQL["erased"], values | {"erasure_id": erasure_id})
        except InvalidRequest:  # it names those whom the browser was, and receipts name nobody
            own.execute(_SQL["refused"], {"erasure_id": erasure_id, "note": _UNCLEAR})
            return
    logger.info("a person was erased", extra={"erasure": str(erasure_id), "rows": dict(counts)})


def _conclude(settings: Settings, connection: Connection, erasure_id: UUID, subject: Subject) -> None:
    """All that comes after the rows. What cannot be done is said, and tried again."""
    if waits := _still_queued(settings):
        note = f"events that were queued before still wait in lanes {', '.join(map(str, waits))}"
        connection.execute(_SQL["tried"], {"erasure_id": erasure_id, "note": note})
        return
    person = subject.person
    with connection.transaction():
        counts = erasing.forget_unread(connection, person)
    with rollup.alone(connection), connection.transaction():  # what is rolled up and what it came from change together
        swept = sweeping.sweep(connection, person)
    counts.update({f"{table}, mentions in others": rows for table, rows in swept.rewritten.items()})
    rollup.run_once(connection)
    notes = _forget_in_redis(settings, person)
    _take_samples(settings)
    state = "incomplete" if swept.remaining or notes else "done"
    connection.execute(
        _SQL["concluded"],
        {
            "erasure_id": erasure_id,
            "state": state,
            "counts": Jsonb(_added(connection, erasure_id, counts)),
            "remaining": Jsonb(swept.remaining),
            "note": "; ".join(notes) or None,
        },
    )
    logger.info("erasure", extra={"erasure": str(erasure_id), "state": state})


def _added(connection: Connection, erasure_id: UUID, counts: Counter[str]) -> Counter[str]:
    before = people.receipt(connection, erasure_id)["counts"]
    return Counter(before) + counts


def _still_queued(settings: Settings) -> list[int]:
    """Drain, with whoever else drains, until what was queued is gone, and so is what Redis keeps of deleted entries
    while others lie beside them: each lane was empty once, or, where it never is, enough others came and went too.
    Returns the lanes of which neither is so."""
    until = time.monotonic() + _QUEUE_SECONDS_MAX
    with stream.connect(settings.streams_url) as redis:
        before = {lane: stream.added(redis, lane)[0] for lane in stream.known_lanes(redis, settings.lanes)}
        ends: dict[int, str] = {}
        while left := [lane for lane, count in before.items() if not _is_past(redis, lane, count, ends)]:
            if time.monotonic() >= until:
                break
            jobs.drain_plainly(settings, _ROUND_SECONDS_MAX, left)
            time.sleep(_PAUSE_SECONDS)
    return left


def _is_past(redis: Redis, lane: int, before: int, ends: dict[int, str]) -> bool:
    """Whether a lane has nothing left of what it had when it had got `before` entries. `ends` is where to wait for."""
    if not stream.backlog(redis, [lane])[0].batches:
        return True
    if lane not in ends:
        count, last = stream.added(redis, lane)
        if count < before + _SIDE_BY_SIDE:
            return False
        ends[lane] = last
    return not stream.has_until(redis, lane, ends[lane])


def _forget_in_redis(settings: Settings, person: Person) -> list[str]:
    """Live sessions, and then the files, which remember every command. Returns what was not done, in words."""
    notes: list[str] = []
    for url in dict.fromkeys((settings.streams_url, settings.redis_url)):
        try:
            with stream.connect(url) as redis:
                live.forget(redis, person.site_id, person.own, person.sessions)
                realtime.forget(redis, person.site_id, Mentions(person).text)
                notes += persistence.rewrite(redis, _REWRITE_SECONDS_MAX)
        except (RedisError, OSError) as error:
            notes.append(f"Redis could not be asked to forget: {db.first_line(error)}")
    return notes


def _take_samples(settings: Settings) -> None:
    """Postgres' statistics hold samples of what was in the tables: the tables' owner takes new ones."""
    with db.connect(settings, "owner", statement_seconds_max=0) as connection:
        for table in _SAMPLED:
            connection.execute(SQL("ANALYZE {}").format(Identifier(table)))
        with suppress(UndefinedFunction):  # before Postgres 18
            connection.execute(_SQL["clear_samples"], {"tables": list(_SAMPLED)})
