"""What ingest must know of Postgres, published to Redis as one versioned document, so that accepting needs none.

    registry    string    JSON of Registry

In: the document, which schema/sites.py makes of Postgres' tables. Out: rules by site and by key. Ingest keeps the
last good one in memory; the clock publishes it again, so that an emptied Redis heals by itself.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple

import msgspec

from schema.settings import Settings

KEY = "registry"
_BURST_SECONDS = 10


class SiteRule(msgspec.Struct, frozen=True):
    """What may be posted to one site. `open_to`: who may post without a key: nobody, loopback or everyone. Rates are
    events a second, of one key and of one address; None: the setting's. `signals`: whether Sec-GPC and DNT are heeded
    (honour) or not (ignore)."""

    origins: list[str]
    open_to: str
    strict: bool
    key_rate: int | None = None
    key_burst: int | None = None
    address_rate: int | None = None
    address_burst: int | None = None
    signals: str = "ignore"


class KeyRule(msgspec.Struct, frozen=True):
    """What one key is good for, and until which microsecond. `role`: write, read or admin."""

    site_id: str
    role: str
    ends_at: int | None = None


class Registry(msgspec.Struct, frozen=True):
    """The whole document. `keys` is indexed by the key's SHA-256 in hex."""

    sites: dict[str, SiteRule]
    keys: dict[str, KeyRule]
    event_types: frozenset[str]
    sources: frozenset[str]


class Limits(NamedTuple):
    """Events a second, and at once after a pause, of one key and of one address. A rate of 0: no limit."""

    key_rate: int
    key_burst: int
    address_rate: int
    address_burst: int


_decoder = msgspec.json.Decoder(Registry)


def decode(document: bytes) -> Registry:
    """Read the published document. Raises msgspec.ValidationError."""
    return _decoder.decode(document)


def limits(rule: SiteRule, settings: Settings) -> Limits:
    """What holds for a site: its own limits, else the settings'."""
    return Limits(
        *_limit(rule.key_rate, rule.key_burst, settings.key_events_per_second_max, settings.key_events_burst_max),
        *_limit(
            rule.address_rate,
            rule.address_burst,
            settings.address_events_per_second_max,
            settings.address_events_burst_max,
        ),
    )


def _limit(own: int | None, own_burst: int | None, default: int, default_burst: int) -> tuple[int, int]:
    """A rate of the site's own brings its own ten seconds' worth: the settings' burst would hide a small one."""
    rate = default if own is None else own
    burst = (default_burst if own is None else 0) if own_burst is None else own_burst
    return rate, burst or rate * _BURST_SECONDS


def key_hash(key: str) -> bytes:
    """SHA-256 of a key. Keys are 32 random bytes, so no slow hash is needed to protect them."""
    return hashlib.sha256(key.encode()).digest()


def new_key(role: str) -> str:
    """A fresh key; its prefix says what it is for."""
    return f"ts_{role}_{secrets.token_urlsafe(32)}"
