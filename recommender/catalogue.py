"""The catalogue as Postgres has it. In: a connection. Out: a snapshot of all of it, and the trips of a few templates.

A snapshot comes with what it saw (pg_current_snapshot), so that what changed since is known exactly, whatever was
committed late. COPY's rows are of one width: a million of them become numpy columns without a million objects.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, LiteralString, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.columns import OccurrenceArrays, TemplateArrays
from recommender.snapshot import Snapshot
from recommender.trips import Trip
from schema.db import Connection
from schema.sql import load

_SQL = load("recommend")
_HEAD_BYTES, _TAIL_BYTES = 19, 2  # of COPY's binary format: signature, flags and an extension's length; -1 at the end


class Known(NamedTuple):
    """The codes there are. A country's value is its continent."""

    countries: Mapping[str, str]
    continents: frozenset[str]
    types: frozenset[int]
    themes: frozenset[int]


class Origin(NamedTuple):
    """Which database a snapshot was read from, and what it saw of it."""

    database: str
    saw: str


class Catalogue(NamedTuple):
    """Trips for the rules, with all that has to be known of them."""

    snapshot: Snapshot
    known: Known
    origin: Origin
    day: date


def read(connection: Connection, today: date) -> Catalogue:
    """All trips after `today` that may be booked, as one transaction sees them."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        origin = origin_of(connection)
        connection.execute(_SQL["today"], {"today": today})
        known = known_codes(connection)
        templates = _copy(connection, _SQL["copy_templates"], template_id="i8", type_id="i2", difficulty="i2",
                          duration_days="i2", themes="i8")  # fmt: skip
        countries = _copy(connection, _SQL["copy_countries"], template_id="i8", country="S2")
        occurrences = _copy(connection, _SQL["copy_occurrences"], occurrence_id="i8", template_id="i8",
                            starts_on="i4", price="i8", status="i2")  # fmt: skip
    return Catalogue(_snapshot(templates, countries, occurrences, known), known, origin, today)


def origin_of(connection: Connection) -> Origin:
    """This database, as it is now or as this transaction sees it."""
    return Origin(*connection.execute(_SQL["origin"]).fetchall()[0])


def continues(connection: Connection, saw: str) -> bool:
    """Whether what saw this much can be brought up to date from this database's changes."""
    return bool(connection.execute(_SQL["continues"], {"saw": saw}).fetchall()[0][0])


def known_codes(connection: Connection) -> Known:
    """The codes there are now."""
    countries, continents, types, themes = connection.execute(_SQL["known"]).fetchall()[0]
    return Known(countries, frozenset(continents), frozenset(types), frozenset(themes))


def changes(connection: Connection, saw: str) -> tuple[str, list[int | None]]:
    """What this look saw, and the templates (None: everything) that changed unseen by the last one."""
    now_saw, found = connection.execute(_SQL["changes"], {"saw": saw}).fetchall()[0]
    return now_saw, found


def trips_of(connection: Connection, template_ids: Collection[int], today: date) -> list[Trip]:
    """What may be booked of these templates now."""
    rows = connection.execute(_SQL["trips_of"], {"template_ids": list(template_ids), "today": today})
    return [trip(row) for row in rows]


def trip(row: Sequence[Any]) -> Trip:
    """A row of trips_of as the rules see it."""
    one = Trip._make(row)
    return one._replace(countries=tuple(one.countries), theme_ids=frozenset(one.theme_ids))


def _copy(connection: Connection, query: LiteralString, **columns: str) -> NDArray[np.void]:
    """What COPY sends, as a structured array. Raises ValueError where a row is not of that width."""
    fields: list[tuple[str, str]] = [("_fields", ">i2")]
    for name, kind in columns.items():
        fields += [(f"_{name}", ">i4"), (name, kind if kind.startswith("S") else f">{kind}")]
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        sent = b"".join(copy)
    width = np.dtype(fields)
    rows = np.frombuffer(sent, width, (len(sent) - _HEAD_BYTES - _TAIL_BYTES) // width.itemsize, _HEAD_BYTES)
    if len(rows) * width.itemsize != len(sent) - _HEAD_BYTES - _TAIL_BYTES or (rows["_fields"] != len(columns)).any():
        raise ValueError("COPY sent rows of another width")
    return rows


def _snapshot(
    templates: NDArray[np.void], countries: NDArray[np.void], occurrences: NDArray[np.void], known: Known
) -> Snapshot:
    codes: list[str] = countries["country"].astype("U2").tolist()
    begins = np.searchsorted(_native(countries, "template_id"), _native(templates, "template_id"))
    ends = [*begins[1:].tolist(), len(codes)]
    return Snapshot.from_columns(
        TemplateArrays(
            _native(templates, "template_id"),
            [codes[begin:end] for begin, end in zip(begins.tolist(), ends, strict=bool(len(begins)))],
            _native(templates, "type_id"),
            _native(templates, "themes").view(np.uint64),
            _native(templates, "difficulty"),
            _native(templates, "duration_days"),
        ),
        OccurrenceArrays(*(_native(occurrences, name) for name in OccurrenceArrays._fields)),
        known.countries,
    )


def _native(rows: NDArray[np.void], name: str) -> NDArray[Any]:
    """A column in this machine's byte order."""
    column = rows[name]
    return column.astype(column.dtype.newbyteorder("="))
