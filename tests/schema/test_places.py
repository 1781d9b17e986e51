"""Countries and continents: the committed tables are what the script makes, and the migration loads them."""

from __future__ import annotations

import re

import psycopg
import pytest

from schema.places import generate
from schema.settings import Settings

HEBREW = re.compile(r"[\u0590-\u05ff]")


def test_the_committed_tables_are_what_the_script_makes() -> None:
    for name, text in generate.tables().items():
        assert (generate.HERE / name).read_text(encoding="utf-8") == text, "run python -m schema.places.generate"


def test_there_are_the_countries_of_iso_3166_and_kosovo_with_names_in_both_languages() -> None:
    countries = generate.rows("countries")
    assert len(countries) == 249 + 1
    assert {"IL", "AQ", "XK", "TW", "UM"} <= {row["country"] for row in countries}
    assert not {row["country"] for row in countries} & (generate.NOT_ISO | {"EU", "UN", "UK", "AN", "ZZ"})
    for column in ("country", "name_en", "name_he"):
        assert len({row[column] for row in countries}) == 250
    assert [row["country"] for row in countries if not HEBREW.search(row["name_he"])] == []
    assert {row["continent"] for row in countries} == {row["continent"] for row in generate.rows("continents")}


def test_each_override_is_of_a_country_and_says_why() -> None:
    overrides = generate.rows("overrides")
    located = {row["country"]: row["continent"] for row in generate.rows("countries")}
    assert {row["country"]: row["continent"] for row in overrides}.items() <= located.items()
    assert all(len(row["reason"]) > 30 for row in overrides)
    assert {"AQ", "CY", "IO", "TF", "GS", "BV", "HM"} <= {row["country"] for row in overrides}


def test_containment_is_read_from_cldrs_document() -> None:
    tree = {"142": ["145"], "145": ["IL", "QO"], "QO": ["AC"], "009": ["QO", "NZ"], "EU": ["FR"]}
    document = {"supplemental": {"territoryContainment": {k: {"_contains": v} for k, v in tree.items()}}}
    assert generate.extract(document) == "country,region\nIL,142\nNZ,009\n"
    document["supplemental"]["territoryContainment"]["150"] = {"_contains": ["IL"]}
    with pytest.raises(ValueError, match="two regions"):
        generate.extract(document)


def test_the_migration_loads_them(settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as connection:
        stored = connection.execute("SELECT country, name_en, name_he, continent FROM countries").fetchall()
        continents = connection.execute("SELECT continent, name_en, name_he FROM continents").fetchall()
    assert set(stored) == {tuple(row.values()) for row in generate.rows("countries")}
    assert set(continents) == {tuple(row.values()) for row in generate.rows("continents")}
