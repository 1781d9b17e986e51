"""An owner that is no superuser, as hosted Postgres gives it: its own policies hold for it too, and it can work."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from schema import db, migrate, stream
from schema.settings import Settings
from tests.conftest import Servers
from tests.make import canonical
from tests.workers.pipeline import pipeline, visit
from tripstream import binaries

ROLES = "tripstream_writer, tripstream_reader, tripstream_owner_reader, tripstream_monitor"


@pytest.fixture
def plain(servers: Servers) -> Iterator[Settings]:
    """Settings for an empty database of such an owner, and an empty Valkey."""
    with stream.connect(servers.valkey.url()) as redis:
        redis.flushall()
    with psycopg.connect(servers.postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN CREATEROLE")
        connection.execute(f"GRANT {ROLES} TO plain")
        for name in ("plain", "plain_restored"):
            connection.execute(f"CREATE DATABASE {name} OWNER plain TEMPLATE template0")
        settings = servers.settings("plain")
        yield settings.model_copy(update={"database_url": settings.database_url.replace("postgres@", "plain@")})
        for name in ("plain", "plain_restored"):
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute("DROP ROLE plain")


def counts(url: str, *tables: str) -> list[int]:
    with psycopg.connect(url) as owner:
        assert owner.execute(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchall() == [(False,)]
        return [owner.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in tables]


def run(*argv: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in argv], capture_output=True, text=True, check=False)


def test_a_plain_owner_migrates_works_backs_up_and_restores(plain: Settings, tmp_path: Path) -> None:
    migrate.upgrade(plain)
    with pipeline(plain) as pipe:
        pipe.send(canonical(1), visit(2, 1), canonical(3, trip_id=0))
        pipe.roll_up()
        assert pipe.problems() == []
    url = plain.database_url
    assert counts(url, "events", "dead_letters", "daily_events") == [2, 1, 1]
    with db.reading(plain, db.Scope("default")) as reader:
        assert reader.execute("SELECT count(*) FROM events").fetchall() == [(2,)]

    dump = tmp_path / "plain.sql"
    program = binaries.postgres_client("pg_dump")
    refused = run(program, f"--dbname={url}", "--no-owner", "--no-privileges", "-f", dump)
    assert refused.returncode and "row-level security" in refused.stderr  # which a backup without rows would not say
    taken = run(program, f"--dbname={url}", "--no-owner", "--no-privileges", "--enable-row-security", "-f", dump)
    assert taken.returncode == 0, taken.stderr
    restored = url.replace("/plain?", "/plain_restored?")
    again = run(binaries.postgres_client("psql"), "-q1", "-v", "ON_ERROR_STOP=1", "-d", restored,
                "-c", "DROP SCHEMA public CASCADE", "-c", "CREATE SCHEMA public", "-f", dump)  # fmt: skip
    assert again.returncode == 0, again.stderr
    new = plain.model_copy(update={"database_url": restored})
    migrate.upgrade(new)
    assert counts(restored, "events", "dead_letters", "daily_events") == [2, 1, 1]
    with psycopg.connect(restored) as owner:
        for policy in ("owner_all", "writer_all", "monitor_all"):  # it is a member of the other two roles
            owner.execute(f"DROP POLICY {policy} ON events")
        assert owner.execute("SELECT count(*) FROM events").fetchall() == [(0,)]  # forced: its own table


def test_an_upgrade_puts_back_what_is_missing_of_policies(plain: Settings) -> None:
    migrate.upgrade(plain)
    with psycopg.connect(plain.database_url, autocommit=True) as owner:
        owner.execute("DROP POLICY own_codes ON events; CREATE POLICY own_site ON events USING (true)")
        owner.execute("ALTER TABLE sessions DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY")
        owner.execute("CREATE TABLE later (site_id text, word text); CREATE VIEW latest AS SELECT * FROM later")
        migrate.upgrade(plain)
        found = owner.execute("SELECT polname FROM pg_policy WHERE polrelid = 'events'::regclass ORDER BY 1").fetchall()
        assert found == [("monitor_all",), ("own_codes",), ("owner_all",), ("reader_site",), ("writer_all",)]
        secured = (
            "SELECT relname FROM pg_class WHERE relname IN ('sessions', 'later') AND relforcerowsecurity ORDER BY 1"
        )
        assert owner.execute(secured).fetchall() == [("later",), ("sessions",)]
        options = owner.execute("SELECT reloptions FROM pg_class WHERE relname = 'latest'").fetchall()
        assert options == [(["security_invoker=true"],)]
