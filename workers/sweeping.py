"""The last look: is there still a word of this person? In: who it is. Out: texts in which their ids were overwritten,
and per table how many rows still hold one.

Tables come from the catalog, so that one which is added later is looked at too. Each is read once; only where something
is found are its texts rewritten. What differed differs still: with one word for all, two of the person's paths would be
one, which no key allows, and of one document's two counts one would be lost. Done again, it finds what came since.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg import sql

from schema.db import Connection
from schema.sql import load
from workers.mentions import pattern, telling
from workers.people import Person
from workers.people import secret as new_secret

_SQL = load("erasing")


class Table(NamedTuple):
    """One table: the columns that can be rewritten, with their types."""

    name: str
    columns: list[str]
    types: list[str]
    has_site: bool


class Swept(NamedTuple):
    """Rows that were rewritten, and rows that hold a word of the person still."""

    rewritten: Counter[str]
    remaining: Counter[str]


def sweep(connection: Connection, person: Person) -> Swept:
    """Look at every table, in the caller's transaction, and put another word wherever one of the person's ids stands in
    a text: the same in every table, one for each spelling of an id, and another each time."""
    swept = Swept(Counter(), Counter())
    secret = new_secret()
    names = telling(person.names)
    if not names:
        return swept
    tables = [Table(name, columns or [], types or [], site) for name, columns, types, site in
              connection.execute(_SQL["tables"]).fetchall()]  # fmt: skip
    for table in tables:
        if found := _count(connection, table, person, names):
            swept.rewritten[table.name] = _rewrite(connection, table, person, names, secret) if table.columns else 0
            found = _count(connection, table, person, names)
        swept.remaining[table.name] = found
    return Swept(+swept.rewritten, +swept.remaining)


def _count(connection: Connection, table: Table, person: Person, names: list[str]) -> int:
    """Rows that hold one of these ids in any form that Postgres shows them in. LIKE first: it is the cheaper look."""
    query = sql.SQL(
        "SELECT count(*) FROM {table} AS t WHERE {site} AND lower(t::text) LIKE ANY(%(like)s)"
        " AND (t::text ~* %(pattern)s OR t::text LIKE ANY(%(bytes)s))"
    ).format(table=sql.Identifier("public", table.name), site=_site(table))
    forms = [form for name in names for form in _in_hex(name)]
    looks = [*(_escaped(name.lower()) for name in names), *forms]
    values = {
        "site_id": person.site_id,
        "like": [f"%{look}%" for look in looks],
        "bytes": [f"%{form}%" for form in forms],
        "pattern": pattern(names),
    }
    row = connection.execute(query, values).fetchone()
    return int(row[0]) if row else 0


def _rewrite(connection: Connection, table: Table, person: Person, names: list[str], secret: str) -> int:
    """Overwrite them in every text of these rows. What cannot be rewritten remains."""
    total = 0
    for column, kind in zip(table.columns, table.types, strict=True):
        parts = {
            "table": sql.Identifier("public", table.name),
            "column": sql.Identifier(column),
            "kind": sql.SQL(kind),
            "site": _site(table),
        }
        spelt = sql.SQL(
            "SELECT DISTINCT spelt[1] FROM {table} AS t, regexp_matches({column}::text, %(pattern)s, 'gi') AS spelt"
            " WHERE {site} ORDER BY 1"
        ).format(**parts)
        values = {"site_id": person.site_id, "pattern": pattern(names)}
        for (spelling,) in connection.execute(spelt, values).fetchall():
            query = sql.SQL(
                "UPDATE {table} AS t SET {column} = regexp_replace({column}::text, %(pattern)s, %(word)s, 'g')::{kind}"
                " WHERE {site} AND {column}::text ~ %(pattern)s"
            ).format(**parts)
            word = {"pattern": pattern([spelling]), "word": _word(secret, spelling)}
            try:
                with connection.transaction():
                    total += connection.execute(query, values | word).rowcount
            except (psycopg.errors.IntegrityError, psycopg.errors.DataError):
                continue
    return total


def _word(secret: str, spelling: str) -> str:
    return f"erased-{hashlib.sha256(f'{secret} {spelling}'.encode()).hexdigest()[:12]}"


def _site(table: Table) -> sql.SQL:
    return sql.SQL("t.site_id = %(site_id)s" if table.has_site else "%(site_id)s::text IS NOT NULL")


def _in_hex(name: str) -> list[str]:
    """As Postgres shows the bytes of it."""
    try:
        return [name.encode().hex(), UUID(name).hex]
    except ValueError:
        return [name.encode().hex()]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
