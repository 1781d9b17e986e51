"""Schema equals migrations: what Postgres' catalog says after all of them, against catalog.txt, which is reviewed.

After a new migration: `REGENERATE=1 pytest tests/schema/test_catalog.py`, and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import psycopg

from schema.event import COLUMNS

GOLDEN = Path(__file__).with_name("catalog.txt")
OURS = "relnamespace = 'public'::regnamespace"

# Each yields lines; together they say everything about the schema that a program could notice.
QUERIES = (
    f"""SELECT concat_ws(' ', CASE relkind WHEN 'p' THEN 'partitioned table' WHEN 'r' THEN 'table' WHEN 'v' THEN 'view'
            WHEN 'S' THEN 'sequence' WHEN 'm' THEN 'materialized view' ELSE relkind::text END, relname,
            'by ' || pg_get_partkeydef(c.oid), 'of ' || inhparent::regclass, pg_get_expr(relpartbound, c.oid),
            array_to_string(reloptions, ','), CASE WHEN relrowsecurity THEN 'row security' END,
            CASE WHEN relforcerowsecurity THEN 'forced' END)
        FROM pg_class AS c LEFT JOIN pg_inherits ON inhrelid = c.oid WHERE {OURS} AND relkind NOT IN ('i', 'I')""",
    f"""SELECT concat_ws(' ', 'column', relname || '.' || attname, format_type(atttypid, atttypmod),
            CASE WHEN attnotnull THEN 'not null' END, 'default ' || pg_get_expr(adbin, adrelid),
            CASE attgenerated WHEN 's' THEN 'stored' END, 'identity ' || nullif(attidentity::text, ''))
        FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid
            AND adnum = attnum WHERE {OURS} AND relkind IN ('r', 'p', 'v') AND NOT relispartition AND attnum > 0
            AND NOT attisdropped""",
    f"""SELECT 'index ' || pg_get_indexdef(c.oid) FROM pg_class AS c WHERE {OURS} AND relkind IN ('i', 'I')""",
    """SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype <> 'n'""",
    """SELECT concat_ws(' ', 'type', typname, string_agg(enumlabel, ', ' ORDER BY enumsortorder))
        FROM pg_type AS t JOIN pg_enum ON enumtypid = t.oid WHERE typnamespace = 'public'::regnamespace
        GROUP BY typname""",
    """SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace""",
    f"""SELECT concat_ws(' ', 'policy', polname, 'on', relname, polcmd, pg_get_expr(polqual, polrelid),
            pg_get_expr(polwithcheck, polrelid)) FROM pg_policy JOIN pg_class AS c ON c.oid = polrelid WHERE {OURS}""",
    f"""SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid)) FROM pg_trigger AS t JOIN pg_class AS c
            ON c.oid = tgrelid WHERE {OURS} AND NOT tgisinternal""",
    f"""SELECT concat_ws(' ', 'grant', string_agg(privilege_type, ', ' ORDER BY privilege_type), 'on', relname, 'to',
            coalesce(nullif(grantee, 0)::regrole::text, 'public'))
        FROM pg_class AS c, aclexplode(relacl) WHERE {OURS} AND grantee <> relowner GROUP BY relname, grantee""",
    """SELECT concat_ws(' ', 'grant', privilege_type, 'on function', proname, 'to',
            coalesce(nullif(grantee, 0)::regrole::text, 'public'))
        FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))
        WHERE pronamespace = 'public'::regnamespace AND grantee <> proowner""",
    """SELECT concat_ws(' ', 'role', rolname, CASE WHEN rolcanlogin THEN 'login' END,
            CASE WHEN rolsuper THEN 'super' END, CASE WHEN rolbypassrls THEN 'bypasses row security' END,
            CASE WHEN rolcreaterole THEN 'creates roles' END)
        FROM pg_roles WHERE rolname LIKE 'tripstream%'""",
)


def catalog(connection: psycopg.Connection) -> str:
    """Every object that the migrations made, one a line (functions take several), sorted."""
    return "\n".join(line for query in QUERIES for line in sorted(row[0] for row in connection.execute(query))) + "\n"


def test_the_schema_is_what_was_reviewed(owner: psycopg.Connection) -> None:
    found = catalog(owner)
    if os.environ.get("REGENERATE"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text(), "after a migration: REGENERATE=1 pytest tests/schema/test_catalog.py"


def test_the_events_tables_columns_are_those_of_the_event(owner: psycopg.Connection) -> None:
    found = owner.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'events'::regclass AND attnum > 0"
    ).fetchall()
    assert len(COLUMNS) == len(set(COLUMNS))
    assert {name for (name,) in found} == set(COLUMNS)
