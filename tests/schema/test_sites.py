"""Sites and keys: in Postgres as hashes, in Redis as one document that ingest can use without Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from schema import db, registry, sites, stream
from schema.errors import ConfigError
from schema.event import now
from schema.registry import KEY, KeyRule, SiteRule, key_hash
from schema.settings import Settings
from tests.make import HOUR, MINUTE
from tests.workers.pipeline import Pipeline


def site(**overrides: Any) -> dict[str, Any]:
    values = {
        "site_id": "shop",
        "name": "Shop",
        "time_zone": "Asia/Jerusalem",
        "origins": ["https://shop.example"],
        "open_to": "nobody",
        "strict": True,
    }
    return values | overrides


def test_a_site_and_its_key_are_published_as_ingest_reads_them(pipe: Pipeline) -> None:
    key = sites.add_site(pipe.connection, site())
    sites.publish(pipe.settings, pipe.redis)
    found = registry.decode(pipe.redis.get(KEY))
    assert found.sites == {
        "default": SiteRule(["*"], "loopback", False),
        "shop": SiteRule(["https://shop.example"], "nobody", True),
    }
    assert found.keys == {key_hash(key).hex(): KeyRule("shop", "write")}
    assert {"page_view", "mfa.enabled"} < found.event_types
    assert "homepage" in found.sources
    assert len(found.event_types) == 39


def test_a_key_is_good_for_its_role_at_its_own_site(pipe: Pipeline) -> None:
    write_key = sites.add_site(pipe.connection, site())
    assert sites.right(pipe.connection, write_key) == ("shop", "write")
    for role in ("read", "admin"):
        key = sites.add_key(pipe.connection, "shop", role)
        assert key.startswith(f"ts_{role}_")
        assert sites.right(pipe.connection, key) == ("shop", role)
    assert sites.right(pipe.connection, "") is None
    for site_id, role, wrong in (("shop", "owner", "role"), ("shoe", "read", "site")):
        with pytest.raises(ConfigError, match=f"no {wrong}"):
            sites.add_key(pipe.connection, site_id, role)


def test_a_rotated_key_works_beside_the_new_one_until_the_overlap_is_over(pipe: Pipeline) -> None:
    old = sites.add_site(pipe.connection, site())
    reading = sites.add_key(pipe.connection, "shop", "read")
    new = sites.rotate(pipe.connection, "shop", "write", overlap_hours=1)
    rules = sites.read(pipe.connection).keys
    ends_at = rules[key_hash(old).hex()].ends_at
    assert ends_at and abs(ends_at - now() - HOUR) < MINUTE
    assert rules[key_hash(new).hex()] == KeyRule("shop", "write")
    assert rules[key_hash(reading).hex()] == KeyRule("shop", "read")
    sites.rotate(pipe.connection, "shop", "write", overlap_hours=24)
    rules = sites.read(pipe.connection).keys
    assert rules[key_hash(old).hex()].ends_at == ends_at
    newest = sites.rotate(pipe.connection, "shop", "write", overlap_hours=0)
    assert {key_hash(newest).hex(), key_hash(reading).hex()} == sites.read(pipe.connection).keys.keys()
    assert sites.right(pipe.connection, new) is None
    with pytest.raises(ConfigError, match="no site 'shoe'"):
        sites.rotate(pipe.connection, "shoe", "write", 1)


def test_of_two_rotations_at_once_one_key_is_left_without_an_end(pipe: Pipeline) -> None:
    sites.add_site(pipe.connection, site())

    def rotate() -> None:
        with db.connect(pipe.settings) as connection:
            sites.rotate(connection, "shop", "write", 1)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(rotate) for _ in range(4)]:
            done.result()
    assert pipe.rows("SELECT count(*), count(ends_at) FROM site_keys") == [(5, 4)]


def test_a_revoked_key_ends_at_once_and_once(pipe: Pipeline) -> None:
    key = sites.add_site(pipe.connection, site())
    [shown] = sites.shown(pipe.connection, "shop")[1]
    sites.revoke(pipe.connection, "shop", shown["id"])
    assert sites.right(pipe.connection, key) is None
    [ended] = sites.shown(pipe.connection, "shop")[1]
    sites.revoke(pipe.connection, "shop", shown["id"])
    assert sites.shown(pipe.connection, "shop")[1] == [ended]
    assert (shown["state"], ended["state"]) == ("live", "ended")
    for site_id, key_id in (("default", shown["id"]), ("shop", 0)):
        with pytest.raises(ConfigError, match="has no key"):
            sites.revoke(pipe.connection, site_id, key_id)


def test_what_is_shown_of_a_key_opens_nothing(pipe: Pipeline) -> None:
    key = sites.add_site(pipe.connection, site(key_rate=5))
    rules, [shown] = sites.shown(pipe.connection, "shop")
    assert (rules["origins"], rules["key_rate"], rules["key_burst"]) == (["https://shop.example"], 5, None)
    assert shown["key"] == f"ts_write_…{key[-4:]}"
    assert shown.keys() == {"id", "role", "key", "created", "expires", "revoked", "state"}
    with pytest.raises(ConfigError, match="no site 'shoe'"):
        sites.shown(pipe.connection, "shoe")


def test_what_is_not_named_in_a_change_stays(pipe: Pipeline) -> None:
    sites.add_site(pipe.connection, site(key_rate=5, address_rate=0))
    sites.change_site(pipe.connection, "shop", {"strict": False, "key_burst": 9, "address_rate": -1})
    rule = sites.read(pipe.connection).sites["shop"]
    assert rule == SiteRule(["https://shop.example"], "nobody", False, key_rate=5, key_burst=9)
    sites.change_site(pipe.connection, "shop", {"origins": ["https://Other.example/"]})
    assert sites.read(pipe.connection).sites["shop"].origins == ["https://other.example"]
    for site_id, changes, what in (
        ("shoe", {}, "no site 'shoe'"),
        ("shop", {"open_to": "friends"}, "nobody, loopback or everyone"),
        ("shop", {"key_rate": -2}, "numbers from 0"),
        ("shop", {"origins": ["https://shop.example/en"]}, "is no origin"),
    ):
        with pytest.raises(ConfigError, match=what):
            sites.change_site(pipe.connection, site_id, changes)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, (20_000, 200_000, 5_000, 50_000)),
        ({"key_rate": 5, "address_rate": 0}, (5, 50, 0, 0)),
        ({"key_burst": 7, "address_rate": 2, "address_burst": 3}, (20_000, 7, 2, 3)),
    ],
)
def test_a_site_has_its_own_limits_or_those_of_the_settings(rule: dict[str, int], expected: tuple[int, ...]) -> None:
    assert registry.limits(SiteRule([], "nobody", False, **rule), Settings()) == expected


def test_a_burst_in_the_settings_is_not_that_of_a_site_with_a_rate_of_its_own() -> None:
    chosen = Settings(key_events_per_second_max=9, key_events_burst_max=1000)
    assert registry.limits(SiteRule([], "nobody", False), chosen)[:2] == (9, 1000)
    assert registry.limits(SiteRule([], "nobody", False, key_rate=5), chosen)[:2] == (5, 50)


def test_only_the_hash_of_a_key_is_kept(pipe: Pipeline) -> None:
    key = sites.add_site(pipe.connection, site())
    assert key.startswith("ts_write_")
    sites.publish(pipe.settings, pipe.redis)
    assert key.encode() not in pipe.redis.get(KEY)
    assert pipe.rows("SELECT key_hash FROM site_keys") == [(key_hash(key),)]
    assert registry.new_key("read") != registry.new_key("read")


def test_a_revoked_key_is_published_until_its_hour(pipe: Pipeline) -> None:
    sites.add_site(pipe.connection, site())
    for until, there in (("now() + interval '1 hour'", 1), ("now() - interval '1 second'", 0)):
        pipe.connection.execute(f"UPDATE site_keys SET revoked_at = {until}")
        assert len(sites.read(pipe.connection).keys) == there


def test_a_wrong_site_is_refused_whole(pipe: Pipeline) -> None:
    for wrong, what in (
        ({"site_id": "default"}, "'default' is there already"),
        ({"site_id": "No Such"}, "site ids are a-z"),
        ({"site_id": ""}, "site ids are a-z"),
        ({"time_zone": "Asia/Nowhere"}, "'Asia/Nowhere' is no time zone"),
        ({"open_to": "friends"}, "refused by sites_open_to_check"),
    ):
        with pytest.raises(ConfigError, match=what):
            sites.add_site(pipe.connection, site(**wrong))
    assert sites.ids(pipe.connection) == ["default"]
    assert pipe.rows("SELECT * FROM site_keys") == []


def test_the_list_says_what_each_was_sent(pipe: Pipeline) -> None:
    sites.add_site(pipe.connection, site())
    pipe.send()
    found = {row["site_id"]: (row["keys"], row["stored"]) for row in sites.listed(pipe.connection)}
    assert found == {"default": (0, 1), "shop": (1, 0)}


def test_the_start_publishes_and_opens_the_lanes(pipe: Pipeline) -> None:
    pipe.redis.flushall()
    sites.announce(pipe.settings)
    assert pipe.redis.exists(KEY)
    assert stream.known_lanes(pipe.redis, 0) == [0, 1]


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b'{"sites": 1, "keys": {}, "event_types": [], "sources": []}'])
def test_a_damaged_document_is_refused(document: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        registry.decode(document)
