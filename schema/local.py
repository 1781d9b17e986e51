"""Who asks from this machine. In: a peer's address, the request's header names, its HTTP version, its Host. Out:
whether it is local.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAMES = (
    "via forwarded x-forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-forwarded-server "
    "x-forwarded-by x-forwarded-scheme x-forwarded-ssl x-forwarded-prefix x-original-forwarded-for x-real-ip "
    "x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip fastly-client-ip"
)
_FORWARDED = frozenset(_NAMES.encode().split())
_OF_PROXIES = ("1.0", "0.9")  # what nginx speaks if nobody told it otherwise, and says nothing else of itself


@lru_cache(maxsize=65_536)
def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_this_machine(host: str) -> bool:
    """Whether a Host header, with or without a port, is a loopback name. A browser that was lured here by another name
    for this address, or a proxy that tells nothing of itself, mostly sends another one."""
    return (
        re.fullmatch(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", host.strip(), re.ASCII | re.IGNORECASE) is not None
    )


def is_local(host: str, headers: Iterable[bytes], http_version: str) -> bool:
    """A request that some proxy forwarded does not count as local, whoever delivered it."""
    return is_loopback(host) and http_version not in _OF_PROXIES and _FORWARDED.isdisjoint(headers)


def asks_here(headers: Mapping[str, str], host: str | None, http_version: str) -> bool:
    """Whether a request is local, and meant for a loopback name."""
    names = {name.encode("latin-1") for name in headers}
    return host is not None and names_this_machine(headers.get("host", "")) and is_local(host, names, http_version)


def networks(said: str) -> list[Network]:
    """Addresses and networks that are separated by commas. Raises ValueError naming the one that is neither."""
    return [ipaddress.ip_network(one.strip()) for one in said.split(",") if one.strip()]
