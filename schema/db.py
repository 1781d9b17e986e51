"""Connections to Postgres, as one of five roles. In: settings. Out: psycopg connections, StorageError when down.

The database URL is the owner's. Whoever works changes role first, so a mistake in a worker or in the web process
cannot alter the schema. `synchronous_commit` is forced on: an acknowledgement must never outlive its commit. Row-level
security lets a reader see one site, which each of its transactions names; one that names none sees no rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, LiteralString, NamedTuple

import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from schema import pools
from schema.errors import ConfigError, StorageError
from schema.settings import Settings, env_name
from schema.sql import load

Role = Literal["owner", "tripstream_writer", "tripstream_reader", "tripstream_owner_reader", "tripstream_monitor"]
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
_MISSING = "the role {} is missing: run `tripstream migrate` as Postgres' owner"
_NO_ROLE = (psycopg.errors.InvalidParameterValue, psycopg.errors.InsufficientPrivilege)
_FOREVER = 1e12


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
def reading(
    settings: Settings, scope: Scope, *, statement_seconds_max: int = 20, fresh: bool = False
) -> Iterator[Connection]:
    """A read-only transaction that sees of one moment what lies in `scope`, on the replica where there is one. `fresh`:
    each statement sees what there is by then, never on a replica. Raises Busy; StorageError, also where the replica is
    behind."""
    name = "database_read_url" if settings.database_read_url and not fresh else "database_url"
    with _scoped(settings, name, scope, statement_seconds_max, one_moment=not fresh) as (connection, behind_seconds):
        if behind_seconds > settings.replica_seconds_max:
            raise StorageError(_behind(behind_seconds, settings.replica_seconds_max), retry_after_seconds=5)
        yield connection


@contextmanager
def asking(settings: Settings) -> Iterator[Connection]:
    """The same without a scope, fresh: for what decides whose rows may be read."""
    with _scoped(settings, "database_url", Scope(""), 5, one_moment=False) as (connection, _):
        yield connection


def behind(settings: Settings) -> float:
    """How old the replica is that reports read, in seconds; 0 where there is none. Raises StorageError."""
    name = "database_read_url" if settings.database_read_url else "database_url"
    with _scoped(settings, name, Scope(""), 2, one_moment=False) as (_, seconds):
        return seconds


@contextmanager
def _scoped(
    settings: Settings, name: str, scope: Scope, statement_seconds_max: int, *, one_moment: bool
) -> Iterator[tuple[Connection, float]]:
    """A reader's transaction on the server of that setting, and how many seconds that is behind."""

    role: Role = "tripstream_reader" if scope.auth_user_id is None else "tripstream_owner_reader"

    def begin(connection: Connection) -> float:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ if one_moment else IsolationLevel.READ_COMMITTED
        connection.read_only = True
        values = {"site_id": scope.site_id, "auth_user_id": scope.auth_user_id or "", "role": role}
        values["statement_timeout"] = f"{statement_seconds_max}s"
        try:
            *_, seconds = connection.execute(load("scopes")["begin"], values, prepare=True).fetchall()[0]
        except _NO_ROLE as error:
            raise StorageError(_MISSING.format(role)) from error
        return float(seconds)

    url = checked_url(settings, name)
    with pools.borrowed(url, settings.read_connections_max, _configure, begin) as (connection, behind_seconds):
        yield connection, behind_seconds


def _configure(connection: Connection) -> None:
    """A reader also outside its transactions; where the role is missing, the first of them says so."""
    try:
        connection.execute(SESSION, ("20s", "tripstream_reader"))
        connection.commit()
    except _NO_ROLE:
        connection.rollback()


def _behind(seconds: float, limit: int) -> str:
    age = f"{seconds:.0f} s old" if seconds < _FOREVER else "of an unknown age"
    return f"The replica is {age}, and figures may be {limit} s old (TRIPSTREAM_REPLICA_SECONDS_MAX): ask again."


def checked_url(settings: Settings, name: str = "database_url") -> str:
    """The URL of Postgres. Raises ConfigError where libpq could not read it, without a word of it: there is a password
    in it, of which libpq would quote all, or what follows an @ that was not written as %40."""
    url: str = getattr(settings, name)
    if not url:
        raise ConfigError("DATABASE_URL is not set, and no embedded Postgres is running: run `make up`, or set it")
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        parts = {"host": "@"}
    if "@" in str(parts.get("host", "")) or not str(parts.get("port", "0")).replace(",", "").isdigit():
        raise ConfigError(
            f"{env_name(name)} is no URL like postgresql://user:password@host:5432/database; "
            "in its password @ is written %40, : %3A, / %2F and % %25"
        )
    return url


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
    except _NO_ROLE as error:
        raise StorageError(_MISSING.format(role)) from error
    except psycopg.Error as error:
        raise StorageError(f"Postgres cannot be reached: {first_line(error)}") from error


def first_line(error: BaseException | None) -> str:
    """What an error says first; libpq goes on with hints."""
    return str(error).strip().split("\n", 1)[0]
