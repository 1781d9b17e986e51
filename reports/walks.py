"""Whose events of some types were when, as days keep it. In: daily_walks, daily_steps, and, by user, sessions. Out: for
each type its events, of people who are numbers from 0 on.

A session is the user's with whom it began, as in retention; one that is nobody's is left out by user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from reports.chains import Hits
from schema.db import Connection
from schema.narrow import Integers, unpack
from schema.spans import Span
from schema.sql import load

_SQL = load("funnels")
_ID = np.dtype([("high", ">u8"), ("low", ">u8")])
_ODD = np.uint64(0x9E3779B97F4A7C15)  # spreads ids of version 7, whose first halves are alike


class _Day(NamedTuple):
    """A day's sessions: whose they are, -1 for nobody's, and when they began, in microseconds since 1970."""

    people: Integers
    began: Integers


def many(connection: Connection, span: Span, types: Sequence[int]) -> tuple[int, int]:
    """How many events there are to hold, and how many sessions: all of the days', however few did any of it."""
    ((events, sessions),) = connection.execute(_SQL["many"], span.bounds | {"types": list(types)}).fetchall()
    return events, sessions


def hits(connection: Connection, span: Span, types: Sequence[int], by: str) -> dict[int, Hits]:
    """Each type's events; those of a type that has none too."""
    days = _days(connection, span, by)
    asked = span.bounds | {"types": list(types)}
    found: dict[int, list[Hits]] = {one: [Hits(np.empty(0, np.int64), np.empty(0, np.int64))] for one in types}
    for day, event_type_id, *packed in connection.execute(_SQL["steps"], asked, binary=True):
        found[event_type_id].append(_walked(days[day], *packed))
    return {one: together(parts) for one, parts in found.items()}


def together(parts: Sequence[Hits]) -> Hits:
    """All of them."""
    return Hits(*map(np.concatenate, zip(*parts, strict=True))) if len(parts) > 1 else parts[0]


def _walked(day: _Day, events: int, walks: bytes, after_ms: bytes, after_us: bytes) -> Hits:
    further = unpack(walks, events)
    places = np.cumsum(further)
    later = unpack(after_ms, events) * 1000
    if after_us[0]:
        later += unpack(after_us, events)
    sums = np.cumsum(later)
    further[0] = 1  # the first one's session begins with it, wherever that is
    firsts = np.flatnonzero(further)
    before = np.repeat(sums[firsts] - later[firsts], np.diff(firsts, append=events))
    moments = day.began[places] + (sums - before)
    people = day.people[places]
    known = people >= 0
    return Hits(people, moments) if known.all() else Hits(people[known], moments[known])


def _days(connection: Connection, span: Span, by: str) -> Mapping[date, _Day]:
    rows = connection.execute(_SQL["walks"], span.bounds, binary=True).fetchall()
    if not rows:
        return {}
    ids = np.frombuffer(b"".join(row[3] for row in rows), _ID)
    people = _users(connection, span, ids) if by == "user" else _numbered(_hashed(ids))
    ends = np.cumsum([row[2] for row in rows])
    return {
        row[0]: _Day(of_day, row[1] + 1000 * np.cumsum(unpack(row[4], row[2])))
        for row, of_day in zip(rows, np.split(people, ends[:-1]), strict=True)
    }


def _users(connection: Connection, span: Span, ids: NDArray[Any]) -> Integers:
    """Each session's user, by number. Few began before the span: those are asked for one by one."""
    wanted = _hashed(ids)
    known, users = _sent(connection.execute(_SQL["users"], span.bounds, binary=True, prepare=False).fetchall())
    found = _looked_up(wanted, known, users)
    if (missing := np.flatnonzero(found < 0)).size:
        others = [UUID(bytes=one.tobytes()) for one in np.unique(ids[missing])]
        asked = {"site_id": span.site_id, "sessions": others}
        rows = connection.execute(_SQL["users_of_others"], asked, binary=True, prepare=False).fetchall()
        found[missing] = _looked_up(wanted[missing], *_sent(rows))
    people = np.full(len(ids), -1)
    people[found >= 0] = _numbered(found[found >= 0])
    return people


def _sent(rows: Sequence[tuple[bytes | None, bytes | None]]) -> tuple[NDArray[np.uint64], Integers]:
    """Sessions, hashed, and their users."""
    ((sessions, users),) = rows
    if sessions is None or users is None:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    return _hashed(np.frombuffer(sessions, _ID)), np.frombuffer(users, ">i8").astype(np.int64)


def _looked_up(wanted: NDArray[np.uint64], known: NDArray[np.uint64], users: Integers) -> Integers:
    """The users of those that are known, -1 for others."""
    if not len(known):
        return np.full(len(wanted), -1)
    order, in_order = np.argsort(known), np.argsort(wanted)  # in order, looking up takes an eighth of the time
    known, users, wanted = known[order], users[order], wanted[in_order]
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    found = np.empty(len(wanted), np.int64)
    found[in_order] = np.where(known[at] == wanted, users[at], -1)
    return found


def _hashed(ids: NDArray[Any]) -> NDArray[np.uint64]:
    """64 bits of each id: two of a million sessions are taken for one in one of forty million questions."""
    return ids["high"].astype(np.uint64) * _ODD ^ ids["low"].astype(np.uint64)


def _numbered(keys: NDArray[Any]) -> Integers:
    """The same number for the same key: its first place, so that who is sorted already stays nearly so."""
    numbers = np.empty(len(keys), np.int64)
    if len(keys):
        order = np.argsort(keys)
        firsts = np.flatnonzero(np.concatenate(([True], np.diff(keys[order]) != 0)))
        numbers[order] = np.repeat(np.minimum.reduceat(order, firsts), np.diff(firsts, append=len(keys)))
    return numbers
