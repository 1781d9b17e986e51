"""The demo catalogue: realistic, and the same for the same number of occurrences, seed and day. In: how many. Out: rows
of every table of the catalogue, through COPY in one transaction: a crash leaves what was there.

Web processes are told once, by one row for everything, and not by every statement.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from itertools import product
from typing import Any, LiteralString, NamedTuple

from psycopg import sql

from recommender import seed_words as words
from recommender.seed_words import KINDS, TAGS, Kind, Region
from schema.db import Connection
from schema.errors import ConfigError
from schema.sql import load

Row = tuple[Any, ...]
_SQL = load("seeding")
_DAYS = 548  # eighteen months
_GUIDES = 60
_TELL_EVERY = 5_000
_TAG_IDS = {code: n for n, code in enumerate(TAGS, 1)}
_COLUMNS: dict[LiteralString, tuple[LiteralString, ...]] = {
    "companies": ("company_id", "name", "is_active"),
    "guides": ("guide_id", "name_en", "name_he", "is_active"),
    "trip_types": ("type_id", "code", "name_en", "name_he"),
    "tags": ("tag_id", "code", "name_en", "name_he"),
    "trip_templates": (
        "template_id", "company_id", "title_en", "title_he", "description_en", "description_he", "type_id",
        "primary_country", "difficulty", "base_price", "duration_days", "is_active",
    ),
    "trip_template_countries": ("template_id", "country"),
    "trip_template_tags": ("template_id", "tag_id"),
    "trip_occurrences": (
        "occurrence_id", "template_id", "starts_on", "ends_on", "price", "guide_id", "seats", "seats_left", "status",
    ),
}  # fmt: skip


class Template(NamedTuple):
    """A template's row, what hangs on it, and what its occurrences are made from."""

    row: Row
    countries: list[str]
    tags: list[str]
    price: int
    days: int


def fill(
    connection: Connection,
    occurrences: int,
    today: date,
    *,
    seed: int = 1,
    replace: bool = False,
    progress: Callable[[int], None] = lambda _more: None,
) -> None:
    """Make the catalogue, as the owner; of no occurrences an empty one. `progress` is told how many more are in.

    Raises ConfigError where there is a catalogue already, unless it is to be replaced.
    """
    with connection.transaction():
        connection.execute("SET LOCAL tripstream.bulk = 'on'")
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute(_SQL["lock_catalogue"])
        if replace:
            _clear(connection)
        elif _there(connection):
            raise ConfigError("there is a catalogue already: --replace deletes it, trips of your own included")
        if occurrences:
            _copy_all(connection, occurrences, today, seed, progress)
            connection.execute(_SQL["restart_ids"])
            connection.execute(_SQL["analyze"])
        connection.execute("INSERT INTO catalogue_changes VALUES (NULL)")
        connection.execute("SELECT pg_notify('catalogue', '')")


def fill_new(connection: Connection, occurrences: int, today: date) -> bool:
    """Make the catalogue where there never was a trip. Returns whether it did: what was deleted does not come back."""
    if not connection.execute(_SQL["never_filled"]).fetchall()[0][0] or _there(connection):
        return False
    fill(connection, occurrences, today)
    return True


def _there(connection: Connection) -> bool:
    return bool(connection.execute(_SQL["catalogue_exists"]).fetchall()[0][0])


def _clear(connection: Connection) -> None:
    """DELETE rather than TRUNCATE: whoever reads meanwhile goes on reading."""
    for table in reversed(_COLUMNS):
        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))


def _copy_all(
    connection: Connection, occurrences: int, today: date, seed: int, progress: Callable[[int], None]
) -> None:
    names = {code: (en, he) for code, en, he in connection.execute("SELECT country, name_en, name_he FROM countries")}
    made = list(templates(max(1, occurrences // 10), seed, names))
    for table, rows in _small_tables().items():
        _copy(connection, table, rows)
    _copy(connection, "trip_templates", (one.row for one in made))
    _copy(connection, "trip_template_countries", ((one.row[0], c) for one in made for c in one.countries))
    _copy(connection, "trip_template_tags", ((one.row[0], _TAG_IDS[tag]) for one in made for tag in one.tags))
    _copy(connection, "trip_occurrences", departures(made, occurrences, today, seed), progress)


def _copy(
    connection: Connection,
    table: LiteralString,
    rows: Iterable[Row],
    progress: Callable[[int], None] = lambda _more: None,
) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS[table]))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)
    done = 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for done, row in enumerate(rows, 1):
            copy.write_row(row)
            if not done % _TELL_EVERY:
                progress(_TELL_EVERY)
    progress(done % _TELL_EVERY)


