"""What there is to choose from. In: Postgres, as its reader, and filters. Out: lists as JSON, under camelCase names.

Short lists are alphabetical by English name, whatever the database's collation; pages are keyset pages, so that rows
which come or go meanwhile neither repeat nor hide a neighbour.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec
from psycopg.rows import dict_row

from recommender.wire import encode
from schema import db
from schema.errors import InvalidRequest, NotFound
from schema.settings import Settings
from schema.sql import load

_SQL = load("reference")
_LISTS = {"guides": "guides", "trip-types": "trip_types", "tags": "tags"}
_NO_VISIT = "AN"  # Antarctica: among the locations, but no country to choose
_BAD_CURSOR = ("cursor", "give the nextCursor of an answer as it was, or none")
Values = Mapping[str, Any]


def short_list(settings: Settings, name: str) -> bytes:
    """One of guides, trip-types, tags."""
    return encode(_named(settings, _LISTS[name]))


def locations(settings: Settings) -> bytes:
    """All continents and all countries."""
    return encode({name: _named(settings, name) for name in ("continents", "countries")})


def countries(settings: Settings, continent: str | None) -> bytes:
    """Countries, of one continent where one is given, without those of Antarctica."""
    found = [row for row in _named(settings, "countries") if row["continent"] != _NO_VISIT]
    return encode([row for row in found if continent in (None, row["continent"])])


def country(places: bytes, code: str) -> bytes:
    """One of the locations' countries by its alpha-2 code in capitals. Raises NotFound."""
    for row in msgspec.json.decode(places)["countries"]:
        if row["id"] == code:
            return encode(row)
    raise NotFound("there is no such country: ids are ISO 3166 alpha-2 codes, as in /api/locations")


def departure(settings: Settings, occurrence_id: int) -> bytes:
    """One occurrence with all about its trip. Raises NotFound."""
    for row in _rows(settings, "departure", {"id": occurrence_id}):
        return encode(row)
    raise NotFound("there is no such departure, or it is not offered any more")


def page(settings: Settings, name: str, filters: Values, limit: int, cursor: str | None) -> bytes:
    """One page of templates or occurrences, and the cursor of the next one; null after the last."""
    key, after = _position(cursor, name)
    values = {**filters, "key": key, "id": after, "limit": limit + 1}
    rows = _rows(settings, name, values)
    more = len(rows) > limit
    keys = [row.pop("key") for row in rows[:limit]]
    return encode({"items": rows[:limit], "nextCursor": _cursor(keys[-1], rows[limit - 1]["id"]) if more else None})


def _cursor(key: str, row_id: int) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((key, row_id))).decode().rstrip("=")


def _position(cursor: str | None, name: str) -> tuple[str | None, int | None]:
    """The key and id that a cursor stands for. Raises InvalidRequest."""
    if cursor is None:
        return None, None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key, row_id = msgspec.json.decode(raw, type=tuple[str, int])
        if name == "occurrences":
            key = date.fromisoformat(key).isoformat()  # Python knows more ways to write a day than Postgres
    except ValueError:  # also what msgspec and base64 raise
        raise InvalidRequest(fields=[_BAD_CURSOR]) from None
    if "\0" in key or not 0 <= row_id < 1 << 63:
        raise InvalidRequest(fields=[_BAD_CURSOR])
    return key, row_id


def _named(settings: Settings, name: str) -> list[dict[str, Any]]:
    return sorted(_rows(settings, name, {}), key=_alphabetical)


def _alphabetical(row: Values) -> tuple[str, int | str]:
    """Å stands with A, and é with e."""
    letters = unicodedata.normalize("NFKD", row["nameEn"])
    return "".join(c for c in letters if not unicodedata.combining(c)).casefold(), row["id"]


def _rows(settings: Settings, name: str, values: Values) -> list[dict[str, Any]]:
    with (
        db.wrapped(),
        db.connect(settings, "tripstream_reader", statement_seconds_max=5) as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        return cursor.execute(_SQL[name], values).fetchall()
