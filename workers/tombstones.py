"""What may not be stored any more: events of a person who was erased, that happened before. In: tombstones, and what
comes through the queue. Out: whether to discard it.

A tombstone is a salted digest of an id, so that it names nobody. They are read in the transaction that stores; a site
without any costs a look at an index a transaction.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from schema.asked import Asked
from schema.db import Connection
from schema.entry import Entry
from schema.event import Batch, Event, Quarantined
from schema.sql import load

_SQL = load("privacy")
VISITOR, SESSION, USER, EMAIL = "visitor", "session", "user", "email"
ID_NAMES = {
    *("user_id", "userId", "auth_user_id", "claimed_user", "distinct_id", "$user_id", "previousId", "sub"),
    *("anonymous_id", "anonymousId", "anon_id", "session_id", "sessionId", "email"),
}
"""What fields are called that hold an id of a person, in the formats that are taken."""
_CACHE_MAX = 100_000
_NEVER = -(1 << 62)


def new_salt() -> bytes:
    """A salt for the digests of one erasure."""
    return secrets.token_bytes(16)


def digest(salt: bytes, site_id: str, kind: str, value: str) -> bytes:
    """What a tombstone keeps of an id."""
    return hashlib.sha256(b"\x1f".join((salt, site_id.encode(), kind.encode(), value.encode()))).digest()[:16]


class Tombstones:
    """Those that one drain knows. `known` is by site and salt: digest and the microsecond until which it holds."""

    def __init__(self) -> None:
        self._after = 0
        self._known: defaultdict[str, defaultdict[bytes, dict[bytes, int]]] = defaultdict(lambda: defaultdict(dict))
        self._verdicts: dict[tuple[str, str, str], int] = {}
        self._visits: dict[tuple[Any, ...], int] = {}

    def refresh(self, connection: Connection) -> None:
        """Learn what was erased since."""
        rows = connection.execute(_SQL["tombstones_since"], {"after": self._after}).fetchall()
        for tombstone_id, site_id, salt, found, until in rows:
            self._after = tombstone_id
            self._known[site_id][salt][found] = until
        if rows or len(self._verdicts) + len(self._visits) > _CACHE_MAX:
            self._verdicts.clear()
            self._visits.clear()

    def buries(self, event: Event, batch: Batch) -> bool:
        """Whether the event is an erased person's, and of before."""
        if batch.site_id not in self._known:
            return False
        token = batch.verified
        who = (event.anonymous_id, event.session_id, event.auth_user_id, event.claimed_user)
        key = (batch.site_id, *who, *((token.user_id, token.email) if token else ()))
        if (until := self._visits.get(key)) is None:  # a visitor's next event asks nothing anew
            untils = [self._until(batch.site_id, *one) for one in _of_event(event, batch)]
            until = self._visits[key] = max(untils, default=_NEVER)
        return event.occurred_at <= until

    def buried(self, entries: Sequence[Entry]) -> list[tuple[Entry, int]]:
        """Events to discard, by entry and ordinal, those that were quarantined behind the others."""
        if not self._known:
            return []
        found: list[tuple[Entry, int]] = []
        for entry in entries:
            if (batch := entry.batch) is not None:
                fit, unfit = enumerate(batch.events), enumerate(batch.quarantined, len(batch.events))
                found += ((entry, at) for at, event in fit if self.buries(event, batch))
                found += ((entry, at) for at, none in unfit if self.buries_unfit(none, batch))
        return found

    def buries_unfit(self, unfit: Quarantined, batch: Batch) -> bool:
        """The same of what was quarantined, whose texts may be anything."""
        if batch.site_id not in self._known:
            return False
        named = [*_of_text(unfit.sent), *_of_token(batch)]
        return any(batch.received_at <= self._until(batch.site_id, *one) for one in named)

    def buries_request(self, asked: Asked) -> bool:
        """The same of an answered request for recommendations."""
        if asked.site_id not in self._known:
            return False
        ids = [(VISITOR, asked.anonymous_id), (SESSION, asked.session_id)]
        untils = [self._until(asked.site_id, kind, str(value)) for kind, value in ids if value is not None]
        return any(asked.requested_at <= until for until in untils)

    def _until(self, site_id: str, kind: str, value: str) -> int:
        """The microsecond until which this id's events are discarded; before all time for everybody else's."""
        key = (site_id, kind, value)
        if (until := self._verdicts.get(key)) is None:
            salts = self._known[site_id].items()
            until = max(found.get(digest(salt, *key), _NEVER) for salt, found in salts)
            self._verdicts[key] = until
        return until


def _of_event(event: Event, batch: Batch) -> Iterator[tuple[str, str]]:
    if event.anonymous_id is not None:
        yield VISITOR, str(event.anonymous_id)
    elif event.session_id is not None and event.auth_user_id is None:  # a browser's may be somebody else's too
        yield SESSION, str(event.session_id)
    for user in (event.auth_user_id, event.claimed_user):
        if user is not None:
            yield USER, user
    yield from _of_token(batch)


def _of_token(batch: Batch) -> Iterator[tuple[str, str]]:
    if batch.verified is not None:
        yield USER, batch.verified.user_id
        if batch.verified.email is not None:
            yield EMAIL, batch.verified.email


def _of_text(sent: str) -> Iterator[tuple[str, str]]:
    """Every id in a JSON document, as each kind of id that it may be."""
    try:
        found: list[tuple[Any, Any]] = [(None, msgspec.json.decode(sent))]
    except (msgspec.DecodeError, RecursionError):
        return
    while found:
        name, value = found.pop()
        if isinstance(value, dict):
            found += value.items()
        elif isinstance(value, list):
            found += ((name, one) for one in value)
        elif name in ID_NAMES and isinstance(value, str | int):
            yield from ((kind, str(value)) for kind in (VISITOR, SESSION, USER))
            yield EMAIL, str(value).lower()
