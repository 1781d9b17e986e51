"""Who asks from this machine. In: a peer's address and the request's header names. Out: whether it is local."""

from __future__ import annotations

import ipaddress
from collections.abc import Container
from functools import lru_cache

_FORWARDED = (b"x-forwarded-for", b"forwarded", b"x-real-ip", b"x-forwarded-host", b"x-forwarded-proto", b"via")


@lru_cache(maxsize=65_536)
def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local(host: str, headers: Container[bytes]) -> bool:
    """A request that some proxy forwarded does not count as local, whoever delivered it."""
    return is_loopback(host) and not any(name in headers for name in _FORWARDED)
