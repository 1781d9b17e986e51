"""What goes wrong is told in one line, without stack or secret; Postgres' own programs find our database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from schema import stream
from schema.settings import Settings
from tests.make import batch
from tests.tripstream.waiting import until
from tests.workers.pipeline import pipeline

AWAY = {"DATABASE_URL": "postgresql:///nothing?host=/nowhere", "REDIS_URL": "unix:///nowhere/valkey.sock"}


def tripstream(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tripstream", *arguments]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [("status",), ("drain", "--until-empty"), ("migrate",), ("verify",)])
@pytest.mark.parametrize("away", ["DATABASE_URL", "REDIS_URL"])
def test_a_server_that_is_away_is_one_line(settings: Settings, arguments: tuple[str, ...], away: str) -> None:
    known = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url} | {away: AWAY[away]}
    done = tripstream(*arguments, **known)
    assert done.returncode == 1
    assert done.stderr.startswith("tripstream: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "/nowhere" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "name", "url"),
    [
        (("status",), "REDIS_URL", "http://:s3cret@h"),
        (("status",), "REDIS_URL", "redis://:s3cret/x@h"),
        (("status",), "STREAM_REDIS_URL", "redis://:x@h:s3cret"),
        (("worker", "chores"), "REDIS_URL", "redis:///s3cret@h"),
        (("worker", "chores"), "STREAM_REDIS_URL", "redis://:s3cret/x@h"),
    ],
)
def test_a_redis_url_that_is_none_is_one_line_without_its_password(
    arguments: tuple[str, ...], name: str, url: str
) -> None:
    done = tripstream(*arguments, **(AWAY | {name: url}))
    assert done.returncode == 2
    assert done.stderr.startswith(f"tripstream: {name} is no URL like redis://")
    assert done.stderr.count("\n") == 1
    assert "s3cret" not in done.stderr


def test_a_drain_waits_for_postgres_and_says_so_once(settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        log.open("wb") as out,
        pipeline(settings) as pipe,
        psycopg.connect(settings.database_url, autocommit=True) as owner,
    ):
        environment = os.environ | {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
        owner.execute("ALTER TABLE drained RENAME TO away")
        pipe.accept(batch())
        drain = subprocess.Popen([sys.executable, "-m", "tripstream", "drain"], env=environment, stderr=out)
        try:
            until(lambda: "the drain waits" in log.read_text(), "it meets the error")
            time.sleep(3)  # another try
            owner.execute("ALTER TABLE away RENAME TO drained")
            until(lambda: not stream.backlog(pipe.redis, [0])[0].batches, "it goes on")
        finally:
            drain.send_signal(signal.SIGTERM)
        assert drain.wait(20) == 0
    assert log.read_text().count("the drain waits") == 1


def test_psql_is_opened_on_our_database_with_the_options_that_it_is_given(settings: Settings) -> None:
    known = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url, "PATH": "/nowhere"}
    done = tripstream("psql", "-XAtc", "SELECT current_database(), count(*) FROM sites", **known)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{settings.database_url.split('/')[3].split('?')[0]}|1\n"
    assert tripstream("psql", "-c", "SELECT nonsense", **known).returncode == 1
    assert "psql is the PostgreSQL" in tripstream("psql", "--help", **known).stdout


def test_a_password_is_not_given_to_psql_as_an_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tripstream import binaries, database_commands

    shown = tmp_path / "psql"
    shown.write_text("#!/bin/sh\n")
    given = []
    monkeypatch.setattr(binaries, "postgres_client", lambda _: shown)
    monkeypatch.setattr(database_commands.os, "execve", lambda *arguments: given.append(arguments))
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:s3%20cret@host:1234/x?sslmode=require")
    database_commands._become("psql", ["-l"])
    ((program, arguments, environment),) = given
    assert program == str(shown)
    assert arguments == [str(shown), "--dbname=user=me dbname=x host=host port=1234 sslmode=require", "-l"]
    assert environment["PGPASSWORD"] == "s3 cret"
