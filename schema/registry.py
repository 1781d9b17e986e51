"""What ingest must know of Postgres, published to Redis as one versioned document, so that accepting needs none.

    registry    string    JSON of Registry

In: the document, which schema/sites.py makes of Postgres' tables. Out: rules by site and by key. Ingest keeps the
last good one in memory; the clock publishes it again, so that an emptied Redis heals by itself.
"""

from __future__ import annotations

import hashlib
import secrets

import msgspec

KEY = "registry"


class SiteRule(msgspec.Struct, frozen=True):
    """What may be posted to one site. `open_to`: who may post without a key: nobody, loopback or everyone."""

    origins: list[str]
    open_to: str
    strict: bool


class KeyRule(msgspec.Struct, frozen=True):
    """What one key is good for. `role`: write or read."""

    site_id: str
    role: str


class Registry(msgspec.Struct, frozen=True):
    """The whole document. `keys` is indexed by the key's SHA-256 in hex."""

    sites: dict[str, SiteRule]
    keys: dict[str, KeyRule]
    event_types: frozenset[str]
    sources: frozenset[str]


_decoder = msgspec.json.Decoder(Registry)


def decode(document: bytes) -> Registry:
    """Read the published document. Raises msgspec.ValidationError."""
    return _decoder.decode(document)


def key_hash(key: str) -> bytes:
    """SHA-256 of a key. Keys are 32 random bytes, so no slow hash is needed to protect them."""
    return hashlib.sha256(key.encode()).digest()


def new_key(role: str) -> str:
    """A fresh key; its prefix says what it is for."""
    return f"ts_{role}_{secrets.token_urlsafe(32)}"
