"""`tripstream retention …`: what it says is what goes; limits and sites' own are changed by name."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from schema import db
from schema.errors import ConfigError
from schema.settings import Settings
from tests.make import DAY, canonical
from tests.workers.pipeline import pipeline
from tripstream.cli import app
from tripstream.doctor import examine
from workers import upkeep


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)


def run(*arguments: str, fails: type[Exception] | None = None) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert type(done.exception) is (fails or type(None)), done.output
    return done.stdout


def found(settings: Settings, what: str) -> bool | None:
    return next(one.good for one in examine(settings) if one.what == what)


def test_a_dry_run_then_the_run(settings: Settings) -> None:
    with pipeline(settings) as pipe:
        pipe.send(canonical(1, occurred_at=canonical().occurred_at - 700 * DAY), canonical(2))
        assert found(settings, "retention") is None
        assert "1 rows would go" in run("retention", "--dry-run")
        assert pipe.value("SELECT count(*) FROM events") == 2
        assert "1 rows went" in run("retention")
        assert "0 rows went" in run("retention")
        assert pipe.value("SELECT count(*) FROM events") == 1
        assert pipe.problems() == []
    assert found(settings, "retention") is True


def test_limits_are_changed_by_name(settings: Settings) -> None:
    run("retention", "limit", "scroll_depth", "90")
    run("retention", "limit", "content", "1000")
    run("site", "change", "default", "--raw-days", "45")
    listed = run("retention", "limits")
    assert [line.split()[-2:] for line in listed.splitlines() if "scroll_depth" in line] == [["scroll_depth", "90"]]
    assert [line.split()[-2:] for line in listed.splitlines() if line.startswith(" site")] == [["default", "45"]]
    run("site", "change", "default", "--raw-days", "-1")
    assert " site" not in run("retention", "limits").replace("event type", "")
    run("retention", "limit", "page_vew", "90", fails=ConfigError)
    run("retention", "limit", "page_view", "4000", fails=ConfigError)


def test_doctor_tells_of_months_that_are_missing_loose_or_by_default(settings: Settings) -> None:
    assert found(settings, "partitions") is False
    upkeep.partitions(settings)
    assert (found(settings, "partitions"), found(settings, "default partitions")) == (True, True)
    with db.connect(settings, "owner") as owner:
        owner.execute("SELECT ensure_month('content', '2020-01-01')")
        owner.execute("ALTER TABLE events_content DETACH PARTITION events_content_2020_01")
        owner.execute("CREATE TABLE events_content_rest PARTITION OF events_content DEFAULT")
    assert (found(settings, "detached months"), found(settings, "default partitions")) == (None, False)
