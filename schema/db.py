"""Connections to Postgres, as one of three roles. In: settings. Out: psycopg connections, StorageError when down.

The database URL is the owner's. Whoever works changes role first, so a mistake in a worker or in the web process
cannot alter the schema. `synchronous_commit` is forced on: an acknowledgement must never outlive its commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, LiteralString, NamedTuple

import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from schema.errors import ConfigError, StorageError
from schema.settings import Settings

Role = Literal["owner", "tripstream_writer", "tripstream_reader"]
Connection = psycopg.Connection[TupleRow]


class Scope(NamedTuple):
    """Whose rows may be read: a site's, or of them those of the owner codes that are `auth_user_id`'s."""

    site_id: str
    auth_user_id: str | None = None


# What every connection begins with, given its statements' limit and its role.
SESSION: LiteralString = (
    "SELECT set_config('synchronous_commit', 'on', false), set_config('statement_timeout', %s, false),"
    " set_config('idle_in_transaction_session_timeout', '60s', false), set_config('TimeZone', 'UTC', false),"
    " set_config('role', %s, false)"
)
_SCOPE = "SELECT set_config('app.site_id', %s, true), set_config('app.auth_user_id', %s, true)"


@contextmanager
def connect(
    settings: Settings, role: Role = "tripstream_writer", *, statement_seconds_max: int = 20
) -> Iterator[Connection]:
    """An autocommit connection for one piece of work, closed at the end. Raises StorageError when Postgres is down.

    `statement_seconds_max` 0 means no limit: for rebuild and verify, which run as long as they must.
    """
    try:
        connection = psycopg.connect(checked_url(settings), autocommit=True, connect_timeout=5)
    except psycopg.Error as error:
        raise StorageError(f"Postgres cannot be reached: {first_line(error)}") from error
    with connection:
        _prepare(connection, role, statement_seconds_max)
        yield connection


@contextmanager
def reading(settings: Settings, scope: Scope, *, statement_seconds_max: int = 20) -> Iterator[Connection]:
    """A read-only transaction that sees one moment, and of it what lies in `scope`. Raises StorageError."""
    with connect(settings, "tripstream_reader", statement_seconds_max=statement_seconds_max) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            connection.execute(_SCOPE, (scope.site_id, scope.auth_user_id or ""))
            yield connection


def checked_url(settings: Settings) -> str:
    """The URL of Postgres. Raises ConfigError where libpq could not read it, without a word of it: there is a password
    in it, of which libpq would quote all, or what follows an @ that was not written as %40."""
    if not settings.database_url:
        raise ConfigError("DATABASE_URL is not set, and no embedded Postgres is running: run `make up`, or set it")
    try:
        parts = conninfo_to_dict(settings.database_url)
    except psycopg.Error:
        parts = {"host": "@"}
    if "@" in str(parts.get("host", "")) or not str(parts.get("port", "0")).replace(",", "").isdigit():
        raise ConfigError(
            "DATABASE_URL is no URL like postgresql://user:password@host:5432/database; "
            "in its password @ is written %40, : %3A, / %2F and % %25"
        )
    return settings.database_url


@contextmanager
def wrapped() -> Iterator[None]:
    """Turn driver errors into StorageError: used once, where a request or a command ends."""
    try:
        yield
    except psycopg.Error as error:
        raise StorageError(f"Postgres: {first_line(error)}") from error


def _prepare(connection: Connection, role: Role, statement_seconds_max: int) -> None:
    try:
        connection.execute(SESSION, (f"{statement_seconds_max}s", "none" if role == "owner" else role))
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.InsufficientPrivilege) as error:
        raise StorageError(f"the role {role} is missing: run `tripstream migrate` as Postgres' owner") from error
    except psycopg.Error as error:
        raise StorageError(f"Postgres cannot be reached: {first_line(error)}") from error


def first_line(error: BaseException | None) -> str:
    """What an error says first; libpq goes on with hints."""
    return str(error).strip().split("\n", 1)[0]
