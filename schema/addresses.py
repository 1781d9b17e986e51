"""Addresses of visitors in what clients send, cut to their network. In: decoded JSON. Out: the same without them.

Nothing that is queued or stored holds a whole address where its name says that it is one, however deep it stands. A
name says so in one of its words: ip, clientIp, $initial_ip, remote_addr, X-Forwarded-For; `trip` does not.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

_ADDRESS_MAX = 100  # characters, with a zone
_PARSED_MAX = 64  # of one event: to parse an address takes 10 µs; further ones become null
_PLACES = "client|external|host|local|login|origin|peer|public|real|remote|request|server|source|user|visitor"
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAMES = re.compile(
    rf"(?<![a-z])(?:(?:{_PLACES})?ip(?:s|v?[46]|addr(?:ess(?:es)?)?)?|(?:remote|peer)[_.-]?addr(?:ess)?"
    r"|(?:x[_.-]?)?forwarded[_.-]?for|^(?:x[_.-]?)?forwarded$)(?![a-z])"
)
_HOLDS = re.compile(r"\d\.\d+\.\d+\.\d|::|(?:[0-9a-fA-F]{1,4}:){7}|^\d{8,10}$")  # also with a port, or several


def network(host: str) -> str | None:
    """An address, or a network, cut to /24 (IPv4) or /48 (IPv6); None for anything else."""
    if len(host) > _ADDRESS_MAX:
        return None
    try:
        whole = ipaddress.ip_interface(host)
    except ValueError:
        return None
    mapped = getattr(whole.ip, "ipv4_mapped", None) or whole.ip
    bits = min(whole.network.prefixlen, 24 if mapped.version == 4 else 48)
    return str(ipaddress.ip_network((mapped, bits), strict=False))


def may_be_named(text: str) -> bool:
    """Whether JSON may have a name that says so: a look that is cheap, because all events are looked at."""
    low = text.lower()
    return ("ip" in low and low.count("ip") > low.count("trip")) or "addr" in low or "forwarded" in low


def is_named(name: str) -> bool:
    """Whether a value of this name is an address."""
    low = name.lower()
    may = len(name) <= _ADDRESS_MAX and ("ip" in low or "addr" in low or "forwarded" in low)
    return may and _NAMES.search(_WORDS.sub("_", name).lower()) is not None


def cut(value: Any) -> bool:
    """Cut them in place, in keys too; what stands there, may hold one and is none, becomes null. Returns whether there
    was any."""
    found = False
    parse = _bounded()
    waiting = [(value, False)]  # and not by recursion: what is quarantined nests as deep as it likes
    while waiting:
        inside, named = waiting.pop()
        for key, one in list(inside.items() if isinstance(inside, dict) else enumerate(inside)):
            is_address = named or (isinstance(key, str) and is_named(key))
            if named and isinstance(key, str) and _HOLDS.search(key):
                del inside[key]
                key, found = _free(inside, parse(key) or "address"), True
                inside[key] = one
            if isinstance(one, dict | list):
                waiting.append((one, is_address))
            elif is_address and (less := _less(one, parse)) != one:
                inside[key] = less
                found = True
    return found


def _bounded() -> Callable[[str], str | None]:
    """`network`, of the first addresses that it is asked for."""
    left = iter(range(_PARSED_MAX))
    return lambda text: None if next(left, None) is None else network(text)


def _free(inside: dict[str, Any], name: str) -> str:
    """The name, or where others have it, one beside theirs."""
    return name if name not in inside else f"{name} {len(inside)}"


def _less(one: Any, parse: Callable[[str], str | None]) -> Any:
    if isinstance(one, str):
        return parse(one) if _HOLDS.search(one) else one
    # an IPv4 address is a number too
    return None if isinstance(one, int | float | Decimal) and 1 << 24 <= one < 1 << 32 else one
