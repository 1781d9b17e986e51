"""Readiness, and what each process can do without. In: applications that lack something. Out: 503 that says what."""

from __future__ import annotations

import asyncio
import json

from pydantic import SecretStr

from ingest import app as tiny
from schema import db, sites
from schema.settings import Settings
from tests import make
from tests.ingest.serving import SESSION, Server, drain, figures, select, serving
from tripstream.embedded_valkey import Valkey

NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"


def ready(server: Server) -> tuple[int, list[str]]:
    answer = server.request("GET", "/readyz")
    assert answer.json()["ready"] == (answer.status_code == 200)
    return answer.status_code, answer.json()["reasons"]


def test_it_is_alive_and_ready(server: Server) -> None:
    alive = server.request("GET", "/healthz")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert ready(server) == (200, [])


def test_it_is_not_ready_without_redis_and_says_so(frail: Server, own_valkey: Valkey) -> None:
    own_valkey.stop(immediate=True)
    frail.look()
    assert ready(frail) == (503, ["Redis cannot be reached"])
    assert frail.request("GET", "/healthz").status_code == 200
    assert frail.request("GET", "/metrics").status_code == 200


def test_it_is_not_ready_before_the_registry_is_published(settings: Settings) -> None:
    for app in (None, tiny.create(settings)):
        with serving(settings, app, announced=False) as server:
            assert ready(server) == (503, ["the registry has not been published"])


def test_it_is_not_ready_without_postgres_unless_it_only_accepts(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": NOWHERE})
    sites.announce(settings)
    with serving(away, announced=False) as whole:
        status, [reason] = ready(whole)
        assert status == 503
        assert "Postgres" in reason
        assert NOWHERE not in reason
        assert whole.request("GET", "/metrics").status_code == 200
    with serving(away, tiny.create(away), announced=False) as small:
        assert ready(small) == (200, [])


def test_it_is_not_ready_on_an_older_schema_and_says_what_to_run(server: Server) -> None:
    with db.connect(server.settings, "owner") as connection:
        connection.execute("UPDATE schema_version SET version_num = '0000'")
    assert ready(server) == (503, ["the schema is at 0000: run `tripstream migrate`"])


def test_accepting_needs_no_postgres(settings: Settings) -> None:
    sites.announce(settings)
    away = settings.model_copy(update={"database_url": NOWHERE})
    visitor = json.dumps({"anonymous_id": str(make.uid(3))}).encode()
    for app in (None, tiny.create(away)):
        with serving(away, app, announced=False) as server:
            assert server.post(make.body()).status_code == 202
            assert server.post(visitor, SESSION).status_code == 200
    assert drain(settings) == 7
    assert figures(settings) == (7, 4, 3, 0)
    assert select(settings, "SELECT count(*) FROM sessions") == [(2,)]


def test_draining_on_request_needs_the_admin_key(settings: Settings) -> None:
    with serving(settings.model_copy(update={"admin_key": SecretStr("secret")})) as server:
        server.post(make.body())
        for given in (None, "Bearer", "Bearer wrong", "Basic c2VjcmV0"):
            headers = {} if given is None else {"authorization": given}
            answer = server.request("POST", "/process-events", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
            assert "secret" not in answer.text
        answer = server.request("POST", "/process-events", headers={"authorization": "Bearer secret "})
        assert answer.json()["processed"] == 3
        for role, status in (("admin", 200), ("write", 403), ("read", 403)):
            with db.connect(settings) as connection:
                key = sites.add_key(connection, "default", role)
            answer = server.request("POST", "/process-events", headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == status


def test_it_ends_at_whatever_point_of_its_look_at_redis(settings: Settings) -> None:
    async def let_run(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    for turns in range(8):
        with serving(settings) as server:
            server.run(let_run(turns))
