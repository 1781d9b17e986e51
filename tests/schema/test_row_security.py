"""Row-level security, for every table, partition, view and function that the catalog knows: rows of two sites in each.

The rows are made up column by column, so that a table of a later version is in the test without being named.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from schema.settings import Settings

OURS = "relnamespace = 'public'::regnamespace"
HAS_SITE = "EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'site_id' AND NOT attisdropped)"
HAS_CODES = HAS_SITE.replace("site_id", "owner_code")
# What the reader may see although it says nothing of a site: the catalogue, dictionaries, and how far the clock is.
OF_NOBODY = {
    *("catalogue_changes", "clock_ticks", "companies", "continents", "countries", "evaluation_scenarios"),
    *("event_schemas", "event_sources", "event_types", "guides", "rolled_up", "schema_version", "tags"),
    *("trip_occurrences", "trip_template_countries", "trip_template_tags", "trip_templates", "trip_types"),
    "user_agents",
}
POLICIES = "SELECT polroles::regrole[]::text, polcmd FROM pg_policy WHERE polrelid = %s::regclass ORDER BY 1"
SHARED_BY_OWNERS = {"sites", "site_zones", "texts", "dirty_hours", "dirty_days"}
ROWS = (("a", "a1"), ("a", "a2"), ("b", "a1"), ("b", "b1"))
VALUES = {
    "text": "x", "jsonb": "{}", "json": "{}", "boolean": "false", "event_category": "interaction",
    "timestamp with time zone": "2026-01-02", "date": "2026-01-02", "interval": "1 day", "cidr": "192.0.2.0/24",
    "xid8": "1",
}  # fmt: skip


def names(connection: psycopg.Connection, condition: str) -> list[str]:
    found = connection.execute(f"SELECT relname FROM pg_class AS c WHERE {OURS} AND {condition} ORDER BY 1")
    return [name for (name,) in found]


def value(column: str, kind: str, n: int, row: tuple[str, str]) -> str:
    named = {"site_id": row[0], "owner_code": row[1], "auth_user_id": "ann" if row[1] == "a1" else "bob"}
    if column in named:
        return named[column]
    if kind.endswith("[]"):
        return "{}"
    numbered = {"uuid": f"00000000-0000-4000-8000-{n:012}", "bytea": rf"\x{n:02}"}
    return numbered.get(kind) or VALUES.get(kind, str(n))


def fill(owner: psycopg.Connection) -> None:
    """Rows of two sites, and of two owners in each, in every table that has a site."""
    for category in ("interaction", "transaction", "user_activity", "content"):
        owner.execute("SELECT ensure_month(%s::event_category, '2026-01-01')", [category])
    owner.execute("SELECT ensure_request_month('2026-01-01')")
    owner.execute("SET LOCAL session_replication_role = replica")  # no foreign keys, no triggers
    checks = owner.execute(
        "SELECT relname, conname FROM pg_constraint JOIN pg_class AS c ON c.oid = conrelid"
        f" WHERE {OURS} AND contype = 'c' AND conislocal"
    )
    for named in checks.fetchall():
        owner.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(*map(sql.Identifier, named)))
    for table in names(owner, f"relkind IN ('r', 'p') AND NOT relispartition AND {HAS_SITE}"):
        columns = owner.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND NOT attisdropped AND attgenerated = '' AND attidentity <> 'a'"
            " AND (attnotnull OR attname = 'owner_code')",
            [table],
        ).fetchall()
        assert "site_id" in dict(columns), f"{table}.site_id may be null: whose rows are those?"
        into = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
            sql.Identifier(table),
            sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns),
            sql.SQL(", ").join(sql.Placeholder() * len(columns)),
        )
        for n, row in enumerate(ROWS, 1):
            owner.execute(into, [value(name, kind, n, row) for name, kind in columns])


@pytest.fixture
def filled(owner: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Such rows, and a reader that was granted everything: only the policies are left to stop it. Undone at the end."""
    fill(owner)
    owner.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO tripstream_reader, tripstream_owner_reader")
    yield owner


