"""The catalogue as Postgres has it. In: a connection. Out: a snapshot of all of it, and the trips of a few templates.

A snapshot comes with what it saw (pg_current_snapshot), so that what changed since is known exactly, whatever was
committed late. Postgres packs rows into bytes, and numpy makes columns of them: a million trips took 0.4 s to come that
way, and 3.6 s through COPY, which is a million messages.
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
_TEMPLATE = np.dtype(
    [("template_id", ">i8"), ("type_id", ">i2"), ("difficulty", ">i2"), ("duration_days", ">i2"), ("themes", ">i8")]
)
_COUNTRY = np.dtype([("template_id", ">i8"), ("country", "S2")])
_OCCURRENCE = np.dtype(
    [("occurrence_id", ">i8"), ("template_id", ">i8"), ("starts_on", ">i4"), ("price", ">i8"), ("status", ">i2")]
)


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
        known = known_codes(connection)
        templates = _packed(connection, _SQL["all_templates"], _TEMPLATE)
        countries = _packed(connection, _SQL["all_countries"], _COUNTRY)
        occurrences = _packed(connection, _SQL["all_occurrences"], _OCCURRENCE, today=today)
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
    """What this look saw, and the templates (None: everything) that changed since; single ones first."""
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


def _packed(connection: Connection, query: LiteralString, row: np.dtype[np.void], **values: Any) -> NDArray[np.void]:
    """A query's rows, which come as one text of bytes."""
    packed = connection.cursor(binary=True).execute(query, values).fetchall()[0][0]
    return np.frombuffer(packed or b"", row)


def _snapshot(
    templates: NDArray[np.void], countries: NDArray[np.void], occurrences: NDArray[np.void], known: Known
) -> Snapshot:
    ids = _native(templates, "template_id")
    kept = np.isin(_native(occurrences, "template_id"), ids)
    countries = countries[np.argsort(countries["template_id"], kind="stable")]
    codes: list[str] = countries["country"].astype("U2").tolist()
    begins, ends = (np.searchsorted(_native(countries, "template_id"), ids, side) for side in ("left", "right"))
    return Snapshot.from_columns(
        TemplateArrays(
            ids,
            [codes[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)],
            _native(templates, "type_id"),
            _native(templates, "themes").view(np.uint64),
            _native(templates, "difficulty"),
            _native(templates, "duration_days"),
        ),
        OccurrenceArrays(*(_native(occurrences, name)[kept] for name in OccurrenceArrays._fields)),
        known.countries,
    )


def _native(rows: NDArray[np.void], name: str) -> NDArray[Any]:
    """A column in this machine's byte order."""
    column = rows[name]
    return column.astype(column.dtype.newbyteorder("="))
