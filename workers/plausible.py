"""Days of Plausible's export. In: its zip of CSV files, which hold sums per day and no event. Out: each day's figures
as the daily tables have them; or BadRows, which names every bad row with its file's line and reason.

What the export does not say is not made up: who came on several days (visitors of different days count as different
ones), how long each session was (each is as long as the day's average), and hours.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

from schema import histogram, sketch
from schema.errors import BadRows, ConfigError

SOURCE = "plausible"
_NAME = re.compile(r"imported_([a-z_]+?)(?:_\d{8}_\d{8})?\.csv")
_VISITORS = "visitors"
_PAGE_VIEWS = ("pageview", "page_view")  # own events of these names are the page views over again
_COUNT_MAX = 1 << 40

# Which column of which file is which dimension here, and which other one counts its sessions.
_DIMENSIONS = (
    ("pages", "page", "path", "visits"),
    ("entry_pages", "entry_page", "entry_path", "entrances"),
    ("exit_pages", "exit_page", "exit_path", "visits"),
    ("locations", "country", "country", "visits"),
    ("devices", "device", "device", "visits"),
    ("browsers", "browser", "browser", "visits"),
    ("operating_systems", "operating_system", "os", "visits"),
    ("sources", "utm_source", "utm_source", "visits"),
    ("sources", "utm_medium", "utm_medium", "visits"),
    ("sources", "utm_campaign", "utm_campaign", "visits"),
    ("sources", "utm_term", "utm_term", "visits"),
    ("sources", "utm_content", "utm_content", "visits"),
    ("sources", "referrer", "referrer", "visits"),
)
Row = Mapping[str, str]
Counted = dict[tuple[str, str], list[int]]


class Day(NamedTuple):
    """One day's sums. `events` of the site's own types: how often, and by how many visitors; `dimensions`: page views
    and sessions by dimension and value."""

    date: date
    visitors: int
    page_views: int
    sessions: int
    bounces: int
    length_ms: int
    events: dict[str, tuple[int, int]]
    dimensions: Counted

    @property
    def length_histogram(self) -> list[int]:
        """All of the day's sessions at their average."""
        average = self.length_ms // self.sessions if self.sessions else 0
        bucket = sum(edge <= average for edge in histogram.EDGES)
        return histogram.of([(bucket, self.sessions)])

    def sketch_of(self, visitors: int) -> bytes:
        """Some of the day's visitors; those of one day are the same ones in each of its sketches."""
        return sketch.of(f"{SOURCE} {self.date} {n}" for n in range(visitors))

    @property
    def paths(self) -> dict[str, int]:
        """Page views by path."""
        return {value: views for (name, value), (views, _) in self.dimensions.items() if name == "path"}


def read(path: Path) -> list[Day]:
    """Every day of the export, in order. Raises BadRows, or ConfigError for a file that is no such export."""
    problems: list[tuple[int, str]] = []
    tables = {name: list(_rows(name, text, problems)) for name, text in _texts(path)}
    if _VISITORS not in tables:
        raise ConfigError(f"{path} is no export of Plausible's: there is no imported_{_VISITORS}_….csv in it")
    if problems:
        raise BadRows(problems=problems)
    dimensions: defaultdict[date, Counted] = defaultdict(dict)
    for table, column, dimension, sessions in _DIMENSIONS:
        for on, row in tables.get(table, ()):
            if value := row.get(column) or (row.get("source", "") if column == "referrer" else ""):
                value = _host(value) if column == "referrer" else value
                known = dimensions[on].setdefault((dimension, value), [0, 0])
                known[0] += int(row.get("pageviews") or 0)
                known[1] += int(row.get(sessions) or row.get("visits") or 0)
    events = _own_events(tables.get("custom_events", ()))
    return [
        _day(on, row, events[on], dimensions[on]) for on, row in sorted(tables[_VISITORS], key=lambda pair: pair[0])
    ]


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """The tables in the zip, by name."""
    try:
        with zipfile.ZipFile(path) as pack:
            for name in pack.namelist():
                if found := _NAME.fullmatch(name.rpartition("/")[2]):
                    yield found[1], pack.read(name).decode("utf-8-sig")
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _rows(table: str, text: str, problems: list[tuple[int, str]]) -> Iterator[tuple[date, Row]]:
    """Rows with their day. What is wrong is noted, and the row left out."""
    rows = csv.DictReader(io.StringIO(text))
    days: set[date] = set()
    try:
        for row in rows:
            try:
                on = _checked(row)
                if table == _VISITORS and on in days:
                    raise ValueError(f"{on} is there twice")
                days.add(on)
                yield on, row
            except ValueError as error:
                problems.append((rows.line_num, f"imported_{table}: {error}"))
    except csv.Error as error:
        problems.append((rows.line_num + 1, f"imported_{table}: cannot be read: {error}"))


def _checked(row: Mapping[str | None, str | None]) -> date:
    """The row's day. Raises ValueError."""
    if None in row or None in row.values():
        raise ValueError("it has another number of fields than the header")
    for name in ("visitors", "pageviews", "visits", "bounces", "visit_duration", "entrances", "events"):
        said = row.get(name)
        if said and not (re.fullmatch(r"\d{1,13}", said, re.ASCII) and int(said) <= _COUNT_MAX):
            raise ValueError(f"{name} is no whole number from 0: {said[:50]!r}")
    if any("\0" in (value or "") for value in row.values()):
        raise ValueError("it holds the character U+0000")
    try:
        return date.fromisoformat(row.get("date") or "")
    except ValueError:
        raise ValueError(f"date is no day like 2024-01-31: {str(row.get('date'))[:50]!r}") from None


def _own_events(rows: Iterable[tuple[date, Row]]) -> defaultdict[date, dict[str, tuple[int, int]]]:
    """Per day, events of the site's own types and the visitors who sent them."""
    found: defaultdict[date, dict[str, tuple[int, int]]] = defaultdict(dict)
    for on, row in rows:
        name = row.get("name", "")[:100]
        events, visitors = found[on].get(name, (0, 0))
        found[on][name] = (events + int(row.get("events") or 0), visitors + int(row.get("visitors") or 0))
    return found


def _day(on: date, row: Row, events: dict[str, tuple[int, int]], dimensions: Counted) -> Day:
    def number(name: str) -> int:
        return int(row.get(name) or 0)

    return Day(
        date=on,
        visitors=number("visitors"),
        page_views=number("pageviews"),
        sessions=number("visits"),
        bounces=number("bounces"),
        length_ms=number("visit_duration") * 1000,
        events={name: both for name, both in events.items() if name and name not in _PAGE_VIEWS},
        dimensions=dimensions,
    )


def _host(referrer: str) -> str:
    return re.sub(r"^www\.", "", referrer.lower().split("//")[-1].split("/")[0]) or referrer