def seen(
    connection: psycopg.Connection, table: str, site_id: str | None, person: str | None = None
) -> list[tuple[str, ...]]:
    """The sites and owner codes of a table that a reader sees."""
    codes = names(connection, f"relname = '{table}' AND {HAS_CODES}")
    connection.execute(f"SET LOCAL ROLE tripstream_{'reader' if person is None else 'owner_reader'}")
    if site_id is not None:
        connection.execute("SELECT set_config('app.site_id', %s, true)", [site_id])
    connection.execute("SELECT set_config('app.auth_user_id', %s, true)", [person or ""])
    query = sql.SQL(
        "SELECT site_id, owner_code FROM {} ORDER BY 1, 2" if codes else "SELECT site_id FROM {} ORDER BY 1"
    )
    found = connection.execute(query.format(sql.Identifier(table))).fetchall()
    connection.execute("RESET ROLE")
    return found


def with_site(connection: psycopg.Connection) -> list[str]:
    return names(connection, f"relkind IN ('r', 'p', 'v') AND {HAS_SITE}")


def rows_of(connection: psycopg.Connection, table: str, site_id: str) -> int:
    query = sql.SQL("SELECT count(*) FROM {} WHERE site_id = %s").format(sql.Identifier(table))
    return connection.execute(query, [site_id]).fetchall()[0][0]


def test_every_table_and_partition_with_a_site_is_secured_and_forced(owner: psycopg.Connection) -> None:
    owner.execute("SELECT ensure_month('content', '2031-05-01'), ensure_request_month('2031-05-01')")
    tables = names(owner, f"relkind IN ('r', 'p') AND {HAS_SITE}")
    assert {"events", "events_content_2031_05", "recommendation_requests_2031_05", "event_ids_7"} <= set(tables)
    assert set(tables) - set(names(owner, "relrowsecurity AND relforcerowsecurity")) == set()
    for table in tables:
        found = owner.execute(POLICIES, [table]).fetchall()
        expected = {("{postgres}", "*"), ("{tripstream_monitor}", "r"), ("{tripstream_writer}", "*")}
        expected |= {("{tripstream_reader}", "r")} if table != "site_owners" else set()
        assert set(found) - {("{tripstream_owner_reader}", "r")} == expected, table


def test_a_reader_sees_of_every_table_its_own_site_and_nothing_before_it_named_one(filled: psycopg.Connection) -> None:
    whole = set(names(filled, f"relkind IN ('r', 'p') AND NOT relispartition AND {HAS_SITE}"))
    assert {table for table in whole if not (rows_of(filled, table, "a") and rows_of(filled, table, "b"))} == set()
    for table in with_site(filled):
        assert {site for site, *_ in seen(filled, table, None)} == set(), table
        for site_id in ("a", "b"):
            found = seen(filled, table, site_id)
            expected = 0 if table == "site_owners" else rows_of(filled, table, site_id)
            assert (len(found), {site for site, *_ in found} - {site_id}) == (expected, set()), table
        assert seen(filled, table, "") == [], table


def test_without_its_policies_the_same_test_would_fail(filled: psycopg.Connection) -> None:
    filled.execute("ALTER TABLE daily_stats DISABLE ROW LEVEL SECURITY")
    assert seen(filled, "daily_stats", "a") == [("a",), ("b",)]
    filled.execute("CREATE VIEW leaking AS SELECT * FROM daily_user_stats")
    filled.execute("GRANT SELECT ON leaking TO tripstream_reader")
    assert len(seen(filled, "leaking", "a")) == 4


def test_an_owner_sees_rows_of_its_own_codes_and_none_that_have_no_code(filled: psycopg.Connection) -> None:
    coded = set(names(filled, f"relkind IN ('r', 'p') AND {HAS_SITE} AND {HAS_CODES}"))
    assert {"events", "sessions", "daily_user_stats", "daily_page_stats", "site_owners"} <= coded
    for table in with_site(filled):
        found = seen(filled, table, "a", "ann")
        if table in coded or table in ("readable_events", "readable_sessions"):
            assert set(found) == ({("a", "a1")} if rows_of(filled, table, "a") else set()), table
        else:
            assert len(found) == (rows_of(filled, table, "a") if table in SHARED_BY_OWNERS else 0), table
    for table in ("daily_user_stats", "events"):
        assert seen(filled, table, "a", "bob") == [("a", "a2")]
        assert seen(filled, table, "b", "bob") == [("b", "b1")]
        assert seen(filled, table, "a", "eve") == seen(filled, table, "", "ann") == seen(filled, table, "a", "") == []


@pytest.mark.parametrize("role", ["tripstream_reader", "tripstream_owner_reader"])
def test_what_a_reader_sees_without_a_site_is_on_a_list(owner: psycopg.Connection, role: str) -> None:
    readable = f"has_any_column_privilege('{role}', c.oid, 'SELECT')"
    assert set(names(owner, f"relkind IN ('r', 'p') AND {readable} AND NOT {HAS_SITE}")) == OF_NOBODY
    assert owner.execute("SELECT pg_has_role(%s, 'tripstream_writer', 'USAGE')", [role]).fetchall() == [(False,)]


