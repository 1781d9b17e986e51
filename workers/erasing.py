"""Makes a person's rows nobody's. In: who it is, under a standstill. Out: the same events, sessions, users, visitors
and counters, of somebody unknown, and how many rows were changed, by table.

One transaction of the caller's: after a crash none of it was done. Hours and days are marked for the next rollup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.db import Connection
from schema.sql import load
from workers.copying import make_tables
from workers.mentions import Mentions
from workers.people import Person
from workers.tombstones import EMAIL, SESSION, USER, VISITOR, digest, new_salt

_SQL = load("erasing")
_PRIVACY = load("privacy")
_DRAIN = load("drain")
_MARKS = (_DRAIN["mark_hours"], _DRAIN["mark_days"], load("requests")["mark_answered"])
_RENAMED = (
    ("events", "anonymise_events"),
    ("event_ids", "anonymise_ledger"),
    ("import_batches", "anonymise_import_batches"),
    ("users", "anonymise_users"),
    ("sessions", "anonymise_sessions"),
    ("base_users", "anonymise_base_users"),
    ("base_sessions", "anonymise_base_sessions"),
)
_FORGOTTEN = (
    ("identities", "forget_identities"),
    ("identity_changes", "forget_changes"),
    ("dirty_identities", "forget_marks"),
    ("site_owners", "forget_owner"),
)
_ROWS_AT_ONCE = 1000


def prepare(connection: Connection) -> None:
    """The temporary tables that an erasure works with."""
    make_tables(connection)
    for name in ("make_theirs", "make_exchanged"):
        connection.execute(_SQL[name])


def entomb(connection: Connection, erasure_id: UUID, person: Person) -> None:
    """Have drains discard what of the person is still to come and happened before now."""
    ids = [
        *((VISITOR, name) for name in person.own),
        *((SESSION, name) for name in person.sessions),
        *((USER, name) for name in {*person.auths, *person.claims}),
        *((EMAIL, name) for name in person.emails),
    ]
    salt = new_salt()
    digests = [digest(salt, person.site_id, kind, name) for kind, name in ids]
    values = {"site_id": person.site_id, "erasure_id": erasure_id, "salt": salt, "digests": digests}
    connection.execute(_SQL["entomb"], values)


def erase(connection: Connection, person: Person, secret: str) -> tuple[Person, Counter[str]]:
    """Do it, in the caller's transaction. Returns the person with all of its sessions, and rows changed by table."""
    values: dict[str, Any] = person.columns() | {"secret": secret}
    counts: Counter[str] = Counter()
    counts["events"] = connection.execute(_SQL["fill_theirs"], values).rowcount
    connection.execute("ANALYZE theirs")
    sessions = sorted(session for (session,) in connection.execute(_SQL["sessions_theirs"], values))
    person = msgspec.structs.replace(person, sessions=sessions)
    values |= {
        "sessions": sessions,
        "numbers": Jsonb(dict(connection.execute(_SQL["users_theirs"], values).fetchall())),
    }
    for step in ("exchange_agents", "origins", "exchange_referrers"):
        connection.execute(_SQL[step], values)
    _stage(connection, _SQL["mark_theirs"], values, _MARKS)
    counts["batches"] = connection.execute(_SQL["forget_verdicts"], values | {"batches": []}).rowcount
    for table, step in _RENAMED:
        counts[table] = connection.execute(_SQL[step], values).rowcount
    counts["daily_walks"] = connection.execute(load("closed_days")["anonymise_walks"], values).rowcount
    counts["sessions"] = max(counts["sessions"], connection.execute(_SQL["clear_sessions"], values).rowcount)
    steps = [_DRAIN["store_sessions"], _DRAIN["describe_sessions"]]
    connection.execute(_SQL["put_base_sessions"], values)
    _stage(connection, _SQL["stage_sessions"], values, steps)
    counts["recommendation_requests"] = _erase_requests(connection, values)
    for table, step in _FORGOTTEN:
        counts[table] = connection.execute(_SQL[step], values).rowcount
    connection.execute(_SQL["forget_before"], values)
    counts.update(forget_unread(connection, person))
    for table, step in (("user_agents", "unused_agents"), ("texts", "unused_referrers")):
        counts[table] = connection.execute(_SQL[step], values).rowcount
    return person, +counts


def forget_unread(connection: Connection, person: Person) -> Counter[str]:
    """What holds events in other forms: dead letters, the outbox, and receipts of the batches those came in."""
    mentions, counts = Mentions(person), Counter[str]()
    letters, batches, emitted = [], [], []
    for letter in _looked_through(connection, "letters", person.site_id):
        dead_letter_id, _, raw, shared, reason, *_ = letter
        if mentions.raw(bytes(raw)) or mentions.json(shared) or mentions.text(reason):
            letters.append(dead_letter_id)
    for event_id, _, _, user_id, _, *said in _looked_through(connection, "outbox", person.site_id):
        if mentions.json({"user_id": user_id, "said": said[:3]}):
            emitted.append(event_id)
    if letters:
        batches = [b for (b,) in connection.execute(_PRIVACY["batches_of_letters"], {"ids": letters})]
        counts["dead_letters"] = connection.execute(_SQL["forget_letters"], {"ids": letters}).rowcount
    if batches:
        scope = {"site_id": person.site_id, "batches": batches}
        counts["batches"] = connection.execute(_SQL["forget_verdicts"], scope).rowcount
    if emitted:
        counts["event_outbox"] = connection.execute(_SQL["forget_emitted"], {"ids": emitted}).rowcount
    return counts


def _erase_requests(connection: Connection, values: dict[str, Any]) -> int:
    dates = [date for (date,) in connection.execute(_SQL["anonymise_requests"], values)]
    if dates:
        connection.execute(_SQL["mark_requests"], {"site_id": values["site_id"], "dates": sorted(set(dates))})
    return len(dates)


def _looked_through(connection: Connection, name: str, site_id: str) -> Iterator[Sequence[Any]]:
    """Rows that only we can read, some at a time."""
    with connection.cursor(name="looked_through") as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        cursor.execute(_PRIVACY[name], {"site_id": site_id})
        yield from cursor


def _stage(connection: Connection, fill: Any, values: dict[str, Any], steps: Sequence[Any]) -> None:
    """Run the drain's queries over what `fill` puts on the stage."""
    connection.execute("TRUNCATE pg_temp.stage")
    connection.execute(fill, values)
    for step in steps:
        connection.execute(step)
