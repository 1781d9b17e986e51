"""Figures for Prometheus, documentation, and what a process loads to start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import make
from tests.ingest.serving import BATCH, SESSION, SINGLE, Server, drain
from tests.tripstream.waiting import until

NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"
ROOT = Path(__file__).parents[2]


def test_metrics_count_what_was_answered_accepted_and_refused(shared: Server) -> None:
    def value(name: str) -> float:
        text = shared.request("GET", "/metrics").text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    names = (
        'tripstream_ingest_requests_total{status="202"}',
        'tripstream_ingest_requests_total{status="400"}',
        'tripstream_events_accepted_total{site="default"}',
        'tripstream_events_rejected_total{reason="invalid_field"}',
    )
    before = [value(name) for name in names]
    shared.post(make.body(make.event(0), make.event(1), make.event(2, position=-1)))
    shared.post(b"")
    assert [value(name) - old for name, old in zip(names, before, strict=True)] == [1, 1, 2, 1]
    assert value("tripstream_backlog_batches") >= 1
    drain(shared.settings)
    assert value("tripstream_backlog_batches") == 0
    until(lambda: value("tripstream_events_stored_total") >= 2, "Postgres is asked again, within a second")
    assert 0 < value("tripstream_redis_memory_share") < 1


def test_no_stranger_can_make_a_new_time_series(shared: Server) -> None:
    def series() -> set[str]:
        text = shared.request("GET", "/metrics").text
        return {line.rsplit(" ", 1)[0] for line in text.splitlines() if line.startswith("tripstream_")}

    shared.post(make.body(make.event(0, position=-1)))
    known = series()
    for n in range(20):
        shared.post(make.body(make.event(n, event_type=f"x{n}", position=-1), site_id=f"s{n}"))
        shared.post(make.body(make.event(n, event_type=f"x{n}", position=-1)), headers={"origin": f"https://{n}"})
    assert {name for name in series() - known if "status=" not in name} == set()


def test_the_documentation_knows_the_hot_routes_and_their_shapes(shared: Server) -> None:
    document = shared.request("GET", "/openapi.json").json()
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
    assert shared.request("GET", "/openapi.json").json() == document


def _references(item: Any) -> Any:
    if isinstance(item, dict):
        yield from (value for key, value in item.items() if key == "$ref")
    for inner in item.values() if isinstance(item, dict) else item if isinstance(item, list) else []:
        yield from _references(inner)


def test_every_route_answers_options_and_unknown_ones_in_json(shared: Server) -> None:
    document = shared.request("GET", "/openapi.json").json()
    for path in (*document["paths"], "/docs", "/nowhere", BATCH + "/"):
        answer = shared.request("OPTIONS", path)
        assert answer.status_code in (204, 404, 405), path
        if answer.status_code != 204:
            assert answer.json().keys() == {"code", "message"}


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