def test_nobody_but_owners_may_read_a_partition_or_pass_the_policies(owner: psycopg.Connection) -> None:
    owner.execute("SELECT ensure_month('content', '2031-05-01')")
    for role in ("tripstream_reader", "tripstream_owner_reader", "tripstream_monitor"):
        assert names(owner, f"relispartition AND has_any_column_privilege('{role}', c.oid, 'SELECT')") == []
    found = owner.execute(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE 'tripstream%' AND (rolbypassrls OR rolsuper)"
    )
    assert found.fetchall() == []
    assert names(owner, "relkind = 'v' AND NOT coalesce(reloptions::text LIKE '%security_invoker=true%', false)") == []
    assert names(owner, "relkind = 'm'") == []  # which cannot be secured


def test_what_the_monitor_counts_holds_nothing_of_a_visitor(owner: psycopg.Connection) -> None:
    found = owner.execute(
        f"SELECT DISTINCT attname FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid WHERE {OURS} AND attnum > 0"
        " AND relkind IN ('r', 'p', 'v') AND has_column_privilege('tripstream_monitor', c.oid, attnum, 'SELECT')"
    )
    told = {name for (name,) in found}
    assert {"site_id", "stored", "failed_at"} <= told
    private = {
        "anonymous_id",
        "user_id",
        "session_id",
        "value",
        "raw",
        "metadata",
        "event_data",
        "text",
        "key_hash",
        "ip_prefix",
    }
    assert told & private == set()


def test_functions_that_run_as_their_owner_tell_a_reader_nothing_of_others(filled: psycopg.Connection) -> None:
    definers = filled.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
                              " AND has_function_privilege('tripstream_reader', oid, 'EXECUTE')")  # fmt: skip
    assert {name for (name,) in definers} == {"key_right", "owned_sites"}
    filled.execute("SET LOCAL ROLE tripstream_reader")
    assert filled.execute("SELECT * FROM owned_sites('ann')").fetchall() == [("a",), ("b",)]
    assert filled.execute("SELECT * FROM key_right(%s)", [b"\1" * 32]).fetchall() == []
    assert filled.execute("SELECT * FROM owned_sites('eve')").fetchall() == []


def test_a_month_that_is_made_by_the_writer_is_the_owners_and_secured(shared: Settings) -> None:
    with psycopg.connect(shared.database_url) as connection:
        connection.execute("SET ROLE tripstream_writer")
        connection.execute("SELECT ensure_month('content', '2032-05-01')")
        assert names(connection, "relname = 'events_content_2032_05' AND relforcerowsecurity AND relrowsecurity")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT secure_table('events_content_2032_05')")
        connection.rollback()


PLANS = {
    "SELECT * FROM daily_stats": ("daily_stats_pkey", "date >= '2026-01-01'"),
    "SELECT dimension FROM daily_dimensions": ("daily_dimensions_key", "dimension = 'os' AND date = '2026-01-01'"),
    "SELECT * FROM daily_trips": ("daily_trips_pkey", "date >= '2026-01-01'"),
    "SELECT * FROM daily_steps": ("daily_steps_pkey", "event_type_id = 1 AND date >= '2026-01-01'"),
    "SELECT 1 FROM events": ("site_id_occurred_at_idx", "occurred_at >= '2026-01-01'"),
}


@pytest.mark.parametrize("query", PLANS)
def test_policies_do_not_cost_an_index(filled: psycopg.Connection, query: str) -> None:
    index, condition = PLANS[query]
    for off in ("enable_seqscan", "enable_bitmapscan"):
        filled.execute(f"SET LOCAL {off} = off")
    filled.execute("SET LOCAL ROLE tripstream_reader")
    filled.execute("SELECT set_config('app.site_id', 'a', true)")
    for named in ("", "site_id = 'a' AND "):  # whether a query names the site itself too, or leaves it to the policy
        plan = "\n".join(line for (line,) in filled.execute(f"EXPLAIN {query} WHERE {named}{condition}"))
        found = [line for line in plan.splitlines() if "Index Cond" in line and "auth_user_id" not in line]
        assert index in plan and found, plan
        column = condition.split()[0]
        assert all("(site_id = " in line and f"({column} " in line for line in found), plan
