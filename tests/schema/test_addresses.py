"""Whole addresses of visitors are found by their names, and nothing else is touched."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from schema import addresses

ADDRESS = "203.0.113.77"
NAMES = [
    "ip",
    "IP",
    "$ip",
    "ips",
    "clientIp",
    "clientIP",
    "client_ip",
    "clientip",
    "remote_addr",
    "REMOTE_ADDR",
    "ipv4",
]
NAMES += ["remoteAddress", "$initial_ip", "ip_address", "ipAddress", "IPAddress", "ipaddress", "request_ip", "user-ip"]
NAMES += ["X-Forwarded-For", "x_forwarded_for", "xForwardedFor", "forwarded", "X-Real-IP", "CF-Connecting-IP", "ip6"]
OTHERS = [
    "forwarded_at",
    "forwarded_to",
    "trip",
    "trip_id",
    "tripId",
    "zip",
    "ship",
    "TRIP",
    "description",
    "clipped",
    "address",
    "email_address",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_means_an_address_is_known_at_once_and_when_it_is_looked_at(name: str) -> None:
    assert addresses.may_be_named(json.dumps({name: 1}))
    assert addresses.is_named(name)


@pytest.mark.parametrize("name", OTHERS)
def test_a_name_that_means_something_else_is_not(name: str) -> None:
    value = {name: ADDRESS}
    assert not addresses.cut(value)
    assert value == {name: ADDRESS}


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (ADDRESS, "203.0.113.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        (f"{ADDRESS}, 10.0.0.1", None),
        (f"{ADDRESS}:5000", None),
        ("[2001:db8::1]", None),
        ("1" * 200, "1" * 200),
        (f"1.2.3.4{'5' * 200}", None),
        ("3405803853", None),
        ("2001:db8:1:2:3:4:5:6, x", None),
        ("IP68", "IP68"),
        ("2026-11-21T10:00:00+02:00", "2026-11-21T10:00:00+02:00"),
        (1_795_255_200_000, 1_795_255_200_000),
        (Decimal("3405803853.0"), None),
        ({ADDRESS: 3, "203.0.113.9": 4, "x": 5}, {"203.0.113.0/24": 3, "203.0.113.0/24 2": 4, "x": 5}),
        (["10.0.0.1"] * 70, ["10.0.0.0/24"] * 64 + [None] * 6),
        (3_405_803_853, None),
        ([ADDRESS, {"v4": ADDRESS, "country": "IL"}], ["203.0.113.0/24", {"v4": "203.0.113.0/24", "country": "IL"}]),
        (True, True),
        (None, None),
        ("unknown", "unknown"),
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.113.77/32", "203.0.113.0/24"),
        ("2001:db8:1::/48", "2001:db8:1::/48"),
    ],
)
def test_what_stands_there_is_cut_to_its_network_or_dropped_if_it_may_hold_an_address(value: Any, left: Any) -> None:
    deep: Any = {"ip": value, "other": ADDRESS}
    for _ in range(5000):
        deep = [deep]
    addresses.cut(deep)
    for _ in range(5000):
        deep = deep[0]
    assert deep == {"ip": left, "other": ADDRESS}
