"""Which history was brought from elsewhere. In: a file and a site. Out: a numbered import, begun, finished and undone.

One file is imported into a site once. An import that was cut short is found again by its file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from psycopg.rows import class_row, dict_row

from schema.db import Connection
from schema.errors import InvalidRequest, NotFound
from schema.sql import load

_SQL = load("imports")


class Import(NamedTuple):
    """One that was not undone. `floor_before`: which of the site's days was the first that could change."""

    import_id: int
    site_id: str
    source: str
    first_at: datetime
    last_at: datetime
    floor_before: date | None


def must_exist(connection: Connection, site_id: str) -> None:
    """Raises NotFound."""
    if connection.execute(_SQL["site_exists"], {"site_id": site_id}).fetchone() is None:
        raise NotFound(f"There is no site {site_id}: `tripstream site list` shows them.")


def begin(
    connection: Connection, path: Path, site_id: str, source: str, first: datetime, last: datetime, rows: int
) -> int:
    """Note the import, or find the one that was cut short. Raises InvalidRequest where it was finished."""
    with path.open("rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").digest()
    values = {"site_id": site_id, "source": source, "file_name": path.name, "digest": digest}
    more = {"first_at": first, "last_at": last, "rows": rows}
    import_id, finished = connection.execute(_SQL["begin"], values | more).fetchall()[0]
    if finished is not None:
        raise InvalidRequest(
            f"This file was imported before, as number {import_id}: `tripstream import undo {import_id}` takes it back."
        )
    return int(import_id)


@contextmanager
def alone(connection: Connection, import_id: int) -> Iterator[Import]:
    """One that was not undone, held by this connection: nobody else adds to it or takes it back meanwhile. Raises
    NotFound, or InvalidRequest where somebody does."""
    ((is_ours,),) = connection.execute(_SQL["hold"], {"import_id": import_id}).fetchall()
    if not is_ours:
        raise InvalidRequest(f"Import {import_id} is being imported or undone elsewhere: let that end first.")
    try:
        yield one(connection, import_id)
    finally:
        if not connection.broken:
            connection.execute(_SQL["let_go"], {"import_id": import_id})


def finish(connection: Connection, import_id: int) -> None:
    """Note that it is complete."""
    connection.execute(_SQL["finish"], {"import_id": import_id})


def listed(connection: Connection) -> list[dict[str, Any]]:
    """Every import."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["listed"]).fetchall()


def one(connection: Connection, import_id: int) -> Import:
    """Raises NotFound where there is none, or it was undone."""
    with connection.cursor(row_factory=class_row(Import)) as cursor:
        found = cursor.execute(_SQL["one"], {"import_id": import_id}).fetchone()
    if found is None:
        raise NotFound(f"There is no import {import_id} that could be undone: `tripstream import list` shows them.")
    return found


def undone(connection: Connection, import_id: int) -> None:
    """Note that nothing is left of it; its file may be imported again."""
    connection.execute(_SQL["undone"], {"import_id": import_id})
