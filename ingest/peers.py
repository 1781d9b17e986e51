"""Who really sends, where proxies stand in front. In: the peer, and X-Forwarded-For. Out: `client` of the scope, and
the country that the edge says, for all that reads them afterwards.

Only proxies that are named are believed. Only X-Forwarded-For is read: whoever reads `Forwarded` too lets a sender
write the one that its proxy passes on untouched.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from starlette.types import Scope

from schema.local import networks
from schema.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
COUNTRY = "tripstream.country"
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([\d.]+):\d+")
_COUNTRY = re.compile(rb"(?!XX|ZZ)[A-Z]{2}")  # those are what edges and CLDR say for unknown
_REMEMBERED, _BYTES_MAX = 16_384, 100  # what is longer is looked at each time, so that nobody fills the memory


class Proxies:
    """The proxies that are believed."""

    def __init__(self, settings: Settings) -> None:
        self._networks = networks(settings.trusted_proxies)
        self._country = settings.country_header.lower().encode()
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._sender)

    def reveal(self, scope: Scope) -> None:
        """Put the sender's address where the proxy's is. Whether it was forwarded at all, the headers still say."""
        said = country = b""
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                said = said + b"," + value if said else value
            elif name == self._country:  # the last one counts: a proxy that adds its own adds it at the end
                country = value
        peer = (scope.get("client") or ("",))[0]
        find = self._remembered if len(said) <= _BYTES_MAX else self._sender
        if (sender := find(peer, said)) is not None:
            scope["client"] = (sender, 0)
            if country:
                scope[COUNTRY] = country.decode() if _COUNTRY.fullmatch(country := country.strip().upper()) else None

    def _sender(self, peer: str, said: bytes) -> str | None:
        """The rightmost hop that is none of our proxies: what is left of it, its sender wrote. A hop that is no address
        was written by nobody we believe, so the one before it is as far as is known. None where the peer is no proxy.
        """
        known = address_in(peer)
        if known is None or not self._is_ours(known):
            return None
        for hop in reversed(said.decode("latin-1").split(",")):
            if (address := address_in(hop)) is None:
                break
            known = address
            if not self._is_ours(known):
                break
        return str(known)

    def _is_ours(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def address_in(hop: str) -> Address | None:
    """The address in a hop, which may have a port; an IPv4 address in IPv6's clothes is the IPv4 one."""
    hop = hop.strip()
    if found := _WITH_PORT.fullmatch(hop):
        hop = found[1] or found[2]
    try:
        address = ipaddress.ip_address(hop)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
