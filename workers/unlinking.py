"""What people ask of identities: who is this, and undo that link. In: a value. Out: rows; links that count no more.

An unlink voids everything received until then that says the same, so that what is still queued does not link again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg.rows import dict_row

from schema.db import Connection
from schema.sql import load
from workers import mover

_SQL = load("unlinking")


class Shown(NamedTuple):
    """Users with their identities, and what was changed about those."""

    users: list[dict[str, Any]]
    identities: list[dict[str, Any]]
    changes: list[dict[str, Any]]


def show(connection: Connection, site_id: str | None, value: str) -> Shown:
    """Everything about whoever this is: a visitor's id, a registered id, an email, or a user's number."""
    number = int(value) if value.isdecimal() and len(value) < 19 else None
    values = {"site_id": site_id, "value": value, "email": value.lower(), "user_id": number}
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_SQL["identities_of"], values).fetchall()
        users = sorted({row["user_id"] for row in found})
        known = {
            "sites": [row["site_id"] for row in found],
            "kinds": [row["kind"] for row in found],
            "keys": [row["value"] for row in found],
        }
        changes = cursor.execute(_SQL["changes_of"], known).fetchall()
        return Shown(cursor.execute(_SQL["users_shown"], {"users": users}).fetchall(), found, changes)


def unlink(connection: Connection, site_id: str, value: str, auth: str | None, *, by: str) -> int:
    """Undo the links of a visitor or an email, all or those to one registered id, and move the rows back. Returns how
    many links there were."""
    with connection.transaction():
        links = {"site_id": site_id, "value": value, "email": value.lower(), "auth": auth, "by": by}
        done = connection.execute(_SQL["undo"], links).rowcount
    mover.run_once(connection)
    return done
