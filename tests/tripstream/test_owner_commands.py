"""`tripstream site owner …`: who owns which pages is said, listed and taken back."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from schema.errors import ConfigError
from schema.settings import Settings
from tripstream.cli import app


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str, fails: str = "") -> str:
    done = CliRunner().invoke(app, ["site", "owner", *arguments])
    if fails:
        assert isinstance(done.exception, ConfigError) and fails in done.exception.message, done.output
    else:
        assert done.exception is None, done.output
    return done.stdout


def test_an_owner_is_added_listed_and_removed() -> None:
    assert run("add", "default", "guide-7", "ann") == "ann owns the pages of guide-7 in default\n"
    assert run("add", "default", "guide-7", "ann") == "ann owned already the pages of guide-7 in default\n"
    for code, user in (("guide-8", "ann"), ("guide-8", "bob"), ("[red]", "bob")):
        run("add", "default", code, user)
    listed = [line.split()[:2] for line in run("list", "default").splitlines()[2:]]
    assert listed == [["ann", "guide-7"], ["ann", "guide-8"], ["bob", "[red]"], ["bob", "guide-8"]]
    assert run("remove", "default", "bob", "--code", "guide-8") == "bob no longer owns guide-8 in default\n"
    assert run("remove", "default", "ann") == "ann no longer owns guide-7, guide-8 in default\n"
    assert len(run("list", "default").splitlines()) == 3


def test_what_is_wrong_is_told() -> None:
    run("add", "nowhere", "x", "ann", fails="there is no site 'nowhere'")
    run("list", "nowhere", fails="there is no site 'nowhere'")
    run("add", "default", "", "ann", fails="neither is empty")
    run("add", "default", "x", "", fails="neither is empty")
    run("remove", "default", "ann", fails="'ann' owns no such pages there")
