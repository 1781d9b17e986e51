"""How much one key and one address may send. In: events, and a clock that stands. Out: 429 with the seconds to wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ingest import rates
from ingest.rates import Rates, limited_address, spend
from schema import db, sites
from schema.errors import Limited
from schema.registry import SiteRule
from schema.settings import Settings
from tests import make
from tests.ingest.serving import BATCH, SESSION, SINGLE, Server, add_site

STRANGER, OTHER = "203.0.113.77", "203.0.113.78"
SECOND = 1_000_000_000


class Clock:
    """Stands until it is moved, in nanoseconds."""

    at = 50 * SECOND

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def clock(shared: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(shared.gate.rates, "_clock", clock)
    yield clock


def limited(server: Server, site_id: str, **limits: int) -> str:
    """A new site's key."""
    key = add_site(server.settings, site_id, **limits)
    server.look()
    return key


def post(server: Server, key: str, events: int = 1, host: str = STRANGER, path: str = BATCH, **more: Any) -> Any:
    return server.post(make.body(*map(make.event, range(events)), write_key=key), path, host=host, **more)


def test_a_key_has_its_burst_and_then_its_rate(shared: Server, clock: Clock) -> None:
    key = limited(shared, "burst", key_rate=2, key_burst=5)
    assert [post(shared, key, n).status_code for n in (3, 2, 1)] == [202, 202, 429]
    clock.at += SECOND // 2
    assert [post(shared, key, host="127.0.0.1").status_code for _ in range(2)] == [202, 429]
    clock.at += 100 * SECOND
    assert [post(shared, key, 1).status_code for _ in range(6)] == [202] * 5 + [429]


def test_the_answer_says_in_whole_seconds_when_to_come_again_and_pages_may_read_it(
    shared: Server, clock: Clock
) -> None:
    key = limited(shared, "told", key_rate=2, key_burst=1)
    assert post(shared, key, 20).status_code == 202  # whole, though it is more than the burst
    answer = post(shared, key, headers={"origin": "https://shop.example"})
    assert (answer.status_code, answer.json().keys()) == (429, {"code", "message"})
    assert answer.json()["code"] == "rate_limited"
    assert answer.headers["retry-after"] == "10"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "retry-after" in answer.headers["access-control-expose-headers"]
    clock.at += 10 * SECOND - 1
    assert post(shared, key).headers["retry-after"] == "1"
    clock.at += 1
    assert post(shared, key).status_code == 202


def test_what_was_limited_is_counted_nowhere_and_costs_nothing(shared: Server, clock: Clock) -> None:
    key = limited(shared, "uncounted", key_rate=1, key_burst=1, address_rate=1, address_burst=1)
    assert post(shared, key).status_code == 202
    for host in (STRANGER, OTHER):
        for _ in range(5):
            assert post(shared, key, host=host).status_code == 429
    clock.at += SECOND
    assert post(shared, key, host=OTHER).status_code == 202
    assert (shared.gate.requests, shared.gate.bytes) == (0, 0)


def test_an_address_has_its_own_limit_whatever_its_keys(shared: Server, clock: Clock) -> None:
    key = limited(shared, "address", address_rate=1, address_burst=2)
    hosts = (STRANGER, STRANGER, STRANGER, OTHER, f"::ffff:{OTHER}", OTHER)
    assert [post(shared, key, host=host).status_code for host in hosts] == [202, 202, 429, 202, 202, 429]
    assert [post(shared, key, host="127.0.0.1").status_code for _ in range(5)] == [202] * 5


def test_an_ipv6_sender_is_its_network_of_64_bits(shared: Server, clock: Clock) -> None:
    key = limited(shared, "ipv6", address_rate=1, address_burst=1)
    hosts = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1")
    assert [post(shared, key, host=host).status_code for host in hosts] == [202, 429, 202]


def test_sites_do_not_share_a_limit_and_keys_of_one_site_neither(shared: Server, clock: Clock) -> None:
    key, other = limited(shared, "one", key_rate=1, key_burst=1), limited(shared, "two", key_rate=1, key_burst=1)
    with db.connect(shared.settings) as connection:
        third = sites.rotate(connection, "two", "write", 1)
    sites.announce(shared.settings)
    shared.look()
    assert [post(shared, one).status_code for one in (key, other, third, key, other, third)] == [202] * 3 + [429] * 3


@pytest.mark.parametrize("path", [SINGLE, SESSION, "/api/v2/recommendations"])
def test_every_route_that_takes_a_write_key_is_limited(shared: Server, clock: Clock, path: str) -> None:
    key = limited(shared, path.strip("/").replace("/", "-"), key_rate=1, key_burst=1)
    assert post(shared, key).status_code == 202
    body = b'{"write_key":"%s","anonymous_id":"%s"}' % (key.encode(), str(make.uid(3)).encode())
    answer = shared.post(body, path, host=STRANGER)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "rate_limited", "1")


def test_a_changed_limit_is_in_force_at_once_and_what_was_spent_stays_spent(shared: Server, clock: Clock) -> None:
    key = limited(shared, "changed", key_rate=1, key_burst=1)
    assert [post(shared, key).status_code for _ in range(2)] == [202, 429]
    for changes, status in (({"key_burst": 2}, 202), ({}, 429), ({"key_rate": 0}, 202)):
        with db.connect(shared.settings) as connection:
            sites.change_site(connection, "changed", changes)
        sites.announce(shared.settings)
        shared.look()
        assert post(shared, key).status_code == status, changes


def test_nobody_meets_the_settings_limits_by_accident() -> None:
    table = Rates(Settings(), Clock())
    table.adopt({"shop": SiteRule([], "everyone", False)})
    for _ in range(400):
        spend(table.admit("shop", "key", STRANGER), 99)
    assert table.admit("shop", None, "127.0.0.1") == ()
    assert len(table.admit("shop", "key", "::1")) == 1


def test_the_buckets_in_memory_have_a_bound_and_the_last_used_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_BUCKETS_MAX", 100)
    table = Rates(Settings(address_events_per_second_max=1, address_events_burst_max=1), Clock())
    table.adopt({"shop": SiteRule([], "everyone", False)})
    table.admit("shop", None, STRANGER)
    for n in range(1000):
        table.admit("shop", None, f"2001:db8:0:{n:x}::1")
        with pytest.raises(Limited):
            table.admit("shop", None, STRANGER)
    assert len(table._young) + len(table._old) <= 200


@pytest.mark.parametrize(
    ("host", "address"),
    [
        (STRANGER, STRANGER),
        ("10.0.0.1", "10.0.0.1"),
        (f"::ffff:{STRANGER}", STRANGER),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        *((host, None) for host in ("127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1", "", "testclient")),
    ],
)
def test_who_is_one_sender(host: str, address: str | None) -> None:
    assert limited_address(host) == address