def _small_tables() -> dict[LiteralString, list[Row]]:
    people = list(product(words.FIRST_NAMES, words.LAST_NAMES))[:: len(words.FIRST_NAMES) * len(words.LAST_NAMES) // 60]
    guides = [(f"{first[0]} {last[0]}", f"{first[1]} {last[1]}") for first, last in people[:_GUIDES]]
    return {
        "companies": [(n, name, n != 30) for n, name in enumerate(words.COMPANIES, 1)],
        "guides": [(n, *name, n % 20 != 0) for n, name in enumerate(guides, 1)],
        "trip_types": [(n, kind.code, *kind.name) for n, kind in enumerate(KINDS, 1)],
        "tags": [(_TAG_IDS[code], code, *name) for code, name in TAGS.items()],
    }


def templates(count: int, seed: int, names: dict[str, tuple[str, str]]) -> Iterator[Template]:
    """The "what": countries of one region, a type, two to four of the type's themes, a price after place and length."""
    chance = random.Random(f"templates {seed}")  # noqa: S311 a demo, not a secret
    weights = [sum(weight for _, weight in region.countries) for region in words.REGIONS]
    for template_id in range(1, count + 1):
        region = chance.choices(words.REGIONS, weights)[0]
        type_id = chance.randrange(len(KINDS)) + 1
        yield _template(chance, template_id, region, type_id, names)


def _template(
    chance: random.Random, template_id: int, region: Region, type_id: int, names: dict[str, tuple[str, str]]
) -> Template:
    kind = KINDS[type_id - 1]
    primary = chance.choices([code for code, _ in region.countries], [weight for _, weight in region.countries])[0]
    others = [code for code, _ in region.countries if code != primary]
    more = chance.sample(others, chance.choice((0, 0, 0, 1, min(2, len(others)))) if others else 0)
    tags = chance.sample(kind.themes, chance.randint(2, min(4, len(kind.themes))))
    days = chance.randint(*kind.days)
    difficulty = min(3, 1 + int(chance.random() * 2.2) + (kind.code in ("trekking", "cycling")))
    price = round((region.way + region.day * days) * kind.price * chance.uniform(0.85, 1.2), -1)
    row = (
        template_id, chance.randint(1, len(words.COMPANIES)), *_title(chance, kind, names[primary]),
        *_description(chance, days, tags, names[primary]), type_id, primary, difficulty, int(price), days,
        chance.random() > 0.03,
    )  # fmt: skip
    return Template(row, more, tags, int(price), days)


def _title(chance: random.Random, kind: Kind, name: tuple[str, str]) -> list[str]:
    return [text.format(en=name[0], he=name[1]) for text in chance.choice(kind.titles)]


def _description(chance: random.Random, days: int, tags: list[str], name: tuple[str, str]) -> list[str]:
    opening = chance.choice(words.OPENINGS)
    return [
        " ".join([opening[n].format(days=days, en=name[0], he=name[1]), *(words.PARTS[tag][n] for tag in tags)])
        for n in (0, 1)
    ]


def departures(made: list[Template], count: int, today: date, seed: int) -> Iterator[Row]:
    """The "when": around ten a template, from today on, the nearer the fuller."""
    chance = random.Random(f"occurrences {seed}")  # noqa: S311 a demo, not a secret
    occurrence_id = 0
    for n, template in enumerate(made):
        shift = random.Random(n // 2).randrange(7) if n ^ 1 < len(made) else 0  # noqa: S311 two share twenty unevenly
        size = count * (n + 1) // len(made) - count * n // len(made)
        size += min(shift, count // len(made) - 1) * (1 if n % 2 else -1) if size else 0
        for _ in range(size):
            occurrence_id += 1
            yield (occurrence_id, template.row[0], *_departure(chance, template, today))


def _departure(chance: random.Random, template: Template, today: date) -> Row:
    ahead = int(chance.random() * _DAYS)
    starts_on = today + timedelta(days=ahead)
    season = 1.15 if starts_on.month in (4, 7, 8, 10) else 0.93 if starts_on.month in (1, 2, 11) else 1.0
    price = int(template.price * season * (0.95 + 0.1 * chance.random()) / 10) * 10
    seats = 8 + int(chance.random() * 17)
    filled = 0.95 - ahead / _DAYS + 0.45 * (chance.random() - 0.5)
    left = min(seats, max(0, round(seats * (1 - filled))))
    status = "Cancelled" if chance.random() < 0.03 else _status(seats, left)
    guide_id = int(chance.random() * _GUIDES) + 1 if chance.random() < 0.9 else None
    return starts_on, starts_on + timedelta(days=template.days - 1), price, guide_id, seats, left, status


def _status(seats: int, left: int) -> str:
    if not left:
        return "Full"
    if left <= max(2, seats * 0.15):
        return "Last Places"
    return "Guaranteed" if left <= seats * 0.55 else "Open"
