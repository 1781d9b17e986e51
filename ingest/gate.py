"""Decides who may post and whether there is room. In: the registry document and Redis' own figures, sampled in the
background. Out: a site for each request, or Unauthorized, Forbidden, Busy.

Nothing is asked of Redis or Postgres per request, but for a key or site that is not known, before it is refused. When
Redis stops answering, the last good registry stays in force and the append itself says 503.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from functools import lru_cache
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError
from starlette.types import Scope

from ingest.large import Turns
from ingest.rates import Rates
from ingest.rules import Context
from ingest.tokens import Tokens
from schema import addresses, registry
from schema.errors import Busy, Forbidden, Unauthorized
from schema.local import is_local
from schema.registry import Registry, SiteRule
from schema.settings import Settings

_SAMPLE_SECONDS = 0.25
_REGISTRY_EVERY = 4  # samples: a change of the registry is in force within a second
_LOOK_SECONDS = 0.05  # between looks at the registry for strangers
_TOO_MANY = "Too many requests at once. Send the same batch again."
logger = logging.getLogger("tripstream.ingest")


class Gate:
    """What ingest knows without asking: registry, durability in force, and whether Redis has room."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self.settings = settings
        self._document = b""
        self._look: asyncio.Task[bool] | None = None
        self.tokens = Tokens(settings)
        self.registry: Registry | None = None
        self.rates = Rates(settings)
        self.large = Turns()
        self.durability = "unknown"
        self.memory_share = 0.0
        self.reachable = False
        self.requests = 0
        self.bytes = 0
        self.networks: dict[str, int] = {}
        self.reading: dict[asyncio.Task[Any] | None, float] = {}  # since when a request's body is waited for
        self.late: set[asyncio.Task[Any] | None] = set()

    async def watch(self) -> None:
        """Sample for as long as the process lives."""
        turn = 0
        while True:
            await self.sample(with_registry=turn % _REGISTRY_EVERY == 0)
            self.give_up(time.monotonic() - self.settings.body_seconds_max)
            turn += 1
            await asyncio.sleep(_SAMPLE_SECONDS)

    def give_up(self, before: float) -> None:
        """Wait no longer for bodies that are waited for since before that moment. One look at all of them: a timer for
        each took 4 µs of its request."""
        for task, since in self.reading.items():
            if since < before and task is not None and task not in self.late:
                self.late.add(task)
                task.cancel()

    async def sample(self, *, with_registry: bool = True) -> None:
        """One look at Redis: memory always, registry and durability less often."""
        try:
            memory: dict[str, Any] = await self._redis.info("memory")
            limit = int(memory.get("maxmemory", 0))
            self.memory_share = int(memory["used_memory"]) / limit if limit else 0.0
            if with_registry:
                self.durability = await durability(self._redis)
                self._adopt(await self._redis.get(registry.KEY))
            self.reachable = True
        except (RedisError, OSError) as error:
            if self.reachable:
                logger.warning("redis cannot be reached", extra={"error": type(error).__name__})
            self.reachable = False

    def enter(self, host: str) -> str | None:
        """Let one request of the peer `host` in. Raises Busy; every enter needs its leave, with what this returns."""
        if self.memory_share >= self.settings.redis_share_max:
            raise Busy(
                "The queue is full; workers are catching up. Send the same batch again.",
                retry_after_seconds=5,
            )
        if self.requests >= self.settings.inflight_requests_max:
            raise Busy(_TOO_MANY, retry_after_seconds=1)
        network = capped_network(host) if self.settings.inflight_requests_per_address_max else None
        if network is not None:
            here = self.networks.get(network, 0)
            if here >= self.settings.inflight_requests_per_address_max:
                raise Busy("Too many requests at once from your network. Send the same batch again.")
            self.networks[network] = here + 1
        self.requests += 1
        return network

    def leave(self, network: str | None) -> None:
        """The request was answered."""
        self.requests -= 1
        if network is not None:
            here = self.networks.pop(network)
            if here > 1:
                self.networks[network] = here - 1

    def take(self, size: int) -> None:
        """`size` more bytes have come. Raises Busy, and then they are not held; every take needs its give.

        What is only announced takes no room: 256 senders that announced 1 MiB and said nothing shut everyone out.
        """
        if self.bytes + size > self.settings.inflight_bytes_max:
            raise Busy(_TOO_MANY, retry_after_seconds=1)
        self.bytes += size

    def give(self, size: int) -> None:
        """`size` bytes are no longer held."""
        self.bytes -= size

    def context(self, scope: Scope, header: dict[bytes, bytes], root: Any, received_at: int) -> Context:
        """The site a request is for, which is charged to its key and address. Raises Unauthorized, Forbidden, Limited,
        or Busy before the first registry."""
        if self.registry is None:
            raise Busy("The registry has not been published yet: run `tripstream migrate`, or wait for the clock.")
        named = root if isinstance(root, dict) else {}
        site_id, key = self._site_of(scope, header, named, self.registry, received_at)
        rule = self.registry.sites[site_id]
        origin = header.get(b"origin", b"").decode("latin-1")
        if origin and "*" not in rule.origins and origin not in rule.origins:
            raise Forbidden(f"The origin {origin} is not on the list of site {site_id}.")
        charges = self.rates.admit(site_id, key, (scope.get("client") or ("",))[0])
        return Context(site_id, rule, self.registry, self.settings, received_at, charges)

    async def knows_better(self) -> bool:
        """Whether the registry has become another one: a key counts from the moment in which it is made, and SDKs drop
        for ever what a 401 refused. One look serves all who wait for it. Raises Busy where Redis does not answer."""
        before = self._document
        if self._look is None:
            self._look = asyncio.create_task(self._look_again())
        if not await asyncio.shield(self._look):
            raise Busy("Whether this may be posted cannot be looked up now. Send the same batch again.")
        return self._document != before

    async def _look_again(self) -> bool:
        await asyncio.sleep(_LOOK_SECONDS)
        self._look = None  # who comes from now on may have a key that is younger than the answer
        try:
            self._adopt(await self._redis.get(registry.KEY))
        except (RedisError, OSError):
            return False
        return True

    def refuse_stranger(
        self, scope: Scope, header: dict[bytes, bytes], named: dict[str, Any], received_at: int
    ) -> None:
        """Raises Unauthorized for a key that opens nothing, before a large body is read. Charges nobody."""
        if self.registry is not None:
            self._site_of(scope, header, named, self.registry, received_at)

    def _adopt(self, document: Any) -> None:
        if document and document != self._document:
            try:
                self.registry = registry.decode(document)
                self.rates.adopt(self.registry.sites)
                self._document = document
            except (msgspec.DecodeError, UnicodeDecodeError):
                logger.error("the registry document cannot be read; the last good one stays in force")

    def _site_of(
        self, scope: Scope, header: dict[bytes, bytes], named: dict[str, Any], known: Registry, at: int
    ) -> tuple[str, str | None]:
        """The site, and the hash of the key that named it."""
        key = named.get("write_key") or _key_in(header)
        wanted = named.get("site_id")
        if isinstance(key, str) and key:
            digest = registry.key_hash(key).hex()
            rule = known.keys.get(digest)
            if rule is None or rule.role != "write" or rule.site_id not in known.sites:
                raise Unauthorized("This is no write key. `tripstream site add` makes one.")
            if rule.ends_at is not None and rule.ends_at <= at:  # the document may be older than the end
                raise Unauthorized("This write key has ended. `tripstream site rotate` makes one.")
            if wanted is not None and wanted != rule.site_id:
                raise Unauthorized("The write key belongs to another site than site_id says.")
            return rule.site_id, digest
        site_id = "default" if wanted is None else wanted
        site = known.sites.get(site_id) if isinstance(site_id, str) else None
        if site is None or not _is_open(site, scope, header):
            raise Unauthorized("This site takes events with its write key only: send it as write_key.")
        return str(site_id), None


