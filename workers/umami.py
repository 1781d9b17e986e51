"""Rows of Umami's export as events. In: its `website_event.csv`, by itself or in its zip. Out: canonical events with
their country; or BadRows, which names every bad row with its line and reason.

Umami's session, which is a visitor for a month, becomes the visitor, its visit the session. Ids follow from Umami's
own, so a file imported twice is stored once. What has no field here (browser, system, language, city, title) is kept in
the metadata. No address is in the file, and none comes out.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec

from schema.errors import BadRows, ConfigError
from schema.event import MICROSECOND, Event, derived_id

SOURCE = "umami"
_FILE = "website_event.csv"
_NEEDED = frozenset({"session_id", "created_at", "url_path", "event_type"})
_PAGE_VIEW, _CUSTOM = "1", "2"
_KEPT = ("browser", "os", "language", "region", "subdivision1", "city", "page_title", "tag", "distinct_id")
_UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(2005, 1, 1, tzinfo=UTC)
_TEXT_MAX, _ADDRESS_MAX, _TYPE_MAX = 500, 2048, 100
_PROBLEMS_MAX = 1000


class Read(NamedTuple):
    """An event and the country that its visitor was in."""

    event: Event
    country: str | None


def read(path: Path, site_id: str, now: int) -> Iterator[Read]:
    """Every row of the file, in its order. Raises BadRows at the end, once all of them were looked at, or ConfigError
    for a file that cannot be read at all."""
    problems: list[tuple[int, str]] = []
    with _opened(path) as lines:
        rows = csv.DictReader(lines)
        if missing := _NEEDED - {*(rows.fieldnames or ())}:
            raise ConfigError(f"{path} is no export of Umami's events: it has no column {', '.join(sorted(missing))}")
        try:
            for row in rows:
                try:
                    yield _read(row, site_id, now)
                except ValueError as error:
                    problems.append((rows.line_num, str(error)))
                    if len(problems) >= _PROBLEMS_MAX:
                        break
        except (csv.Error, UnicodeDecodeError) as error:
            problems.append((rows.line_num + 1, f"cannot be read: {error}"))
    if problems:
        raise BadRows(problems=problems)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        if not zipfile.is_zipfile(path):
            with path.open(newline="", encoding="utf-8-sig") as lines:
                yield lines
            return
        with zipfile.ZipFile(path) as pack:
            names = [name for name in pack.namelist() if name.rpartition("/")[2] == _FILE]
            if not names:
                raise ConfigError(f"{path} has no {_FILE} in it")
            with pack.open(names[0]) as raw:
                yield io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _read(row: dict[str, str | None], site_id: str, now: int) -> Read:
    """One row. Raises ValueError."""
    if None in row or None in row.values():
        raise ValueError("it has another number of fields than the header")
    said = {name: value for name, value in row.items() if value and value != "\\N"}
    if any("\0" in value for value in said.values()):
        raise ValueError("it holds the character U+0000")
    visitor, visit = _needed(said, "session_id"), said.get("visit_id") or _needed(said, "session_id")
    at = _moment(_needed(said, "created_at"), now)
    kind = _type(said)
    path = _at_most(said, "url_path", _ADDRESS_MAX) or "/"
    own_id = said.get("event_id")
    identity = own_id or "\x1f".join(f"{name}={value}" for name, value in sorted(said.items()))
    event = Event(
        event_id=derived_id(site_id, SOURCE, "event", identity),
        event_type=kind,
        occurred_at=at,
        session_id=derived_id(site_id, SOURCE, "visit", visit),
        anonymous_id=_visitor(site_id, visitor),
        page_url=_address(said.get("hostname"), path, said.get("url_query")),
        path=path,
        referrer=_address(said.get("referrer_domain"), said.get("referrer_path"), said.get("referrer_query")),
        device_type=_at_most(said, "device", _TEXT_MAX),
        screen=_at_most(said, "screen", _TEXT_MAX),
        utm=_utm(said),
        metadata=_metadata(said),
    )
    country = said.get("country", "").upper()
    return Read(event, country if re.fullmatch("[A-Z]{2}", country) else None)


def _visitor(site_id: str, session_id: str) -> UUID:
    return derived_id(site_id, SOURCE, "visitor", session_id)


def _type(said: dict[str, str]) -> str:
    kind = _needed(said, "event_type")
    if kind == _PAGE_VIEW:
        return "page_view"
    if kind != _CUSTOM:
        raise ValueError(f"event_type is {kind!r}: 1 (a page view) and 2 (an event of the site's own) can be imported")
    name = _needed(said, "event_name").strip()
    if not name or len(name) > _TYPE_MAX:
        raise ValueError(f"event_name has to have 1 to {_TYPE_MAX} characters")
    return name


def _moment(text: str, now: int) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"created_at is no time like 2024-01-31 10:20:30: {text[:50]!r}") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    micros = (at - _EPOCH) // timedelta(microseconds=1)
    if at < _EARLIEST or micros > now:
        raise ValueError(f"created_at lies before {_EARLIEST:%Y} or in the future: {text}")
    return micros


def _needed(said: dict[str, str], name: str) -> str:
    if not (value := said.get(name)):
        raise ValueError(f"{name} is empty")
    return value


def _at_most(said: dict[str, str], name: str, length: int) -> str | None:
    value = said.get(name)
    if value is not None and len(value) > length:
        raise ValueError(f"{name} has {len(value)} characters; {length} can be kept")
    return value


def _address(host: str | None, path: str | None, query: str | None) -> str | None:
    """An address from its parts, cut where it is too long."""
    if not host:
        return None
    return f"https://{host}{path or '/'}{f'?{query}' if query else ''}"[:_ADDRESS_MAX]


def _utm(said: dict[str, str]) -> str | None:
    """As columns, which newer versions have, else as they stand in the address."""
    in_address = dict(parse_qsl(said.get("url_query", "")))
    found: dict[str, Any] = {name: value for name in _UTM if (value := said.get(name) or in_address.get(name))}
    found = {name: value for name, value in found.items() if "\0" not in value}
    return msgspec.json.encode(found).decode() if found else None


def _metadata(said: dict[str, str]) -> str:
    kept = {name: said[name][:_TEXT_MAX] for name in _KEPT if name in said}
    return msgspec.json.encode({"imported_from": SOURCE} | kept).decode()


def seconds(at: int) -> datetime:
    """Microseconds since 1970 as a time."""
    return _EPOCH + timedelta(microseconds=at // MICROSECOND * MICROSECOND)
