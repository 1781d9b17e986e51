"""Sites and keys in Postgres, and their publication to Redis. In: the tables. Out: the registry document, replaced
whole: ingest sees either the old one or the new one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg.rows import dict_row
from redis import Redis

from schema import db, stream
from schema.errors import ConfigError
from schema.registry import KEY, Registry, key_hash, new_key
from schema.settings import Settings
from schema.sql import load

LIMITS = ("key_rate", "key_burst", "address_rate", "address_burst")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s*]+", re.IGNORECASE)
_NO_SITE = "there is no site {!r}: see `tripstream site list`"
_HINT = 4  # characters of a key that are kept to tell it from others: 24 of its 256 bits


class Right(NamedTuple):
    """What a key is good for."""

    site_id: str
    role: str


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

    Limits that are not said are the settings'. Raises ConfigError when the site exists or a value is wrong.
    """
    unsaid = dict.fromkeys((*LIMITS, "signals", "raw_days"))
    values = unsaid | site | {"origins": [as_origin(origin) for origin in site["origins"]]}
    with _refusals(values), connection.transaction():
        connection.execute(load("sites")["add_site"], values)
        return _make_key(connection, site["site_id"], "write", None)


def change_site(connection: db.Connection, site_id: str, changes: dict[str, Any]) -> None:
    """Change the rules and limits that are named; a limit of -1 is the setting's again. Raises ConfigError."""
    values = (
        dict.fromkeys(("name", "time_zone", "origins", "open_to", "strict", "signals", "raw_days", *LIMITS))
        | changes
        | {"site_id": site_id}
    )
    if values["origins"] is not None:
        values["origins"] = [as_origin(origin) for origin in values["origins"]]
    with _refusals(values):
        if connection.execute(load("sites")["change_site"], values).fetchone() is None:
            raise ConfigError(_NO_SITE.format(site_id))


def zones(connection: db.Connection, site_id: str) -> list[tuple[str, date | None]]:
    """Whose days a site's are, and from which day on; the first from ever."""
    return connection.execute(load("sites")["zones"], {"site_id": site_id}).fetchall()


def add_key(connection: db.Connection, site_id: str, role: str, hours: float | None = None) -> str:
    """Make one more key of a site, shown once like the first, which ends after `hours` or never. Raises ConfigError for
    a site or role that is none."""
    with _refusals({"site_id": site_id, "role": role}):
        return _make_key(connection, site_id, role, hours)


def rotate(connection: db.Connection, site_id: str, role: str, overlap_hours: float) -> str:
    """Make a new key; the role's others end after the overlap. Of two rotations at once the later one ends the key of
    the earlier. Raises ConfigError."""
    with _refusals({"site_id": site_id, "role": role}), connection.transaction():
        if connection.execute(load("sites")["lock_site"], {"site_id": site_id}).fetchone() is None:
            raise ConfigError(_NO_SITE.format(site_id))
        ending = {"site_id": site_id, "role": role, "seconds": overlap_hours * 3600}
        connection.execute(load("sites")["end_keys"], ending)
        return _make_key(connection, site_id, role, None)


def revoke(connection: db.Connection, site_id: str, key_id: int) -> None:
    """End one key now. Raises ConfigError where the site has none of that number."""
    values = {"site_id": site_id, "key_id": key_id}
    if connection.execute(load("sites")["revoke_key"], values).fetchone() is None:
        raise ConfigError(f"site {site_id!r} has no key {key_id}: see `tripstream site show {site_id}`")


def right(connection: db.Connection, key: str) -> Right | None:
    """What a live key is good for."""
    row = connection.execute(load("scopes")["key_right"], {"key_hash": key_hash(key)}).fetchone()
    return Right(*row) if row else None


def living(connection: db.Connection, hashes: Collection[bytes]) -> set[bytes]:
    """Those of the keys that still may read, all given as their hashes."""
    return {row[0] for row in connection.execute(load("scopes")["living"], {"key_hashes": list(hashes)})}


def listed(connection: db.Connection) -> list[dict[str, Any]]:
    """Every site with its rules and what it has been sent."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(load("sites")["list_sites"]).fetchall()


def shown(connection: db.Connection, site_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One site's rules and limits, and its keys without the keys themselves. Raises ConfigError."""
    with connection.cursor(row_factory=dict_row) as cursor:
        site = cursor.execute(load("sites")["show_site"], {"site_id": site_id}).fetchone()
        if site is None:
            raise ConfigError(_NO_SITE.format(site_id))
        return site, cursor.execute(load("sites")["show_keys"], {"site_id": site_id}).fetchall()


def ids(connection: db.Connection) -> list[str]:
    """Every site's id."""
    return [row[0] for row in connection.execute(load("sites")["site_ids"])]


def as_origin(origin: str) -> str:
    """An origin as browsers send it. Raises ConfigError for what no browser would send: it would match nothing."""
    found = origin.strip().rstrip("/").lower()
    if found not in ("*", "null") and not _ORIGIN.fullmatch(found):
        raise ConfigError(f"{origin!r} is no origin: give one like https://shop.example, without a path, or *")
    return found


def _make_key(connection: db.Connection, site_id: str, role: str, hours: float | None) -> str:
    key = new_key(role)
    row = {"key_hash": key_hash(key), "site_id": site_id, "role": role, "hint": key[-_HINT:]}
    connection.execute(load("sites")["add_key"], row | {"seconds": None if hours is None else hours * 3600})
    return key


@contextmanager
def _refusals(values: dict[str, Any]) -> Iterator[None]:
    """What Postgres refuses of a site or key, as ConfigError."""
    try:
        yield
    except psycopg.errors.UniqueViolation:
        raise ConfigError(f"site {values['site_id']!r} is there already") from None
    except psycopg.errors.ForeignKeyViolation:
        raise ConfigError(_NO_SITE.format(values["site_id"])) from None
    except psycopg.errors.CheckViolation as error:
        raise ConfigError(_why(error.diag.constraint_name or "", values)) from None
    except psycopg.errors.InvalidParameterValue:
        raise ConfigError(f"{values['time_zone']!r} is no time zone: give a name like Asia/Jerusalem") from None
    except (psycopg.errors.NumericValueOutOfRange, psycopg.errors.DatetimeFieldOverflow):
        raise ConfigError("a number is too large") from None


def _why(constraint: str, values: dict[str, Any]) -> str:
    if constraint == "site_keys_role_check":
        return f"{values['role']!r} is no role: keys are for write, read or admin"
    told = {
        "sites_site_id_check": "site ids are a-z, 0-9, - and _",
        "sites_open_to_check": "a site is open to nobody, loopback or everyone",
        "sites_signals_check": "signals of browsers are honoured (honour) or not (ignore)",
        "sites_raw_days_check": "rows are kept for 1 to 36500 days",
    }
    return f"refused by {constraint}: {told.get(constraint, 'limits are numbers from 0')}"
