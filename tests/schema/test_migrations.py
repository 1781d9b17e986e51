"""Migrations: from nothing, from the first version with data in it, twice, two at once, and killed half-way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from schema import db, migrate
from schema.errors import ConfigError, StorageError
from schema.settings import Settings
from tests.make import DAY, T0, canonical
from tests.schema.test_catalog import catalog
from tests.workers.pipeline import Pipeline, meanwhile, pipeline, until_blocked, visit

ROOT = Path(__file__).parents[2]
Make = Callable[[], Settings]


def version(settings: Settings) -> str:
    with db.connect(settings, "tripstream_reader") as connection:
        return connection.execute("SELECT version_num FROM schema_version").fetchall()[0][0]


def relations(settings: Settings) -> int:
    query = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    with psycopg.connect(settings.database_url) as connection:
        return connection.execute(query).fetchall()[0][0]


def test_an_empty_database_becomes_one_that_takes_events(empty_database: Make, valkey: Redis) -> None:
    settings = empty_database()
    migrate.upgrade(settings)
    assert version(settings) == migrate.head()
    with pipeline(settings) as pipe:
        pipe.send(canonical())
        assert pipe.value("SELECT count(*) FROM events") == 1


def test_a_second_upgrade_changes_nothing(settings: Settings) -> None:
    transactions = "SELECT max(xmin::text::bigint) FROM pg_class"
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        before = connection.execute(transactions).fetchall()
        migrate.upgrade(settings)
        assert connection.execute(transactions).fetchall() == before


def test_a_database_restored_without_grants_gets_them_at_the_next_upgrade(settings: Settings) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as owner:
        granted = catalog(owner)
        owner.execute("DROP OWNED BY tripstream_writer, tripstream_reader, tripstream_owner_reader, tripstream_monitor")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), db.connect(settings) as writer:
            writer.execute("SELECT * FROM events")
        owner.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
        owner.execute("GRANT EXECUTE ON FUNCTION ensure_month TO PUBLIC")
        migrate.upgrade(settings)
        assert catalog(owner) == granted
    with pipeline(settings) as pipe:
        pipe.send(canonical())
        assert pipe.problems() == []
    assert version(settings) == migrate.head()


def test_a_table_of_a_later_version_is_the_writers_but_not_the_readers(settings: Settings) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as owner:
        owner.execute("CREATE TABLE later (id int GENERATED ALWAYS AS IDENTITY, word text)")
        owner.execute("CREATE TABLE later_serial (id serial)")
    migrate.upgrade(settings)
    with db.connect(settings) as writer:
        writer.execute("INSERT INTO later (word) VALUES ('x')")
        writer.execute("INSERT INTO later_serial DEFAULT VALUES")
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.connect(settings, "tripstream_reader") as reader:
        reader.execute("SELECT * FROM later")


def test_of_two_upgrades_at_once_one_waits_and_finds_nothing_to_do(empty_database: Make) -> None:
    settings = empty_database()
    program = "from schema import migrate, settings; migrate.upgrade(settings.load())"
    environment = os.environ | {"DATABASE_URL": settings.database_url}
    with psycopg.connect(settings.database_url) as gate:  # both are let go at once
        gate.execute("SELECT pg_advisory_xact_lock(hashtext('tripstream.migrate'))")
        both = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment) for _ in range(2)]
        until_blocked(settings, sessions=2)
    assert [one.wait(30) for one in both] == [0, 0]
    assert version(settings) == migrate.head()


def test_a_killed_upgrade_leaves_nothing(empty_database: Make) -> None:
    settings = empty_database()
    with psycopg.connect(settings.database_url) as obstacle:
        obstacle.execute("CREATE TABLE clock_ticks ()")  # uncommitted: whoever makes another waits

        def upgrade() -> None:
            with pytest.raises(StorageError):
                migrate.upgrade(settings)

        with meanwhile(upgrade) as finished:
            until_blocked(settings)
            with psycopg.connect(settings.database_url, autocommit=True) as killer:
                killer.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                               " WHERE datname = current_database() AND wait_event_type = 'Lock'")  # fmt: skip
            finished()
        obstacle.rollback()
    assert relations(settings) == 0
    migrate.upgrade(settings)
    assert version(settings) == migrate.head()


def test_an_upgrade_that_postgres_refuses_says_why(empty_database: Make) -> None:
    settings = empty_database()
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE events ()")
    with pytest.raises(StorageError, match='migration failed: relation "events" already exists'):
        migrate.upgrade(settings)
    assert relations(settings) == 1


def test_without_a_database_the_setting_is_named() -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        migrate.upgrade(Settings(database_url=""))


def test_versions_are_numbered_without_a_gap_and_head_is_the_last() -> None:
    names = sorted(path.name for path in (ROOT / "schema/migrations/versions").glob("[0-9]*.py"))
    assert [name[:4] for name in names] == [f"{n:04}" for n in range(1, len(names) + 1)]
    assert migrate.head() == names[-1][:4]


def traffic(pipe: Pipeline) -> None:
    """A little of everything: sessions with and without an id, trips, two months, a duplicate, a dead letter."""
    kinds = ("page_view", "impression", "click_trip", "trip_dwell", "user.login", "payment.completed")
    pipe.send(
        *(visit(n, n % 3, event_type=kind, trip_id=7, metadata='{"duration_seconds": 2}', referrer="https://a")
          for n, kind in enumerate(kinds)),
        user_agent="curl/8", ip_prefix="203.0.113.0/24",
    )  # fmt: skip
    pipe.send(canonical(0), canonical(20, session_id=None, occurred_at=canonical().occurred_at - 20 * DAY))
    pipe.send(canonical(21, trip_id=0), canonical(22, event_type="not.seeded"))
    pipe.roll_up()


def table_rows(source: psycopg.Connection, table: str, columns: list[str]) -> list[tuple[object, ...]]:
    names = ", ".join(f'"{name}"::text' for name in columns)
    return sorted(source.execute(f"SELECT {names} FROM {table}").fetchall(), key=repr)


def columns_of(connection: psycopg.Connection) -> dict[str, list[str]]:
    """The tables that hold data of their own, with their stored columns."""
    rows = connection.execute(
        "SELECT c.relname, array_agg(attname::text ORDER BY attnum) FROM pg_class AS c"
        " JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
        " AND relname <> 'schema_version' GROUP BY 1"
    )
    return dict(rows.fetchall())


def carry(source: psycopg.Connection, target: psycopg.Connection, tables: dict[str, list[str]]) -> None:
    """Copy `tables` as they are, with the months and the counters of ids that they need."""
    months = "SELECT DISTINCT category, occurred_at::date FROM events"
    for month in source.execute(months).fetchall():
        target.execute("SELECT ensure_month(%s, %s)", month)
    target.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
    for table, columns in tables.items():
        names = ", ".join(f'"{name}"' for name in columns)
        with (
            source.cursor().copy(f"COPY (SELECT {names} FROM {table}) TO STDOUT") as out,
            target.cursor().copy(f"COPY {table} ({names}) FROM STDIN") as into,
        ):
            for data in out:
                into.write(data)


def test_data_of_the_first_version_survives_every_later_one(empty_database: Make, pipe: Pipeline) -> None:
    """The rows of today's drain are carried into a database of the first version, as far as it has their columns, and
    upgraded from there. What comes out must be what went in, and add up."""
    traffic(pipe)
    old = empty_database()
    migrate.upgrade(old, "0001")
    assert version(old) == "0001"
    with psycopg.connect(pipe.settings.database_url) as new, psycopg.connect(old.database_url) as first:
        today, then = columns_of(new), columns_of(first)
        tables = {table: [c for c in columns if c in today[table]] for table, columns in then.items() if table in today}
        carry(new, first, tables)
        first.commit()
        migrate.upgrade(old)
        for marks, rolled, when in (
            ("dirty_days", "daily_events", "date"),
            ("dirty_hours", "rollup_hourly", "hour"),
        ):
            query = (
                f"SELECT DISTINCT site_id, {when} FROM {{}} ORDER BY 1, 2"  # the migration asks for their new figures
            )
            assert first.execute(query.format(marks)).fetchall() == first.execute(query.format(rolled)).fetchall()
            del tables[marks]
        assert {t: table_rows(new, t, c) for t, c in tables.items()} == {
            t: table_rows(first, t, c) for t, c in tables.items()
        }
    assert pipe.problems() == []
    with pipeline(old) as upgraded:
        assert upgraded.problems() == []
        assert upgraded.value("SELECT count(*) FROM events") == 8


def test_weeks_months_and_hours_that_an_upgrade_finds_are_what_the_rollup_makes_of_them(
    empty_database: Make, pipe: Pipeline
) -> None:
    traffic(pipe)
    trips = (1, 300, 70_000, 2**33, 300)
    pipe.send(
        *(
            visit(n, n, trip_id=trip, path=f"/{trip}", occurred_at=T0 + 3 * (n - 30) * DAY)
            for n, trip in enumerate(trips, 30)
        )
    )
    pipe.roll_up()
    old = empty_database()
    migrate.upgrade(old, "0014")
    with psycopg.connect(pipe.settings.database_url) as new, psycopg.connect(old.database_url) as before:
        today, then = columns_of(new), columns_of(before)
        before.execute("SET session_replication_role = replica")  # foreign keys, whatever the order
        carry(new, before, {table: [c for c in columns if c in today[table]] for table, columns in then.items()})
        before.commit()
        migrate.upgrade(old)
        for table in ("weekly_dimensions", "month_to_date_trips", "rollup_hourly"):
            rows = table_rows(new, table, today[table])
            assert len(rows) > 2 and table_rows(before, table, today[table]) == rows, table
