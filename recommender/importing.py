"""Trips of a user's own. In: CSV with a header, or JSON lines; a row is a departure and says what its trip is. Out: the
catalogue, all rows or none; or BadRows, which names every bad row with its line and reason.

Columns: importing_rows.ImportRow. Rows with one `template_key` are one trip, which the first of them describes; the
others may leave that out. A file imported again updates what it made: trips by `template_key`, departures by
`occurrence_key` within their trip, which is the start where it is not given. What a later file leaves out stays.
Types, tags, companies and guides that are not known by code or name are made.
"""

from __future__ import annotations

import hashlib
import re
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from recommender.importing_rows import ImportRow, Problem, read
from schema.db import Connection
from schema.errors import BadRows
from schema.sql import load

_SQL = load("importing")
_NAMED = {
    "companies": ("known_companies", "add_companies"),
    "types": ("known_types", "add_types"),
    "tags": ("known_tags", "add_tags"),
    "guides": ("known_guides", "add_guides"),
}
_CHUNK = 5_000
_TAGS_MAX = 63
_encode = msgspec.json.Encoder(enc_hook=str, decimal_format="string").encode


class Imported(NamedTuple):
    """How many trips and departures the file had."""

    templates: int
    occurrences: int


class _Names:
    """Ids of types, tags, guides and companies by what a file may call them; makes those that are missing."""

    def __init__(self, connection: Connection, known: str, add: str) -> None:
        self._connection = connection
        self._add = add
        self._ids: dict[str, int] = {}
        for row_id, *names in connection.execute(_SQL[known]):
            self._ids |= {name.casefold(): row_id for name in names}

    def id(self, name: str) -> int:
        """The id behind a name, whatever its case."""
        if name.casefold() not in self._ids:
            values = {"name": name, "code": _code(name)}
            row = self._connection.execute(_SQL[self._add], values).fetchall()[0]
            self._ids[name.casefold()] = row[0]
        return self._ids[name.casefold()]

    def missing(self, names: list[str]) -> set[str]:
        """Those that would have to be made."""
        return {name.casefold() for name in names} - self._ids.keys()

    def __len__(self) -> int:
        return len(set(self._ids.values()))


def load_file(connection: Connection, path: Path) -> Imported:
    """Import the file in one transaction. Raises BadRows, or ConfigError for a file that cannot be read at all."""
    with connection.transaction():
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute(load("seeding")["lock_catalogue"])
        countries = frozenset(row[0] for row in connection.execute("SELECT country FROM countries"))
        rows = read(path, countries)
        return _store(connection, rows)


def _store(connection: Connection, rows: list[ImportRow]) -> Imported:
    names = {kind: _Names(connection, *queries) for kind, queries in _NAMED.items()}
    _check_tags(names["tags"], rows)
    first: dict[str, ImportRow] = {}
    for row in rows:
        first.setdefault(row.template_key, row)
    templates = [_template(row, names) for row in first.values()]
    for name in ("put_templates", "drop_countries", "put_countries", "drop_tags", "put_tags"):
        _run(connection, name, templates)
    _run(connection, "put_occurrences", [_occurrence(row, names["guides"]) for row in rows])
    return Imported(len(templates), len(rows))


def _check_tags(known: _Names, rows: list[ImportRow]) -> None:
    """Raise BadRows where there would be more tags than a template's mask has bits."""
    left = _TAGS_MAX - len(known)
    new: set[str] = set()
    for row in rows:
        new |= known.missing(row.tags)
        if len(new) > left:
            raise BadRows(problems=[Problem(row.line, f"tags: there can be {_TAGS_MAX} tags, and this makes more")])


def _template(row: ImportRow, names: dict[str, _Names]) -> dict[str, Any]:
    wanted = ("template_key", "title_en", "title_he", "description_en", "description_he", "difficulty", "base_price")
    return {
        **row.model_dump(include={*wanted, "duration_days"}),
        "company_id": names["companies"].id(row.company),
        "type_id": names["types"].id(row.type),
        "primary_country": row.countries[0],
        "more_countries": sorted({*row.countries[1:]} - {row.countries[0]}),
        "tag_ids": sorted({names["tags"].id(tag) for tag in row.tags}),
    }


def _occurrence(row: ImportRow, guides: _Names) -> dict[str, Any]:
    wanted = ("template_key", "occurrence_key", "starts_on", "ends_on", "price", "seats", "seats_left", "status")
    guide_id = guides.id(row.guide) if row.guide else None
    return {**row.model_dump(include={*wanted, "is_active"}), "guide_id": guide_id}


def _run(connection: Connection, name: str, rows: list[dict[str, Any]]) -> None:
    """A statement for thousands of rows: each tells web processes what changed, once a template."""
    left = iter(rows)
    while chunk := list(islice(left, _CHUNK)):
        connection.execute(_SQL[name], {"rows": _encode(chunk).decode()})


def _code(name: str) -> str:
    """A code for a name: its letters, or where it has none that a code may have, some that follow from it."""
    code = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40]
    return code or "x" + hashlib.sha256(name.encode()).hexdigest()[:8]
