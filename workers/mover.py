"""Moves rows to whom the links say they belong. In: identities that drains or an unlink marked. Out: events, sessions
and users' counters as if the links had always been there.

One mover a site, under a lock; sites take turns. A mark is deleted in the transaction that found nothing more to move
for it, so a crash leaves it; a mark that cannot be done goes to the end of the line with what was wrong. A drain that
read older links than a mark stands for may still be writing: the mover waits for it before it looks.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg import errors as pg

from schema import db
from schema.db import Connection
from schema.settings import Settings
from schema.sql import load
from workers.identities import Fact, Key, add_facts, mark

_SQL = load("mover")
_MARKS_MAX = 500  # of one transaction
_EVENTS_MAX = 20_000  # moved by one transaction, for each way of finding them: some 2 s
_ROUNDS_MAX = 200  # of one run: what is marked meanwhile waits for the next one
_FEWER = 8  # after a timeout: 500 marks are one after three of them
_SECONDS_MAX = 30  # of one statement: a chore has 300, and four that fail must leave time for other sites
logger = logging.getLogger("tripstream.identities")


class Mark(NamedTuple):
    """An identity to look at."""

    mark_id: int
    kind: str
    value: str


class Pair(NamedTuple):
    """A registered id had a verified email, first at that time."""

    at: datetime
    auth: str
    email: str


def move(settings: Settings) -> None:
    """The clock's chore."""
    with db.connect(settings, statement_seconds_max=_SECONDS_MAX) as connection:
        run_once(connection)


def run_once(connection: Connection) -> int:
    """Do what is marked. Returns how many events were moved. Raises what failed, when the rest is done."""
    connection.execute(_SQL["make_moved"])
    connection.execute(_SQL["make_spans"])
    sites = [_Site(*row) for row in connection.execute(_SQL["marked_sites"])]
    for _ in range(_ROUNDS_MAX):
        for site in [one for one in sites if not one.done]:
            _turn(connection, site)
    if moved := sum(site.moved for site in sites):
        logger.info("events moved", extra={"events": moved})
    for site in sites:
        if site.failed is not None:
            raise site.failed
    return moved


@dataclass
class _Site:
    """A site with marks, as one run sees it. What failed since it `began` is not tried again by it."""

    site_id: str
    began: datetime
    most: int = _MARKS_MAX
    moved: int = 0
    done: bool = False
    failed: psycopg.Error | None = None


def _turn(connection: Connection, site: _Site) -> None:
    """One transaction for a site. What goes wrong there is that site's."""
    marks: list[Mark] = []
    try:
        with alone(connection, site.site_id):
            values = {"site_id": site.site_id, "began": site.began, "most": site.most}
            marks = [Mark(*row) for row in connection.execute(_SQL["marks"], values)]
            site.done = not marks or not _drains_are_over(connection)
            if not site.done:
                site.moved += _round(connection, site.site_id, marks)
                site.most = min(2 * site.most, _MARKS_MAX)
    except psycopg.Error as error:
        if connection.broken:
            raise
        _after(connection, site, marks, error)


