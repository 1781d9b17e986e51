"""Health, readiness, figures, documentation, and what each process needs to start."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ingest import app as tiny
from schema import db, sites
from schema.settings import Settings
from tests import make
from tests.ingest.serving import BATCH, SESSION, SINGLE, Server, drain, figures, select, serving
from tripstream.embedded_valkey import Valkey

NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"
ROOT = Path(__file__).parents[2]


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


def test_metrics_count_what_was_answered_accepted_and_refused(server: Server) -> None:
    def value(name: str) -> float:
        text = server.request("GET", "/metrics").text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    names = (
        'tripstream_ingest_requests_total{status="202"}',
        'tripstream_ingest_requests_total{status="400"}',
        'tripstream_events_accepted_total{site="default"}',
        'tripstream_events_rejected_total{reason="invalid_field"}',
    )
    before = [value(name) for name in names]
    server.post(make.body(make.event(0), make.event(1), make.event(2, position=-1)))
    server.post(b"")
    assert [value(name) - old for name, old in zip(names, before, strict=True)] == [1, 1, 2, 1]
    assert value("tripstream_backlog_batches") == 1
    drain(server.settings)
    assert value("tripstream_backlog_batches") == 0
    assert value("tripstream_events_stored_total") == 2
    assert 0 < value("tripstream_redis_memory_share") < 1


def test_no_stranger_can_make_a_new_time_series(server: Server) -> None:
    def series() -> set[str]:
        text = server.request("GET", "/metrics").text
        return {line.rsplit(" ", 1)[0] for line in text.splitlines() if line.startswith("tripstream_")}

    server.post(make.body(make.event(0, position=-1)))
    known = series()
    for n in range(20):
        server.post(make.body(make.event(n, event_type=f"x{n}", position=-1), site_id=f"s{n}"))
        server.post(make.body(make.event(n, event_type=f"x{n}", position=-1)), headers={"origin": f"https://{n}"})
    assert {name for name in series() - known if "status=" not in name} == set()


def test_the_documentation_knows_the_hot_routes_and_their_shapes(server: Server) -> None:
    document = server.request("GET", "/openapi.json").json()
    answers = {BATCH: "202", SINGLE: "202", SESSION: "200"}
    for path, status in answers.items():
        operation = document["paths"][path]["post"]
        assert status in operation["responses"]
        assert {"400", "401", "403", "408", "413", "415", "503"} <= operation["responses"].keys()
    names = document["components"]["schemas"].keys()
    assert {"NativeBatch", "NativeEvent", "Receipt", "Refusal", "SessionStart", "Session", "Problem"} <= names
    references = set(_references(document))
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= names
    assert {"/healthz", "/readyz", "/metrics"} <= document["paths"].keys()
    assert server.request("GET", "/openapi.json").json() == document


def _references(item: Any) -> Any:
    if isinstance(item, dict):
        yield from (value for key, value in item.items() if key == "$ref")
    for inner in item.values() if isinstance(item, dict) else item if isinstance(item, list) else []:
        yield from _references(inner)


def test_every_route_answers_options_and_unknown_ones_in_json(server: Server) -> None:
    document = server.request("GET", "/openapi.json").json()
    for path in (*document["paths"], "/docs", "/nowhere", BATCH + "/"):
        answer = server.request("OPTIONS", path)
        assert answer.status_code in (204, 404, 405), path
        if answer.status_code != 204:
            assert answer.json().keys() == {"code", "message"}


@pytest.mark.parametrize("given", [None, "Bearer", "Bearer wrong", "Basic c2VjcmV0", "Bearer secret "])
def test_draining_on_request_needs_the_admin_key(settings: Settings, given: str | None) -> None:
    with serving(settings.model_copy(update={"admin_key": SecretStr("secret")})) as server:
        server.post(make.body())
        headers = {} if given is None else {"authorization": given}
        answer = server.request("POST", "/process-events", headers=headers)
        if given == "Bearer secret ":
            assert answer.json()["processed"] == 3
        else:
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
            assert "secret" not in answer.text


def test_accepting_imports_no_database_and_no_queue_library() -> None:
    heavy = ("sqlalchemy", "alembic", "numpy", "rq", "psycopg", "psycopg_pool", "workers", "reports", "datasketches")
    code = f"import sys, ingest.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("[]", "", 0)


@pytest.mark.parametrize("module", ["ingest.app", "tripstream.app"])
def test_an_app_is_made_when_a_server_asks_for_it(module: str) -> None:
    code = f"import {module} as m; assert 'app' not in vars(m); print(type(m.app).__name__, hasattr(m, 'nothing'))"
    environment = {"DATABASE_URL": NOWHERE, "REDIS_URL": "redis://127.0.0.1:1", "PATH": ""}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("Ingest False", 0), done.stderr


@pytest.mark.parametrize("turns", range(6))
def test_it_ends_at_whatever_point_of_its_look_at_redis(settings: Settings, turns: int) -> None:
    async def let_run() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    with serving(settings) as server:
        server.run(let_run())
