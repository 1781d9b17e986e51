"""How many events a second one key and one address may send. In: the sites' limits, and a monotonic clock. Out: the
buckets a request is charged to, or Limited with the seconds until there is room.

Kept in this process' memory alone: a limit is one of each process, no request waits for Redis, and a Redis that is away
neither opens nor shuts anything. A process that starts has forgotten what was spent. Addresses are in no Redis, file or
log, so nothing is hashed. The buckets last used are kept, up to twice _BUCKETS_MAX; one that is forgotten is full.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from schema.errors import Limited
from schema.registry import SiteRule, limits
from schema.settings import Settings

_SECOND = 1_000_000_000
_BUCKETS_MAX = 32_768  # 250 bytes each were measured


class Rate(NamedTuple):
    """What one event costs, and how much may be spent at once, both in nanoseconds of waiting."""

    event: int
    burst: int


class Bucket:
    """Empty at `until`, if nothing more is spent; `cost` is what an event costs just now."""

    __slots__ = ("cost", "until")

    def __init__(self) -> None:
        self.until = self.cost = 0


Charges = tuple[Bucket, ...]


class Rates:
    """The buckets of every key and address, per site."""

    def __init__(self, settings: Settings, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._settings = settings
        self._clock = clock
        its = limits(SiteRule(origins=[], open_to="nobody", strict=False), settings)
        self._refused = _rate(its.address_rate, its.address_burst)
        self._limits: dict[str, tuple[Rate | None, Rate | None]] = {}
        self._young: dict[str | tuple[str, str], Bucket] = {}  # by key, or by site and address
        self._old: dict[str | tuple[str, str], Bucket] = {}

    def adopt(self, sites: Mapping[str, SiteRule]) -> None:
        """These limits are in force from now on; what was spent stays spent."""
        found = {site_id: limits(rule, self._settings) for site_id, rule in sites.items()}
        self._limits = {
            site_id: (_rate(its.key_rate, its.key_burst), _rate(its.address_rate, its.address_burst))
            for site_id, its in found.items()
        }

    def admit(self, site_id: str, key: str | None, host: str) -> Charges:
        """Charge one event to the key and to the address, where each has a limit. Raises Limited where either has no
        room for one, and then neither was charged."""
        key_rate, address_rate = self._limits[site_id]
        address = None if address_rate is None else limited_address(host)
        charges: Charges = ()
        if key is not None and key_rate is not None:
            at = self._clock()
            charges = (self._with_room(key, key_rate, at, "from this key"),)
        elif address is None:  # this machine without a key
            return charges
        else:
            at = self._clock()
        if address is not None and address_rate is not None:
            charges += (self._with_room((site_id, address), address_rate, at, "from your address"),)
        for bucket in charges:
            bucket.until = (bucket.until if bucket.until > at else at) + bucket.cost
        return charges

    def blame(self, host: str, events: int) -> None:
        """Charge the address for a request that was refused, as for so many events of no site."""
        address = limited_address(host)
        if self._refused is not None and address is not None:
            bucket = self._young.get(("", address)) or self._find(("", address))
            bucket.until = max(bucket.until, self._clock()) + events * self._refused.event

    def refuse_blamed(self, host: str) -> None:
        """Raises Limited for an address whose requests were refused too often, before the next one is looked at."""
        name = "", limited_address(host) or ""
        if self._refused is not None and (name in self._young or name in self._old):
            self._with_room(name, self._refused, self._clock(), "that were refused, from your address")

    def _with_room(self, name: str | tuple[str, str], rate: Rate, at: int, whose: str) -> Bucket:
        bucket = self._young.get(name) or self._find(name)
        bucket.cost = rate.event
        wait = bucket.until + rate.event - rate.burst - at
        if wait > 0:
            said = f"Too many events {whose} in a short time. Send the same batch again after Retry-After."
            raise Limited(said, retry_after_seconds=-(-wait // _SECOND))
        return bucket

    def _find(self, name: str | tuple[str, str]) -> Bucket:
        """One of those that were not used lately, or a new one."""
        if len(self._young) >= _BUCKETS_MAX:
            self._young, self._old = {}, self._young
        self._young[name] = bucket = self._old.pop(name, None) or Bucket()
        return bucket


def spend(charges: Charges, events: int) -> None:
    """Charge so many more events of a request that was admitted: a batch is taken whole, also into debt, or one that
    is larger than the burst could never be sent."""
    for bucket in charges:
        bucket.until += events * bucket.cost


@lru_cache(maxsize=65_536)
def limited_address(host: str) -> str | None:
    """The address that is one sender: an IPv4 address, an IPv6 network of /64. None for this machine, and for none."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback:
        return None
    return str(address) if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def _rate(a_second: int, at_once: int) -> Rate | None:
    cost = _SECOND // (a_second or 1) or 1
    return Rate(cost, cost * at_once) if a_second else None