def _after(connection: Connection, site: _Site, marks: Sequence[Mark], error: psycopg.Error) -> None:
    """Try fewer marks after a mistake, and put off the one that is left."""
    if len(marks) > 1:
        site.most = max(len(marks) // _FEWER, 1)
        return
    logger.warning("identities cannot be moved", extra={"site": site.site_id, "marks": marks, "error": str(error)})
    site.failed = site.failed or error
    if marks:
        failed = {"site_id": site.site_id, "mark": marks[0].mark_id, "error": db.first_line(error)}
        connection.execute(_SQL["put_off"], failed)
    else:
        site.done = True


@contextmanager
def alone(connection: Connection, site_id: str) -> Iterator[None]:
    """Whoever else moves this site's rows waits meanwhile."""
    keys = ("tripstream.mover", site_id)
    connection.execute("SELECT pg_advisory_lock(hashtext(%s), hashtext(%s))", keys)
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(hashtext(%s), hashtext(%s))", keys)


def reattribute(connection: Connection) -> None:
    """Give every event the user that the links say, without looking for marks; for a rebuild, which counts anew."""
    run_once(connection)
    with connection.transaction():
        connection.execute(_SQL["reattribute_visitors"])
        connection.execute(_SQL["reattribute_ids"])


def unlike(connection: Connection) -> list[str]:
    """Events of another user than the links say, in words."""
    rows = connection.execute(_SQL["unlike_links"])
    return [f"event {e} of site {site}: its user is {has}, should be {should}" for site, e, has, should in rows]


def _drains_are_over(connection: Connection) -> bool:
    """Wait for the drains that may have read older links. New ones wait behind us: not for long, then we go."""
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '5s'")
            connection.execute(_SQL["wait_for_links"])
    except pg.LockNotAvailable:
        logger.warning("the mover comes back later: a drain has been writing for long")
        return False
    return True


def _round(connection: Connection, site_id: str, marks: Sequence[Mark]) -> int:
    """Take these marks. What this changes of links is marked, and has its turn after another wait."""
    marked: defaultdict[str, set[str]] = defaultdict(set)
    for _, kind, value in marks:
        marked[kind].add(value)
    visitors, ids = sorted(marked["anonymous"]), sorted(marked["auth"])
    with connection.transaction():
        if marked["email"]:
            _join(connection, site_id, sorted(marked["email"]))
        if ids:
            connection.execute(_SQL["follow_ids"], {"site_id": site_id, "auths": ids})
        if visitors:
            _complete(connection, site_id, visitors)
        connection.execute(_SQL["by_index"])
        moved = _move(connection, site_id, "visitor_users", "move_visitors", visitors)
        moved += _move(connection, site_id, "id_users", "move_ids", ids)
        if moved:
            for name in ("move_counters", "forget_users", "restate_users", "lock_sessions", "restate_sessions"):
                connection.execute(_SQL[name], {"site_id": site_id})
        if moved < _EVENTS_MAX:
            connection.execute(_SQL["unmark"], {"site_id": site_id, "marks": [mark.mark_id for mark in marks]})
    return moved


def _move(connection: Connection, site_id: str, users: str, move: str, values: list[str]) -> int:
    """Move events of these identities, found by every user that they may have, a bounded number of them."""
    if not values:
        return 0
    wanted = {"site_id": site_id, "values": values, "most": _EVENTS_MAX}
    if move == "move_visitors":
        connection.execute(_SQL["fill_spans"], wanted)
    pairs = connection.execute(_SQL[users], wanted).fetchall()
    return connection.execute(_SQL[move], wanted | _columns(pairs)).rowcount


def _complete(connection: Connection, site_id: str, visitors: list[str]) -> None:
    """Where a visitor was several registered ids: enter links that were not needed before one came in between."""
    shared = [v for (v,) in connection.execute(_SQL["shared_visitors"], {"site_id": site_id, "values": visitors})]
    if not shared:
        return
    pairs = connection.execute(_SQL["visitor_users"], {"site_id": site_id, "values": shared}).fetchall()
    stated: defaultdict[Key, list[Fact]] = defaultdict(list)
    for value, at, auth, event_id, batch_id, received_at in connection.execute(
        _SQL["facts"], {"site_id": site_id} | _columns(pairs)
    ):
        stated[site_id, "anonymous", value].append(Fact(at, auth, event_id, batch_id, received_at))
    auths = sorted({fact.auth for facts in stated.values() for fact in facts})
    rows = connection.execute(_SQL["users_of_ids"], {"site_id": site_id, "auths": auths})
    mark(connection, add_facts(connection, stated, {(site_id, auth): user for auth, user, *_ in rows}, {}))


def _join(connection: Connection, site_id: str, emails: list[str]) -> None:
    """A registered id that came with an email is who had that one before it; whoever had it first, or was known before
    he had any, is somebody himself."""
    values = {"site_id": site_id, "emails": emails}
    pairs = [Pair(at, auth, email) for auth, email, at in connection.execute(_SQL["emails_joined"], values)]
    auths = {pair.auth for pair in pairs} | {a for (a,) in connection.execute(_SQL["ids_of_emails"], values)}
    known = {auth: rest for auth, *rest in connection.execute(_SQL["users_of_ids"], values | {"auths": sorted(auths)})}
    whose = joined(pairs, {auth: first_at for auth, (_, _, first_at) in known.items()})
    joining = [(auth, known[whose.get(auth, auth)][1]) for auth in sorted(known)]
    if changed := [(auth, user_id) for auth, user_id in joining if user_id != known[auth][0]]:
        ids, users = map(list, zip(*changed, strict=True))
        connection.execute(_SQL["join_ids"], {"site_id": site_id, "auths": ids, "users": users})


def joined(pairs: Sequence[Pair], first_at: Mapping[str, datetime | None]) -> dict[str, str]:
    """Each registered id with the one that it is, which may be itself. Decided by times, not by who was stored first:
    each step goes to an earlier pair, so that none comes back, and none leads on from an id that was seen without."""
    first: dict[str, Pair] = {}
    owner: dict[str, Pair] = {}
    for pair in sorted(pairs):
        first.setdefault(pair.auth, pair)
        owner.setdefault(pair.email, pair)
    found = {}
    for auth in first:
        who = auth
        while first[who].at <= (first_at.get(who) or first[who].at):
            if (before := owner[first[who].email].auth) == who:
                break
            who = before
        found[auth] = who
    return found


def _columns(pairs: Sequence[tuple[str, int]]) -> dict[str, list[str] | list[int]]:
    return {"values": [value for value, _ in pairs], "users": [user_id for _, user_id in pairs]}
