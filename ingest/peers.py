"""Who really sends, where proxies stand in front. In: the peer, and X-Forwarded-For. Out: `client` of the scope, and
the country that the edge says, for all that reads them afterwards.

Only proxies that are named are believed. Only X-Forwarded-For is read: whoever reads `Forwarded` too lets a sender
write the one that its proxy passes on untouched.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

from starlette.types import Scope

from schema.local import networks
from schema.settings import Settings

COUNTRY = "tripstream.country"
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([\d.]+):\d+")
_COUNTRY = re.compile(rb"[A-Za-z]{2}")
_NO_COUNTRY = (b"XX", b"ZZ")  # what edges and CLDR say for unknown


class Proxies:
    """The proxies that are believed; false where there are none."""

    def __init__(self, settings: Settings) -> None:
        self._networks = networks(settings.trusted_proxies)
        self._country = settings.country_header.lower().encode()
        self._is_ours = lru_cache(maxsize=65_536)(self._lies_within)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def reveal(self, scope: Scope) -> None:
        """Put the sender's address where the proxy's is. Whether it was forwarded at all, the headers still say."""
        peer = address_in((scope.get("client") or ("",))[0])
        if peer is None or not self._is_ours(peer):
            return
        scope["client"] = (self._sender(peer, scope["headers"]), 0)
        if self._country:
            scope[COUNTRY] = _country(self._country, scope["headers"])

    def _sender(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The rightmost hop that is none of our proxies: what is left of it, its sender wrote. A hop that is no address
        was written by nobody we believe, so the one before it is as far as is known."""
        said = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
        for hop in reversed(said.split(",")):
            if (address := address_in(hop)) is None:
                return peer
            peer = address
            if not self._is_ours(peer):
                return peer
        return peer

    def _lies_within(self, host: str) -> bool:
        address = ipaddress.ip_address(host)
        return any(address in network for network in self._networks)


@lru_cache(maxsize=65_536)
def address_in(hop: str) -> str | None:
    """The address in a hop, which may have a port; an IPv4 address in IPv6's clothes is the IPv4 one."""
    hop = hop.strip()
    if found := _WITH_PORT.fullmatch(hop):
        hop = found[1] or found[2]
    try:
        address = ipaddress.ip_address(hop)
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def _country(header: bytes, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The last one counts: a proxy that adds its own to what it was sent adds it at the end."""
    said = [value.strip().upper() for name, value in headers if name == header]
    return said[-1].decode() if said and _COUNTRY.fullmatch(said[-1]) and said[-1] not in _NO_COUNTRY else None
