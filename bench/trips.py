"""A catalogue for benchmarks, made of chance with a seed, and what visitors ask of it.

In: how many occurrences. Out: the arrays that a snapshot is built from, the same rows in Postgres, and sixty
preferences: with no filter at all, with any mixture, or so narrow that few trips pass.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from recommender.columns import OccurrenceArrays, TemplateArrays, days
from recommender.preferences import Preferences
from recommender.trips import STATUSES
from schema.db import Connection

TODAY = date(2027, 1, 15)
PER_TEMPLATE, TYPES, TAGS, ASKED = 10, 8, 20, 60
_COPY = {
    "trip_types": "COPY trip_types (type_id, code, name_en, name_he) FROM STDIN",
    "tags": "COPY tags (tag_id, code, name_en, name_he) FROM STDIN",
    "templates": "COPY trip_templates (template_id, company_id, title_en, title_he, type_id, primary_country,"
    " difficulty, base_price, duration_days) FROM STDIN",
    "countries": "COPY trip_template_countries FROM STDIN",
    "template_tags": "COPY trip_template_tags FROM STDIN",
    "occurrences": "COPY trip_occurrences (occurrence_id, template_id, starts_on, ends_on, price, seats, seats_left,"
    " status) FROM STDIN",
}


class Catalogue(NamedTuple):
    """The same trips for both sides."""

    templates: TemplateArrays
    occurrences: OccurrenceArrays
    continents: Mapping[str, str]


def make(occurrences: int, continents: Mapping[str, str]) -> Catalogue:
    """Ten occurrences a template; a few countries have most of them; leaving from a month ago to two years ahead."""
    chance = np.random.default_rng(7)
    count = occurrences // PER_TEMPLATE
    codes = sorted(country for country, continent in continents.items() if continent != "AN")
    shares = 1 / (chance.permutation(len(codes)) + 5.0)
    shares /= shares.sum()
    some = chance.choice(len(codes), (count, 2), p=shares)
    both = chance.random(count) < 0.25
    countries = [tuple(dict.fromkeys(codes[n] for n in row[: 1 + two])) for row, two in zip(some, both, strict=True)]
    tags = (np.uint64(1) << chance.integers(1, TAGS + 1, (count, 3)).astype(np.uint64)).T
    duration = chance.integers(4, 22, count)
    ids = np.arange(1, count + 1)
    themes = np.bitwise_or.reduce(tags)
    types, difficulty = chance.integers(1, TYPES + 1, count), chance.integers(1, 4, count)
    templates = TemplateArrays(ids, countries, types, themes, difficulty, duration)
    of = chance.integers(0, count, occurrences)
    price = duration[of] * chance.integers(8_000, 40_000, occurrences)
    starts_on = days(TODAY) + chance.integers(-30, 730, occurrences)
    status = chance.choice(5, occurrences, p=[0.6, 0.15, 0.1, 0.1, 0.05])
    rows = OccurrenceArrays(np.arange(1, occurrences + 1), ids[of], starts_on, price, status)
    return Catalogue(templates, rows, continents)


def store(connection: Connection, made: Catalogue) -> None:
    """The rows, without triggers and checks of foreign keys, which would take most of the time."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("INSERT INTO companies (company_id, name) VALUES (1, 'one')")
        for table, rows in _tables(made):
            with connection.cursor() as cursor, cursor.copy(_COPY[table]) as copy:
                for row in rows:
                    copy.write_row(row)
    connection.execute("ANALYZE")


def _tables(made: Catalogue) -> Iterator[tuple[str, Iterator[tuple[Any, ...]]]]:
    yield "trip_types", ((n, f"type{n}", f"type {n}", f"type {n}") for n in range(1, TYPES + 1))
    yield "tags", ((n, f"tag{n}", f"tag {n}", f"tag {n}") for n in range(1, TAGS + 1))
    ids, countries, types, themes, difficulty, duration = (list(map(_plain, column)) for column in made.templates)
    kinds = zip(ids, countries, types, difficulty, duration, strict=True)
    yield "templates", ((at, 1, "a trip", "a trip", kind, c[0], level, 0, long) for at, c, kind, level, long in kinds)
    yield "countries", ((at, more) for at, codes in zip(ids, countries, strict=True) for more in codes[1:])
    numbers = range(1, TAGS + 1)
    yield "template_tags", ((at, n) for at, mask in zip(ids, themes, strict=True) for n in numbers if mask >> n & 1)
    starts = made.occurrences.starts_on.astype("datetime64[D]").tolist()
    rows = zip(*(column.tolist() for column in made.occurrences), starts, strict=True)
    yield (
        "occurrences",
        ((at, of, on, on, Decimal(cents) / 100, 20, 9, STATUSES[code]) for at, of, _, cents, code, on in rows),
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, tuple) else int(value)


def usual(continents: Mapping[str, str]) -> list[Preferences]:
    """Nothing at all, then any mixture."""
    chance = random.Random(3)
    return [Preferences(), *(_wish(chance, continents, 0.4) for _ in range(ASKED - 1))]


def narrow(continents: Mapping[str, str]) -> Iterator[Preferences]:
    """One country and most filters, without end."""
    chance = random.Random(4)
    while True:
        wish = _wish(chance, continents, 0.8)
        yield wish.model_copy(update={"selected_countries": wish.selected_countries[:1] or ["FR"]})


def _wish(chance: random.Random, continents: Mapping[str, str], share: float) -> Preferences:
    countries = sorted(country for country, continent in continents.items() if continent != "AN")
    shortest = chance.randint(4, 14)
    possible: dict[str, Any] = {
        "preferred_type_id": chance.randint(1, TYPES),
        "preferred_theme_ids": chance.sample(range(1, TAGS + 1), chance.randint(1, 3)),
        "min_duration": shortest,
        "max_duration": shortest + chance.randint(0, 7),
        "budget": Decimal(chance.randint(800, 6000)),
        "difficulty": chance.randint(1, 3),
        "year": chance.choice([2027, 2028]),
        "month": chance.randint(1, 12),
    }
    where = {
        "selected_countries": chance.sample(countries, chance.randint(1, 3)),
        "selected_continents": chance.sample(["AF", "AS", "EU", "NA", "OC", "SA"], chance.randint(1, 2)),
    }
    place = chance.choice(sorted(where))
    asked = {name: value for name, value in possible.items() if chance.random() < share}
    return Preferences(**asked, **({place: where[place]} if chance.random() < 1.5 * share else {}))
