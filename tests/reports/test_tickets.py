"""Who may listen: by a key, from this machine, or with a ticket, which is as good as its key and for as long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import psycopg
import pytest

from reports import tickets
from schema import db, registry, rights
from schema.event import now
from schema.settings import Settings
from tests.ingest.serving import Server, serving
from tests.reports.listening import AWAITED_SECONDS, LOCAL, TICKET, Ear, bearer, ears, happen, key_of, live_of
from tests.workers.pipeline import Pipeline

CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    with serving(settings) as running:
        yield running


def test_a_hundred_tickets_that_come_back_at_once_cost_postgres_no_more_than_the_pool(server: Server) -> None:
    """As after a restart: each asked whether its key lives with a connection of its own, forty at once."""
    key = key_of(server.settings, "shop")
    secret = server.request("POST", TICKET, headers=bearer(key)).json()["ticket"]
    at_most = server.settings.read_connections_max

    async def listening() -> int:
        with psycopg.connect(server.settings.database_url) as owner:
            before = count = owner.execute(CONNECTIONS).fetchall()[0][0]  # the catalogue's, say
            owner.execute("LOCK site_keys")  # so that whoever asks stays
            all_ = [Ear(server.app, f"ticket={secret}") for _ in range(100)]
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline and count <= before + at_most:
                await asyncio.sleep(0.01)
                owner.execute("SELECT pg_stat_clear_snapshot()")
                count = owner.execute(CONNECTIONS).fetchall()[0][0]
        assert {await ear.status() for ear in all_} == {200}
        for ear in all_:
            await ear.hang_up()
        return int(count - before)

    assert server.run(listening()) <= at_most


def test_a_ticket_stands_for_its_key_and_its_site(server: Server, pipe: Pipeline) -> None:
    key = key_of(server.settings, "shop")
    happen(pipe, 0, site_id="shop")
    made = server.request("POST", TICKET, headers=bearer(key))
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    assert (made.json()["siteId"], made.json()["seconds"]) == ("shop", 60)
    secret = made.json()["ticket"]
    assert key not in secret

    async def listening() -> None:
        ear = Ear(server.app, f"ticket={secret}", host="figures.example")
        assert await ear.status() == 200
        assert (await ear.until(1))["siteId"] == "shop"
        at_home = Ear(server.app)
        assert await at_home.status() == 200
        assert (await at_home.figures())["lastHalfHour"]["events"] == 0
        by_key = Ear(server.app, host="figures.example", **bearer(key))
        assert await by_key.status() == 200
        assert (await by_key.until(1))["siteId"] == "shop"
        for one in (ear, at_home, by_key):
            await one.hang_up()

    server.run(listening())


def test_a_revoked_key_ends_its_streams_and_its_tickets(server: Server, pipe: Pipeline) -> None:
    key, other = (key_of(server.settings, "shop") for _ in range(2))
    secrets = [server.request("POST", TICKET, headers=bearer(k)).json()["ticket"] for k in (key, other)]

    async def listening() -> None:
        ends, stays = [Ear(server.app, f"ticket={secret}") for secret in secrets]
        by_key = Ear(server.app, **bearer(key))
        for one in (ends, stays, by_key):
            assert await one.status() == 200
            await one.figures()
        pipe.connection.execute("DELETE FROM site_keys WHERE key_hash = %s", (registry.key_hash(key),))
        await live_of(server).check()
        for one in (ends, by_key):
            await asyncio.wait_for(one.task, AWAITED_SECONDS)
        assert not stays.task.done()
        live_of(server)._living.clear()  # as a second later
        again = Ear(server.app, f"ticket={secrets[0]}")
        assert await again.status() == 401
        assert b"/api/live/ticket" in await again.body()
        await stays.hang_up()

    server.run(listening())


def test_a_ticket_in_use_lives_on_and_ends_after_its_longest_time(server: Server, pipe: Pipeline) -> None:
    secret = server.request("POST", TICKET, headers=LOCAL).json()["ticket"]
    (kept,) = pipe.redis.keys("rt:ticket:*")

    async def listening() -> None:
        (ear,) = await ears(server.app, 1, query=f"ticket={secret}")
        pipe.redis.expire(kept, 5)
        await live_of(server).check()
        assert pipe.redis.ttl(kept) > 5
        live_of(server)._clock = lambda: now() + (tickets.SECONDS_MAX + 1) * 1_000_000
        await live_of(server).check()
        await asyncio.wait_for(ear.task, AWAITED_SECONDS)

    server.run(listening())


def test_whoever_may_not_read_may_not_listen(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    write_key = bearer(key_of(server.settings, "shop", "write"))
    asked = [("GET", "/api/live"), ("POST", TICKET), ("GET", "/api/stats/realtime")]
    for method, path in asked:
        assert server.request(method, path).status_code == 401  # by a name that is not this machine's
        assert server.request(method, path, host="203.0.113.7", headers=LOCAL).status_code == 401
        assert server.request(method, path, headers=bearer("ts_read_none")).status_code == 401
        wrong = server.request(method, path, headers=write_key)
        assert (wrong.status_code, wrong.json()["code"]) == (403, "forbidden")
    monkeypatch.setattr(rights, "scope_of", lambda *_: db.Scope("default", "somebody"))
    for method, path in asked:
        owner = server.request(method, path, headers=LOCAL)
        assert (owner.status_code, owner.json()["code"]) == (403, "forbidden")


def test_what_is_no_ticket_opens_nothing(server: Server) -> None:
    for ticket in ("", "made-up", "é"):
        answer = server.request("GET", "/api/live", params={"ticket": ticket}, headers=LOCAL)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    answer = server.request("GET", "/api/live", params={"ticket": "x" * 101}, headers=LOCAL)
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "ticket")
