"""Sites and keys in Postgres, and their publication to Redis. In: the tables. Out: the registry document, replaced
whole: ingest sees either the old one or the new one.
"""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row
from redis import Redis

from schema import db, stream
from schema.errors import ConfigError
from schema.registry import KEY, Registry, key_hash, new_key
from schema.settings import Settings
from schema.sql import load


def publish(settings: Settings, redis: Redis) -> None:
    """Read the registry from Postgres and replace the document in Redis."""
    with db.connect(settings) as connection:
        registry = read(connection)
    redis.set(KEY, msgspec.json.encode(registry))


def announce(settings: Settings) -> None:
    """The same with a connection of its own, for the start of everything."""
    with stream.connect(settings.streams_url) as redis:
        publish(settings, redis)
        stream.open_lanes(redis, settings.lanes)


def read(connection: db.Connection) -> Registry:
    """The registry as Postgres has it."""
    row = connection.execute(load("sites")["registry"]).fetchone()
    return msgspec.convert(row[0] if row else {}, Registry)


def add_site(connection: db.Connection, site: dict[str, Any]) -> str:
    """Add a site and its first write key; returns the key, which is shown once and kept only as a hash.

    Raises ConfigError when the site exists or a value is wrong.
    """
    key = new_key("write")
    try:
        with connection.transaction():
            connection.execute(load("sites")["add_site"], site)
            connection.execute(
                load("sites")["add_key"],
                {"key_hash": key_hash(key), "site_id": site["site_id"], "role": "write"},
            )
    except psycopg.errors.UniqueViolation:
        raise ConfigError(f"site {site['site_id']!r} is there already") from None
    except psycopg.errors.CheckViolation as error:
        raise ConfigError(f"refused by {error.diag.constraint_name}: site ids are a-z, 0-9, - and _") from None
    except psycopg.errors.InvalidParameterValue:
        raise ConfigError(f"{site['time_zone']!r} is no time zone: give a name like Asia/Jerusalem") from None
    return key


def add_key(connection: db.Connection, site_id: str, role: str) -> str:
    """Make one more key of a site, shown once like the first. Raises ConfigError for a site or role that is none."""
    key = new_key(role)
    try:
        connection.execute(load("sites")["add_key"], {"key_hash": key_hash(key), "site_id": site_id, "role": role})
    except psycopg.errors.ForeignKeyViolation:
        raise ConfigError(f"there is no site {site_id!r}: see `tripstream site list`") from None
    except psycopg.errors.CheckViolation:
        raise ConfigError(f"{role!r} is no role: keys are for read or write") from None
    return key


def of_read_key(connection: db.Connection, key: str) -> str | None:
    """The site whose figures this key may read."""
    row = connection.execute(load("sites")["read_key"], {"key_hash": key_hash(key)}).fetchone()
    found: str | None = row[0] if row else None
    return found


def listed(connection: db.Connection) -> list[dict[str, Any]]:
    """Every site with its rules and what it has been sent."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(load("sites")["list_sites"]).fetchall()


def ids(connection: db.Connection) -> list[str]:
    """Every site's id."""
    return [row[0] for row in connection.execute(load("sites")["site_ids"])]