async def durability(redis: Redis) -> str:
    """What an acknowledged append survives: fsync (power loss), everysec (all but about the last two seconds of a
    power loss), memory (nothing), or unknown where CONFIG is forbidden."""
    try:
        found = await redis.config_get("appendonly", "appendfsync", "no-appendfsync-on-rewrite")
    except RedisError:
        return "unknown"
    if found.get("appendonly") != "yes":
        return "memory" if found else "unknown"
    safe = found.get("appendfsync") == "always" and found.get("no-appendfsync-on-rewrite") == "no"
    return "fsync" if safe else "everysec" if found.get("appendfsync") != "no" else "memory"


peer_prefix = lru_cache(maxsize=65_536)(addresses.network)  # of peers only: texts in bodies may be 8 MiB long


@lru_cache(maxsize=65_536)
def capped_network(host: str) -> str | None:
    """The network whose requests count together, so that one sender cannot take all the room; None where no public
    address tells senders apart: on this machine and in private networks a peer is often a proxy, which is everybody."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None) or address
    return peer_prefix(host) if mapped.is_global else None


def _is_open(site: SiteRule, scope: Scope, header: dict[bytes, bytes]) -> bool:
    if site.open_to != "loopback":
        return site.open_to == "everyone"
    return is_local((scope.get("client") or ("",))[0], header, scope.get("http_version", ""))


def _key_in(header: dict[bytes, bytes]) -> str | None:
    """A bearer of a verified identity (a JWT) is no key, and may come beside one."""
    scheme, _, value = header.get(b"authorization", b"").partition(b" ")
    value = value.strip()
    is_key = scheme.lower() == b"bearer" and not value.startswith(b"eyJ")
    key = value if is_key else header.get(b"x-write-key") or header.get(b"apikey")
    return key.decode("latin-1") if key else None
