"""Sites and keys: in Postgres as hashes, in Redis as one document that ingest can use without Postgres."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schema import registry, sites, stream
from schema.errors import ConfigError
from schema.registry import KEY, KeyRule, SiteRule, key_hash
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
    assert len(found.event_types) == 37


def test_a_read_key_reads_its_own_site_and_no_other_key_reads(pipe: Pipeline) -> None:
    write_key = sites.add_site(pipe.connection, site())
    key = sites.add_key(pipe.connection, "shop", "read")
    assert key.startswith("ts_read_")
    assert sites.of_read_key(pipe.connection, key) == "shop"
    assert sites.of_read_key(pipe.connection, write_key) is sites.of_read_key(pipe.connection, "") is None
    for site_id, role, wrong in (("shop", "admin", "role"), ("shoe", "read", "site")):
        with pytest.raises(ConfigError, match=f"no {wrong}"):
            sites.add_key(pipe.connection, site_id, role)


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
