"""Export and erasure, by command and over HTTP: all that is kept comes out, to whoever may have it and nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from schema import db, live, sites, stream
from schema.errors import ConfigError, InvalidRequest
from schema.event import Verified, now
from schema.settings import Settings
from tests.ingest.serving import Server, add_site, serving
from tests.make import asked, batch, canonical, uid
from tests.workers.people import arrive
from tests.workers.pipeline import Pipeline, pipeline
from tripstream.cli import app
from workers import erasure

ANN = Verified("ann-0815", "ann@example.com")
LISTS = ("users", "identities", "identity_changes", "sessions", "events", "recommendation_requests", "owned_pages",
         "dead_letters", "outbox", "queued", "live_sessions")  # fmt: skip


def plant(pipe: Pipeline) -> None:
    """Ann wherever a person can be, and Bob beside her."""
    ann, bob = {"auth_user_id": ANN.user_id}, {"anonymous_id": uid(3, 9), "session_id": uid(2, 9)}
    first = canonical(1, page_url="https://a.example/?q=1", **ann)
    arrive(pipe, batch(first, n=1, verified=ANN, ip_prefix="192.0.2.0/24"),
           batch(canonical(2, trip_id=-1, **ann), n=2, verified=ANN), batch(canonical(3, **bob), n=3))  # fmt: skip
    pipe.ask(asked(1), asked(2, anonymous_id=uid(3, 9), session_id=uid(2, 9)))
    pipe.connection.execute("SELECT emit_platform_event('project.created', p_user_id => 'ann-0815'::text)")
    pipe.connection.execute("SELECT emit_platform_event('project.created', p_user_id => 'bob'::text)")
    pipe.connection.execute("INSERT INTO site_owners VALUES ('default', 'her-pages', 'ann-0815')")
    live.begin(pipe.redis, "default", uid(3), uid(2), now() // 1000, at_most=10)
    pipe.accept(batch(canonical(4, **ann), n=4, verified=ANN), batch(canonical(5, **bob), n=5))


@pytest.fixture
def pipe(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    with pipeline(settings) as found:
        yield found


def tripstream(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def sizes(document: str) -> dict[str, int]:
    shown = json.loads(document)
    return {name: len(shown[name]) for name in LISTS if shown[name]}


def test_a_person_is_exported_whole_by_any_name_erased_and_then_nobody(pipe: Pipeline, tmp_path: Path) -> None:
    plant(pipe)
    everything = {"users": 1, "identities": 4, "identity_changes": 2, "sessions": 1, "events": 1,
                  "recommendation_requests": 1, "owned_pages": 1, "dead_letters": 1, "outbox": 1, "queued": 1,
                  "live_sessions": 1}  # fmt: skip
    for name in (("--user", "ann-0815"), ("--email", "Ann@Example.com"), ("--anonymous-id", str(uid(3)))):
        assert sizes(tripstream("export-person", *name)) == everything
    shown = json.loads(tripstream("export-person", "--user", "ann-0815"))
    assert shown["events"][0]["page_url"] == "https://a.example/?q=1"
    assert shown["dead_letters"][0]["event"]["trip_id"] == -1
    assert shown["queued"][0]["event"]["event_id"] == str(uid(1, 4))
    out = tmp_path / "ann.json"
    tripstream("export-person", "--user", "ann-0815", "--out", str(out))
    assert sizes(out.read_text()) == everything
    with pytest.raises(ConfigError, match="File exists"):
        tripstream("export-person", "--user", "ann-0815", "--out", str(out))
    with pytest.raises(InvalidRequest, match="in one way"):
        tripstream("export-person")
    receipt = json.loads(tripstream("erase-person", "--email", "ann@example.com", "--yes"))
    assert (receipt["state"], receipt["counts"]["events"], receipt["counts"]["site_owners"]) == ("done", 1, 1)
    assert json.loads(tripstream("erasure", receipt["erasure_id"])) == receipt
    for name in (("--user", "ann-0815"), ("--email", "ann@example.com"), ("--anonymous-id", str(uid(3)))):
        assert sizes(tripstream("export-person", *name)) == {}
    assert sizes(tripstream("export-person", "--user", "bob")) == {"outbox": 1}
    assert sizes(tripstream("export-person", "--anonymous-id", str(uid(3, 9))))["events"] == 2


def test_an_erasure_is_asked_for_before_it_is_done(pipe: Pipeline) -> None:
    done = CliRunner().invoke(app, ["erase-person", "--user", "ann-0815"], input="n\n")
    assert done.exit_code == 1
    assert pipe.value("SELECT count(*) FROM erasures") == 0


class Api:
    """The routes, as one key reaches them."""

    def __init__(self, server: Server, key: str | None) -> None:
        self._server = server
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def __call__(self, method: str, path: str, **body: Any) -> Any:
        given = {"json": body} if method == "POST" else {}
        return self._server.request(method, f"/api/privacy/{path}", headers=self._headers, **given)


def test_over_http_a_sites_admin_key_reaches_its_own_site_and_a_chore_does_the_rest(pipe: Pipeline) -> None:
    plant(pipe)
    settings = pipe.settings.model_copy(update={"admin_key": SecretStr("installation")})
    with serving(settings) as server:
        add_site(settings, "other")
        with db.connect(settings, "owner") as connection:
            keys = {role: sites.add_key(connection, "default", role) for role in ("read", "write", "admin")}
            keys["other"] = sites.add_key(connection, "other", "admin")
        for key, status in ((None, 401), (keys["read"], 403), (keys["write"], 403), ("no such key", 401)):
            api = Api(server, key)
            assert api("POST", "export", user="ann-0815").status_code == status
            assert api("POST", "erase", user="ann-0815").status_code == status
            assert api("GET", f"receipts/{uuid4()}").status_code == status
        assert Api(server, keys["other"])("POST", "erase", user="x", site_id="default").status_code == 403
        assert sizes(Api(server, keys["other"])("POST", "export", user="ann-0815").text) == {}
        own, all_sites = Api(server, keys["admin"]), Api(server, "installation")
        exported = own("POST", "export", user="ann-0815")
        assert exported.headers["cache-control"] == "no-store"
        assert sizes(exported.text)["events"] == 1
        for wrong in ({}, {"user": "a", "email": "b@c"}, {"anonymous_id": "x"}, {"nobody": "x"}):
            assert own("POST", "erase", **wrong).status_code == 422, wrong
        for wrong in (rb'{"user":"\ud800"}', rb'{"user":"a","site_id":"\ud800"}', rb'{"user":"a","site_id":"a\u0000"}'):
            for path in ("/api/privacy/export", "/api/privacy/erase"):
                headers = {"authorization": "Bearer installation", "content-type": "application/json"}
                assert server.request("POST", path, headers=headers, content=wrong).status_code == 422, wrong
        assert own("POST", "export", email="none").json()["fields"][0]["field"] == "email"
        assert all_sites("POST", "erase", user="x", site_id="nowhere").status_code == 404
        asked_for = own("POST", "erase", user="ann-0815")
        assert (asked_for.status_code, asked_for.json()["state"]) == (202, "requested")
        where = f"receipts/{asked_for.json()['erasure_id']}"
        assert Api(server, keys["other"])("GET", where).status_code == 404
        erasure.run_due(settings)
        for api in (own, all_sites):
            receipt = api("GET", where).json()
            assert (receipt["state"], receipt["counts"]["events"]) == ("done", 1)
            assert "ann" not in json.dumps(receipt)
    assert list(stream.waiting(pipe.redis, 0, "+")) == []
