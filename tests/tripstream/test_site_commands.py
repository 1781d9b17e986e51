"""`tripstream site …`: keys are printed once, what changes is published, and a Redis that is away costs no key."""

from __future__ import annotations

import pytest
import redis
from typer.testing import CliRunner

from schema import db, registry, sites
from schema.errors import ConfigError
from schema.registry import key_hash
from schema.settings import Settings
from tripstream.site_commands import site

NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)


def run(*arguments: str, fails: type[Exception] | None = None) -> str:
    done = CliRunner().invoke(site, list(arguments))
    assert type(done.exception) is (fails or type(None)), done.output
    return done.stdout


def published(settings: Settings) -> registry.Registry:
    with redis.Redis.from_url(settings.redis_url) as client:
        document = client.get(registry.KEY)
    assert isinstance(document, bytes)
    return registry.decode(document)


def test_a_site_lives_from_add_to_revoke(settings: Settings) -> None:
    added = run("add", "shop", "--origin", "https://shop.example", "--key-rate", "50", "--address-rate", "0")
    old = added.split()[-1]
    new = run("rotate", "shop", "--overlap-hours", "1").split()[-1]
    admin = run("key", "shop", "--role", "admin", "--hours", "8").split()[-1]
    run("change", "shop", "--strict", "--key-burst", "99")
    rules, keys = published(settings).sites["shop"], published(settings).keys
    assert (rules.key_rate, rules.key_burst, rules.address_rate, rules.strict) == (50, 99, 0, True)
    assert [keys[key_hash(key).hex()].role for key in (old, new, admin)] == ["write", "write", "admin"]
    assert [keys[key_hash(key).hex()].ends_at is None for key in (old, new, admin)] == [False, True, False]
    shown = run("show", "shop")
    for told in (
        "key_rate      50\n",
        "key_burst     99\n",
        "address_rate  0\n",
        "origins       https://shop.example\n",
    ):
        assert told in shown
    assert f"ts_write_…{new[-4:]}" in shown
    assert [key for key in (old, new, admin) if key in shown + run("list")] == []
    with db.connect(settings, "owner") as connection:
        ids = [row["id"] for row in sites.shown(connection, "shop")[1] if row["key"].endswith(new[-4:])]
    run("revoke", "shop", str(ids[0]))
    assert key_hash(new).hex() not in published(settings).keys
    assert "ended" in run("show", "shop")


def test_what_is_wrong_changes_nothing(settings: Settings) -> None:
    sites.announce(settings)
    for arguments in (
        ("rotate", "shoe"),
        ("show", "shoe"),
        ("revoke", "default", "7"),
        ("key", "default", "--role", "x"),
    ):
        run(*arguments, fails=ConfigError)
    for wrong in ("add shop --key-rate -1", "rotate default --overlap-hours -1"):
        run(*wrong.split(), fails=SystemExit)
    assert published(settings).sites.keys() == {"default"}
    assert published(settings).keys == {}


def test_a_key_is_told_before_redis_is_asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", NOWHERE)
    key = run("add", "shop", fails=redis.exceptions.ConnectionError).split()[-1]
    with db.connect(settings) as connection:
        assert sites.right(connection, key) == ("shop", "write")
