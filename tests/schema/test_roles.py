"""Connections and roles: a mistake in a worker cannot alter the schema, one in a page cannot write."""

from __future__ import annotations

import psycopg
import pytest

from schema import db, migrate
from schema.errors import ConfigError, StorageError
from schema.settings import Settings
from tests.conftest import Servers

DENIED = psycopg.errors.InsufficientPrivilege
CHANGES = (
    "CREATE TABLE public.mine ()",
    "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1",
    "CREATE SCHEMA mine",
    "ALTER TABLE events ADD COLUMN mine int",
    "DROP TABLE batches",
    "DROP TABLE events_interaction",
    "DROP FUNCTION visitor_key",
    "TRUNCATE events",
    "CREATE INDEX ON events (path_id)",
    "CREATE ROLE mine",
    "ALTER ROLE tripstream_writer BYPASSRLS",
)
PRIVATE = ("site_keys", "dead_letters", "event_ids", "event_outbox", "user_agents")


@pytest.mark.parametrize(
    "role", ["tripstream_writer", "tripstream_reader", "tripstream_owner_reader", "tripstream_monitor"]
)
def test_neither_role_can_change_the_schema(shared: Settings, role: db.Role) -> None:
    with db.connect(shared, role) as connection:
        for statement in CHANGES:
            with pytest.raises(DENIED):
                connection.execute(statement)
                pytest.fail(statement)


def tables(connection: db.Connection, condition: str) -> list[str]:
    query = (
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        f" AND {condition} ORDER BY 1"
    )
    return [name for (name,) in connection.execute(query)]


def test_the_reader_writes_nowhere(shared: Settings) -> None:
    with db.connect(shared, "tripstream_reader") as reader:
        writable = "has_any_column_privilege(oid, 'INSERT, UPDATE, REFERENCES')"
        assert tables(reader, f"({writable} OR has_table_privilege(oid, 'DELETE, TRUNCATE'))") == []
        with pytest.raises(DENIED):
            reader.execute("INSERT INTO sites (site_id, name) VALUES ('x', 'x')")
        with pytest.raises(DENIED):
            reader.execute("SELECT ensure_month('content', now()::date)")
        with pytest.raises(DENIED):
            reader.execute("SELECT nextval('users_user_id_seq')")


def test_the_reader_sees_no_partition_by_itself_and_no_key(shared: Settings) -> None:
    with db.connect(shared) as writer:
        writer.execute(
            "SELECT ensure_month(category, '2026-01-01') FROM unnest(enum_range(NULL::event_category)) category"
        )
    with db.connect(shared, "tripstream_reader") as reader:
        assert len(tables(reader, "relispartition")) == 16
        assert tables(reader, "relispartition AND has_any_column_privilege(oid, 'SELECT')") == []
        assert tables(reader, f"relname = ANY('{{{','.join(PRIVATE)}}}') AND has_table_privilege(oid, 'SELECT')") == []
        assert reader.execute("SELECT count(*) FROM events").fetchall() == [(0,)]


def test_the_writer_reads_and_writes_every_table_that_is_no_month(shared: Settings) -> None:
    with db.connect(shared) as writer:
        has = "has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')"
        lacking = f"NOT ({has}) AND relname !~ '_[0-9]{{4}}_[0-9]{{2}}$'"
        assert tables(writer, lacking) == []


def test_functions_that_run_as_their_owner_fix_their_search_path(owner: psycopg.Connection) -> None:
    found = owner.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
                          " AND NOT coalesce(proconfig::text, '') LIKE '%search_path=pg_catalog%'")  # fmt: skip
    assert found.fetchall() == []


def test_a_commit_is_durable_whatever_the_database_says(settings: Settings) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {owner.info.dbname} SET synchronous_commit = off")
    with db.connect(settings) as connection:
        assert connection.execute("SHOW synchronous_commit").fetchall() == [("on",)]
        user = connection.execute("SELECT current_user, current_setting('TimeZone')").fetchall()
        assert user == [("tripstream_writer", "UTC")]


def test_a_statement_ends_when_its_time_is_up(shared: Settings) -> None:
    with db.connect(shared, statement_seconds_max=1) as connection:
        assert connection.execute("SHOW statement_timeout").fetchall() == [("1s",)]
    with db.connect(shared, statement_seconds_max=0) as connection:
        assert connection.execute("SHOW statement_timeout").fetchall() == [("0",)]


def test_postgres_being_away_is_one_clear_line(servers: Servers) -> None:
    settings = servers.settings("no_such_database")
    with pytest.raises(StorageError, match="Postgres cannot be reached") as caught, db.connect(settings):
        pass
    assert "\n" not in caught.value.message
    with pytest.raises(ConfigError, match="make up"), db.connect(Settings(database_url="")):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "postgres//u:s3cret@h/x",
        "mysql://u:s3cret@h/x",
        "s3cret",
        "postgresql://u:pa@s3cret@h/x",
        "postgresql://u:s3cret/y@h/x",
        "postgresql://u:%s3cret@h/x",
        "postgresql://u:x@h/x?s3cret=1",
    ],
)
def test_a_url_that_is_none_is_told_without_its_password(url: str) -> None:
    settings = Settings(database_url=url)
    for connecting in (lambda: db.connect(settings).__enter__(), lambda: migrate.upgrade(settings)):
        with pytest.raises(ConfigError, match="DATABASE_URL is no URL like") as caught:
            connecting()
        assert "s3cret" not in caught.value.message


def test_a_role_that_is_missing_is_told_with_what_to_do(shared: Settings) -> None:
    with pytest.raises(StorageError, match="the role nobody_knows is missing: run `tripstream migrate`"):
        db.connect(shared, "nobody_knows").__enter__()  # type: ignore[arg-type]


def test_a_drivers_error_becomes_ours_at_the_edge(shared: Settings) -> None:
    missing = pytest.raises(StorageError, match=r'^Postgres: relation "nowhere" does not exist$')
    with missing, db.wrapped(), db.connect(shared) as connection:
        connection.execute("SELECT * FROM nowhere")
