"""Who may post to which site. In: keys, site ids, origins, addresses. Out: 202, or 401 and 403 that say why."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from ingest.gate import peer_prefix
from schema import addresses, db, registry, sites
from schema.errors import Unauthorized
from tests import make
from tests.ingest.serving import BATCH, Server, Site, add_site, drain, select

FORWARDING = ["X-Forwarded-For", "forwarded", "x-real-ip", "via", "X-Forwarded-Proto", "x-forwarded-port"]
FORWARDING += ["cf-connecting-ip", "True-Client-IP", "x-client-ip", "x-forwarded-server", "x-forwarded-prefix"]
STRANGER = "203.0.113.77"


def status(server: Server, host: str = "127.0.0.1", headers: Any = None, **more: Any) -> int:
    answer = server.post(make.body(make.event(0), **more), host=host, headers=headers)
    assert answer.status_code == 202 or answer.json().keys() == {"code", "message"}
    return answer.status_code


@pytest.mark.parametrize("name", ["write_key", "authorization", "x-write-key", "apikey"])
def test_a_key_opens_its_site_wherever_it_is_sent(site: Site, name: str) -> None:
    if name == "write_key":
        assert status(site.server, STRANGER, write_key=site.key) == 202
    else:
        value = f"bEaReR  {site.key} " if name == "authorization" else site.key
        assert status(site.server, STRANGER, {name: value}) == 202
    assert site.figures() == (1, 1, 0, 0)


def test_a_key_and_a_site_that_disagree_are_refused(site: Site) -> None:
    assert status(site.server, write_key=site.key, site_id=site.site_id) == 202
    assert status(site.server, write_key=site.key, site_id="default") == 401
    assert status(site.server, write_key=site.key, site_id=5) == 401


@pytest.mark.parametrize("key", ["x", "ts_write_", "é" * 5000, "ts_write_" + "A" * 43])
def test_an_unknown_key_is_refused_even_where_none_is_needed(shared: Server, key: str) -> None:
    answer = shared.post(make.body(make.event(0), write_key=key))
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert key not in answer.text


def test_a_key_and_a_site_count_from_the_moment_in_which_they_are_made(shared: Server) -> None:
    assert status(shared, STRANGER, write_key=add_site(shared.settings, "new")) == 202
    add_site(shared.settings, "new-and-open", open_to="everyone")
    assert status(shared, STRANGER, site_id="new-and-open") == 202


def test_few_looks_at_the_registry_serve_all_strangers_who_wait(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, looks = site.server.gate, []
    look_again = gate._look_again

    async def counted() -> bool:
        looks.append(1)
        return await look_again()

    async def many() -> list[int]:
        async with site.server.client() as client:
            body = make.body(make.event(0), write_key="of nobody")
            answers = await asyncio.gather(*(client.post(BATCH, content=body) for _ in range(50)))
            return [one.status_code for one in answers]

    monkeypatch.setattr(gate, "_look_again", counted)
    assert site.server.run(many()) == [401] * 50
    found = len(looks)
    assert 1 <= found < 10  # one a twentieth of a second, for as long as they come
    assert status(site.server, write_key=site.key) == 202
    assert len(looks) == found


def test_a_read_key_does_not_write_and_a_revoked_key_no_longer_does(site: Site) -> None:
    settings, read_key = site.server.settings, registry.new_key("read")
    with db.connect(settings, "owner") as connection:
        connection.execute(
            "INSERT INTO site_keys (key_hash, site_id, role) VALUES (%s, %s, 'read')",
            (registry.key_hash(read_key), site.site_id),
        )
        connection.execute(
            "UPDATE site_keys SET revoked_at = now() WHERE key_hash = %s", (registry.key_hash(site.key),)
        )
    assert status(site.server, write_key=site.key) == 202
    sites.announce(settings)
    site.server.look()
    assert status(site.server, write_key=site.key) == 401
    assert status(site.server, write_key=read_key) == 401


def test_a_rotated_key_stops_at_its_time_though_nothing_was_published_since(site: Site) -> None:
    gate, header = site.server.gate, {b"apikey": site.key.encode()}
    with db.connect(site.server.settings) as connection:
        new = sites.rotate(connection, site.site_id, "write", overlap_hours=1)
    sites.announce(site.server.settings)
    site.server.look()
    assert gate.registry
    ends_at = gate.registry.keys[registry.key_hash(site.key).hex()].ends_at
    assert ends_at
    for at in (ends_at - 1, ends_at):
        assert gate.context({}, {b"apikey": new.encode()}, {}, at).site_id == site.site_id
    assert gate.context({}, header, {}, ends_at - 1).site_id == site.site_id
    with pytest.raises(Unauthorized, match="has ended"):
        gate.context({}, header, {}, ends_at)


def test_a_key_beside_a_verified_identity_is_the_one_that_counts(site: Site) -> None:
    bearer = {"authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"}
    assert status(site.server, STRANGER, bearer | {"apikey": site.key}) == 202
    assert status(site.server, STRANGER, bearer | {"x-write-key": site.key}) == 202
    assert status(site.server, STRANGER, bearer) == 401


def test_keys_are_kept_as_hashes_only(site: Site) -> None:
    with redis.Redis.from_url(site.server.settings.redis_url) as client:
        document = client.get(registry.KEY)
    assert isinstance(document, bytes)
    assert registry.key_hash(site.key).hex().encode() in document
    assert site.key.encode() not in document


def test_a_closed_site_needs_its_key_an_unknown_one_does_not_exist(site: Site) -> None:
    for site_id in (site.site_id, "nowhere", "", 5, ["default"], {"a": 1}, True):
        assert status(site.server, site_id=site_id) == 401


@pytest.mark.parametrize(("open_to", "local", "stranger"), [("everyone", 202, 202), ("loopback", 202, 401)])
def test_an_open_site_says_to_whom(shared: Server, open_to: str, local: int, stranger: int) -> None:
    add_site(shared.settings, f"open-{open_to}", open_to=open_to)
    shared.look()
    assert status(shared, "127.0.0.1", site_id=f"open-{open_to}") == local
    assert status(shared, STRANGER, site_id=f"open-{open_to}") == stranger


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", 202), ("127.9.8.7", 202), ("::1", 202), (STRANGER, 401), ("10.0.0.1", 401)],
)
def test_the_default_site_is_open_to_this_machine_only(shared: Server, host: str, expected: int) -> None:
    assert status(shared, host) == expected


@pytest.mark.parametrize("name", FORWARDING)
@pytest.mark.parametrize("value", ["127.0.0.1", "", "garbage", "for=127.0.0.1"])
def test_what_a_proxy_forwarded_is_not_local_whatever_it_says(shared: Server, name: str, value: str) -> None:
    assert status(shared, "127.0.0.1", {name: value}) == 401


@pytest.mark.parametrize(("version", "expected"), [("1.1", True), ("2", True), ("1.0", False), ("0.9", False)])
def test_http_1_0_is_not_local_as_nginx_forwards_in_it_and_says_nothing_else(
    shared: Server, version: str, expected: bool
) -> None:
    scope = {"client": ("127.0.0.1", 5), "http_version": version}
    if expected:
        assert shared.gate.context(scope, {}, {}, make.T0).site_id == "default"
    else:
        with pytest.raises(Unauthorized):
            shared.gate.context(scope, {}, {}, make.T0)


def test_only_listed_origins_may_post_where_there_is_a_list(shared: Server) -> None:
    key = add_site(shared.settings, "listed", origins=["https://shop.example"])
    shared.look()
    assert status(shared, STRANGER, {"origin": "https://shop.example"}, write_key=key) == 202
    assert status(shared, STRANGER, write_key=key) == 202
    for origin in ("https://evil.example", "null", "http://shop.example", "https://shop.example:444"):
        assert status(shared, STRANGER, {"origin": origin}, write_key=key) == 403
    answer = shared.post(make.body(write_key=key), headers={"origin": "https://evil.example"})
    assert answer.json()["code"] == "forbidden"
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_lenient_site_registers_what_it_sees_and_a_strict_one_refuses_it(shared: Server) -> None:
    for site_id, strict in (("lenient", False), ("strict", True)):
        key = add_site(shared.settings, site_id, strict=strict)
        shared.look()
        seen = make.event(0, event_type=f"new.{site_id}", source=f"new-{site_id}")
        receipt = shared.post(make.body(seen, make.event(1, source="email"), write_key=key)).json()
        assert (receipt["accepted"], len(receipt["rejected"])) == ((1, 1) if strict else (2, 0))
    drain(shared.settings)
    types = select(shared.settings, "SELECT event_type, seeded FROM event_types WHERE event_type LIKE 'new.%'")
    assert types == [("new.lenient", False)]


@pytest.mark.parametrize(
    ("host", "prefix"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("testclient", None),
        ("fe80::1%" + "x" * 100, None),
        ("", None),
    ],
)
def test_an_address_is_cut_to_its_network(host: str, prefix: str | None) -> None:
    assert peer_prefix(host) == prefix


def test_what_bodies_call_an_address_is_not_remembered(shared: Server) -> None:
    status(shared)
    before = peer_prefix.cache_info()
    long = "x" * (1 << 20)
    assert shared.post(f'{{"ip":"{long}","batch":[{{"ip":"{long}"}}]}}'.encode(), "/v1/batch").status_code == 200
    assert peer_prefix.cache_info().currsize == before.currsize
    assert not hasattr(addresses.network, "cache_info")


@pytest.mark.parametrize("document", [b"not JSON", b"\xff\xfe", b"{}", b'{"sites":[]}', b"[" * 5000])
def test_a_registry_that_cannot_be_read_leaves_the_last_good_one_in_force(shared: Server, document: bytes) -> None:
    with redis.Redis.from_url(shared.settings.redis_url) as client:
        client.set(registry.KEY, document)
        shared.look()
        assert status(shared) == 202
        client.delete(registry.KEY)
    shared.look()
    assert status(shared) == 202
    sites.announce(shared.settings)
