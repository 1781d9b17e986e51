"""Whose pages are whose. In: a site, a person's verified id (the `sub` of their tokens), owner codes. Out: rows of
site_owners, by which Postgres lets that person read those codes' rows and no others.
"""

from __future__ import annotations

from typing import Any

from psycopg.errors import CheckViolation, ForeignKeyViolation
from psycopg.rows import dict_row

from schema.db import Connection
from schema.errors import ConfigError
from schema.sql import load

_SQL = load("scopes")


def add(connection: Connection, site_id: str, owner_code: str, auth_user_id: str) -> bool:
    """Give a person the pages of a code. Returns whether that is new. Raises ConfigError."""
    values = {"site_id": site_id, "owner_code": owner_code, "auth_user_id": auth_user_id}
    try:
        return connection.execute(_SQL["add_owner"], values).fetchone() is not None
    except ForeignKeyViolation:
        raise ConfigError(f"there is no site {site_id!r}: see `tripstream site list`") from None
    except CheckViolation:
        raise ConfigError("an owner has a code and a user, and neither is empty") from None


def remove(connection: Connection, site_id: str, auth_user_id: str, owner_code: str | None = None) -> list[str]:
    """Take one code, or all of a site's, from a person. Returns which. Raises ConfigError where there were none."""
    values = {"site_id": site_id, "auth_user_id": auth_user_id, "owner_code": owner_code}
    if not (taken := [code for (code,) in connection.execute(_SQL["remove_owner"], values)]):
        raise ConfigError(f"{auth_user_id!r} owns no such pages there: see `tripstream site owner list {site_id}`")
    return sorted(taken)


def listed(connection: Connection, site_id: str) -> list[dict[str, Any]]:
    """Who owns which pages of a site."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["owners"], {"site_id": site_id}).fetchall()


def owned_sites(connection: Connection, auth_user_id: str) -> list[str]:
    """The sites in which a person owns pages."""
    return [site_id for (site_id,) in connection.execute(_SQL["owned_sites"], {"auth_user_id": auth_user_id})]
