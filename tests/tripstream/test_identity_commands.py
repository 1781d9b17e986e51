"""`tripstream identity …`: who somebody is, in words and as JSON; a link undone."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from schema.errors import NotFound
from schema.settings import Settings
from tests.make import uid
from tests.workers.people import arrive, owners, said, sent, split
from tests.workers.pipeline import pipeline
from tripstream.cli import app


def tripstream(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["identity", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_user_is_shown_by_any_of_its_names_and_a_link_undone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    with pipeline(settings) as pipe:
        arrive(pipe, sent(said(1, 1)), sent(said(2, 1, "ann"), "ann@example.com"))
        who = pipe.value("SELECT user_id FROM identities WHERE kind = 'auth'")
        for value in (str(uid(3, 1)), "ann", "ann@example.com", "Ann@Example.com", str(who)):
            shown = json.loads(tripstream("show", value, "--json"))
            assert [(user["user_id"], user["total_events"]) for user in shown["users"]] == [(who, 2)]
            assert {row["kind"] for row in shown["identities"] if row["user_id"] == who} == {
                "anonymous",
                "auth",
                "email",
            }
            assert {row["event_id"] for row in shown["changes"]} == {str(uid(1, 2))}
        assert "linked" in tripstream("show", "ann")
        assert tripstream("unlink", str(uid(3, 1)), "--from", "ann") == "1 links undone\n"
        assert owners(pipe) == split([1], [2])
        assert [row["action"] for row in json.loads(tripstream("show", str(uid(3, 1)), "--json"))["changes"]][
            -1
        ] == "unlinked"
        assert tripstream("unlink", "Ann@Example.COM") == "1 links undone\n"
        for wrong in (("show", "nobody"), ("unlink", str(uid(3, 1)))):
            with pytest.raises(NotFound):
                tripstream(*wrong)
