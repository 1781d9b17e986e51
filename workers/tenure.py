"""How long a user had been known when an event happened. In: events and their users. Out: whole days, by event.

Counted from the user's first_seen_at as it is known when the event is stored: the earliest of what is stored and of
what is stored with it, so that it is never negative, and 0 on a new user's first day. Once stored it is a fact of the
event like its country: an earlier event that comes later, or a merge of users, does not rewrite it, and neither
rebuild nor verify looks at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schema.db import Connection
from schema.event import MICROSECOND
from schema.sql import load
from workers.resolve import Staged

_DAY = 86_400 * MICROSECOND
_FIRST_SEEN = load("tenure")["first_seen"]


def days_known(connection: Connection, staged: Sequence[Staged], users: Mapping[int, int]) -> dict[int, int]:
    """Each event's days by its index in `staged`, of those that have a user; `users` are by index too."""
    if not users:
        return {}
    first: dict[int, int] = dict(connection.execute(_FIRST_SEEN, {"users": sorted(set(users.values()))}).fetchall())
    times = [s.event.occurred_at for s in staged]
    for index, user_id in users.items():
        known = first.get(user_id)
        if known is None or times[index] < known:
            first[user_id] = times[index]
    return {index: (times[index] - first[user_id]) // _DAY for index, user_id in users.items()}
