"""Who a visitor is. In: a chunk's events. Out: each one's user; links, where a verified token says who it was.

The user of a visitor at time t is the latest link at or before t, else the earliest; before there is any link, a user
of the visitor's own. Every verified event states a fact: this visitor was that registered id then. Links are the facts
that change who the visitor is, in order of time, and the mover adds what a later arrival makes of the others: so what
comes out does not depend on the order of arrival. Drains insert links, and lower the times at which registered ids were
first seen; events of before are the mover's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from schema.db import Connection
from schema.sql import load
from workers.resolve import Staged, Visitor, columns, moment

_SQL = load("links")
_ALWAYS = -(1 << 62)
Key = tuple[str, str, str]
"""Site, kind and value of an identity, as text."""
Links = tuple[list[int], list[int]]
"""When each link begins, and to which user; earliest first."""


class Fact(NamedTuple):
    """A registered id that an identity was said to be, when, and by which event. Of two at once the later name
    stands."""

    at: int
    auth: str
    event_id: UUID
    batch_id: UUID
    received_at: int


def link_visitors(connection: Connection, staged: Sequence[Staged], bots: Collection[int]) -> dict[int, int]:
    """The user of each event, by its index in `staged`; bots (indices) have none. New visitors get a new user."""
    connection.execute(_SQL["share_links"])
    events_of: defaultdict[Visitor, list[int]] = defaultdict(list)
    registered = []
    for index, s in enumerate(staged):
        if index not in bots:
            events_of[s.visitor].append(index)
            if s.event.auth_user_id is not None:
                registered.append(index)
    visitors = {(site_id, kind, str(value)): (site_id, kind, value) for site_id, kind, value in events_of}
    for site_id, auth in {(staged[i].batch.site_id, staged[i].event.auth_user_id) for i in registered}:
        visitors[site_id, "auth", str(auth)] = (site_id, "auth", str(auth))
    links = _links(connection, visitors)
    new: set[Key] = set()
    if fresh := {key: visitor for key, visitor in visitors.items() if visitor not in links}:
        new.update(connection.execute(_SQL["link_visitors"], keys(fresh)).fetchall())
        links |= _links(connection, fresh)
    if registered:
        linked = _link(connection, [staged[i] for i in registered], links, new)
        links |= _links(connection, {key: visitors[key] for key in linked & visitors.keys()}) if linked else {}
    found = {index: user_at(links[v], staged[index].event.occurred_at) for v, at in events_of.items() for index in at}
    for index in registered:
        found[index] = links[staged[index].batch.site_id, "auth", str(staged[index].event.auth_user_id)][1][0]
    return found


def user_at(links: Links, at: int) -> int:
    """The user of the latest link at or before that moment, else of the earliest."""
    times, users = links
    return users[0 if len(users) == 1 else max(bisect_right(times, at) - 1, 0)]


def keys(of: Iterable[Key]) -> dict[str, list[str]]:
    """Identities as parameters."""
    return dict(zip(("sites", "kinds", "keys"), columns(sorted(of), 3), strict=True))


def add_facts(
    connection: Connection,
    stated: Mapping[Key, Sequence[Fact]],
    users: Mapping[tuple[str, str], int],
    before: Mapping[Key, Links],
) -> set[Key]:
    """Enter the links that these facts make, with what says so. `users` are the registered ids', by site. Returns the
    identities that got one."""
    known: defaultdict[Key, list[tuple[int, str]]] = defaultdict(list)
    for site_id, kind, value, auth, at in connection.execute(_SQL["known_links"], keys(stated)):
        known[site_id, kind, value].append((at, auth))
    undone = {(s, k, v, a): at for s, k, v, a, at in connection.execute(_SQL["undone_links"], keys(stated))}
    rows = []
    for key in sorted(stated):
        facts = [f for f in stated[key] if f.received_at > undone.get((*key, f.auth), _ALWAYS)]
        for fact in (_first if key[1] == "email" else _turns)(known[key], facts):
            was = user_at(before[key], fact.at) if key in before else None
            made = (moment(fact.at), users[key[0], fact.auth], was, fact.event_id, fact.batch_id)
            rows.append((*key, fact.auth, *made, moment(fact.received_at)))
    if not rows:
        return set()
    names = ("sites", "kinds", "keys", "auths", "starts", "users", "befores", "event_ids", "batch_ids", "received")
    connection.execute(_SQL["add_links"], dict(zip(names, columns(rows, len(names)), strict=True)))
    return {(site_id, kind, value) for site_id, kind, value, *_ in rows}


def mark(connection: Connection, identities: Collection[Key]) -> None:
    """Have the mover look at these."""
    if identities:
        connection.execute(_SQL["mark"], keys(identities))


def _link(connection: Connection, staged: Sequence[Staged], links: Mapping[Visitor, Links], new: set[Key]) -> set[Key]:
    """Enter what these verified events say, and return whom it links. A visitor who is new has no rows that the mover
    had to look at."""
    stated: defaultdict[Key, list[Fact]] = defaultdict(list)
    users, before = {}, {}
    first: dict[tuple[str, str], int] = {}
    for s in staged:
        site_id, auth = s.batch.site_id, str(s.event.auth_user_id)
        fact = Fact(s.event.occurred_at, auth, s.event.event_id, s.batch.batch_id, s.batch.received_at)
        first[site_id, auth] = min(fact.at, first.get((site_id, auth), fact.at))
        users[site_id, auth] = links[site_id, "auth", auth][1][0]
        if s.event.anonymous_id is not None:
            stated[key := (site_id, "anonymous", str(s.event.anonymous_id))].append(fact)
            before[key] = links[s.visitor]
        verified = s.batch.verified
        if verified is not None and verified.email is not None and verified.user_id == auth:
            stated[site_id, "email", verified.email].append(fact)
    seen = [(site_id, auth, moment(at)) for (site_id, auth), at in sorted(first.items())]
    connection.execute(_SQL["state_first"], dict(zip(("sites", "auths", "times"), columns(seen, 3), strict=True)))
    added = add_facts(connection, stated, users, before)
    mark(connection, added - new)
    return added


def _turns(known: list[tuple[int, str]], facts: Sequence[Fact]) -> list[Fact]:
    """The facts at which a visitor becomes another registered id than the known links say."""
    found = []
    for fact in sorted(facts):
        place = bisect_right(known, (fact.at, fact.auth))
        if place == 0 or known[place - 1][1] != fact.auth:
            known.insert(place, (fact.at, fact.auth))
            found.append(fact)
    return found


def _first(known: list[tuple[int, str]], facts: Sequence[Fact]) -> list[Fact]:
    """The facts that say of a registered id that it had an email earlier than is known."""
    since = {auth: at for at, auth in reversed(known)}
    found = []
    for fact in sorted(facts):
        if fact.at < since.get(fact.auth, fact.at + 1):
            since[fact.auth] = fact.at
            found.append(fact)
    return found


def _links(connection: Connection, visitors: Mapping[Key, Visitor]) -> dict[Visitor, Links]:
    """The links of each visitor. The user of its own counts only where there is no other."""
    links: dict[Visitor, Links] = {}
    for site_id, kind, value, user_id, valid_from in connection.execute(_SQL["visitor_links"], keys(visitors)):
        times, users = links.setdefault(visitors[site_id, kind, value], ([], []))
        if times and times[0] == _ALWAYS:
            times.clear()
            users.clear()
        times.append(_ALWAYS if valid_from is None else valid_from)
        users.append(user_id)
    return links
