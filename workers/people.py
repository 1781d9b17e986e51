"""Who a person is: every id that is known to be theirs. In: a user's id, a visitor's id or an email. Out: a Person.

A verified token joins ids; a claim alone brings only what it was said with, and a browser that claimed to be nobody
else. A browser that several registered users had is each of theirs only while it was: what it did for the others is
not touched.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from psycopg.rows import dict_row

from schema.db import Connection
from schema.errors import InvalidRequest, NotFound
from schema.event import new_id, now
from schema.sql import load

_SQL = load("privacy")
KINDS = ("user", "anonymous_id", "email")
NOT_COVERED = (
    "backups and dumps",
    "Postgres' WAL, and pages of its files that were not written over yet",
    "samples of tables that became empty, in Postgres before version 18",
    "replicas until they have replayed this, and their WAL",
    "archives that retention wrote (Parquet)",
    "copies of Redis' files that were made before",
    "logs and traces of proxies and of other software",
    "whatever other systems were sent",
)


class Named(NamedTuple):
    """How a person is named: `kind` is one of KINDS."""

    kind: str
    value: str


class Person(msgspec.Struct, frozen=True):
    """Every id of one person on one site. `own` are the visitors (browsers) that were nobody else's, `visitors` all."""

    site_id: str
    auths: list[str] = []
    claims: list[str] = []
    emails: list[str] = []
    visitors: list[str] = []
    own: list[str] = []
    users: list[int] = []
    sessions: list[str] = []

    @property
    def names(self) -> list[str]:
        """What the person goes by, but for sessions: whatever must be nowhere when they are erased."""
        return sorted({*self.auths, *self.claims, *self.emails, *self.own})

    def columns(self) -> dict[str, Any]:
        """As parameters."""
        return msgspec.structs.asdict(self) | {"own_text": self.own}


def named(user: str | None = None, anonymous_id: str | None = None, email: str | None = None) -> Named:
    """The one way in which somebody was named. Raises InvalidRequest for none, several, or one that cannot be."""
    given = [Named(kind, value) for kind, value in zip(KINDS, (user, anonymous_id, email), strict=True) if value]
    if len(given) != 1:
        raise InvalidRequest(fields=[(KINDS[0], f"name the person in one way: {', '.join(KINDS)}")])
    kind, value = given[0]
    value = value.strip()
    if kind == "anonymous_id":
        try:
            value = str(UUID(value))
        except ValueError:
            raise InvalidRequest(fields=[(kind, "must be a UUID, as the browser sends it")]) from None
    if kind == "email" and "@" not in value:
        raise InvalidRequest(fields=[(kind, "must be an email address")])
    if not value or len(value) > 500 or "\0" in value:
        raise InvalidRequest(fields=[(kind, "must have between 1 and 500 characters")])
    return Named(kind, value.lower() if kind == "email" else value)


def find(connection: Connection, site_id: str, who: Named) -> Person:
    """Everything that is known to be this person. Raises InvalidRequest where a browser alone does not say who."""
    ids: dict[str, set[Any]] = {name: set() for name in ("auths", "claims", "emails", "visitors", "users")}
    if who.kind == "anonymous_id":
        ids["visitors"].add(who.value)
        ids["auths"].update(_one_user(connection, site_id, who.value))
    else:
        ids["claims"].add(who.value)
        ids["auths" if who.kind == "user" else "emails"].add(who.value)
    size = 0
    while size != (size := sum(map(len, ids.values()))):
        _widen(connection, site_id, ids)
    values = {name: sorted(found) for name, found in ids.items()}
    shared = {v for (v,) in connection.execute(_SQL["shared"], values | {"site_id": site_id})}
    own = [visitor for visitor in values["visitors"] if visitor not in shared]
    person = Person(site_id, **values, own=own)
    sessions = [s for (s,) in connection.execute(_SQL["sessions_of"], person.columns())]
    return msgspec.structs.replace(person, sessions=sorted(sessions))


def request(connection: Connection, site_id: str, who: Named, by: str) -> UUID:
    """Note that this person is to be erased; a chore does it. Returns the receipt's id. Raises NotFound, and
    InvalidRequest as `find` does."""
    _require_site(connection, site_id)
    if who.kind == "anonymous_id":
        _one_user(connection, site_id, who.value)
    erasure_id = new_id(now())
    values = {"erasure_id": erasure_id, "site_id": site_id, "by": by, "named_by": who.kind, "value": who.value}
    connection.execute(_SQL["request_erasure"], values)
    return erasure_id


def receipt(connection: Connection, erasure_id: UUID, site_id: str | None = None) -> dict[str, Any]:
    """What was done about an erasure, and what it does not cover. Raises NotFound."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["receipt"], {"erasure_id": erasure_id, "site_id": site_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no receipt {erasure_id} here.")
    return row | {"not_covered": list(NOT_COVERED)}


def secret() -> str:
    """What an erasure makes its pseudonyms with; forgotten when it is done."""
    return secrets.token_hex(32)


def require_known(connection: Connection, site_id: str) -> None:
    """Raises NotFound where there is no such site."""
    _require_site(connection, site_id)


def _require_site(connection: Connection, site_id: str) -> None:
    if connection.execute("SELECT FROM sites WHERE site_id = %s", (site_id,)).fetchone() is None:
        raise NotFound(f"There is no site {site_id}: see `tripstream site list`.")


def _one_user(connection: Connection, site_id: str, visitor: str) -> list[str]:
    """The registered ids that a browser was, of one user. Raises InvalidRequest where they are several's."""
    links = connection.execute(_SQL["users_of_visitor"], {"site_id": site_id, "value": visitor}).fetchall()
    if len({user_id for user_id, _ in links}) > 1:
        names = ", ".join(sorted(auth for _, auth in links))
        raise InvalidRequest(fields=[("anonymous_id", f"this browser was several users ({names}): name one as user")])
    return [auth for _, auth in links]


def _widen(connection: Connection, site_id: str, ids: Mapping[str, set[Any]]) -> None:
    """Add whatever the ids that are known lead to."""

    def ask(name: str) -> Sequence[tuple[Any, ...]]:
        values = {key: sorted(found) for key, found in ids.items()} | {"site_id": site_id}
        return connection.execute(_SQL[name], values).fetchall()

    kinds = {"auth": "auths", "claimed": "claims", "email": "emails", "anonymous": "visitors"}
    ids["auths"].update(auth for (auth,) in ask("registered_of"))
    ids["claims"] |= ids["auths"] | ids["emails"]  # said without a token, it is still about the person
    if ids["claims"]:
        for visitor, user_id in ask("claimants"):
            ids["visitors"].add(visitor)
            ids["users"].add(user_id)
    shared = {visitor for (visitor,) in ask("shared")}
    kept = {visitor for visitor in ids["visitors"] if visitor not in shared}
    values = {key: sorted(found) for key, found in ids.items()} | {"site_id": site_id, "visitors": sorted(kept)}
    ids["users"].update(user_id for (user_id,) in connection.execute(_SQL["users_of"], values))
    for kind, value in ask("ids_of"):
        ids[kinds[kind]].add(value)
