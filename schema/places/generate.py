"""Makes continents.csv and countries.csv: `python -m schema.places.generate [territoryContainment.json]`.

In: names from Babel, containment.csv, overrides.csv. Out: the two tables, committed, which a migration loads; a test
makes them again and compares. With CLDR's own territoryContainment.json, containment.csv is made from it first.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from babel import Locale

HERE = Path(__file__).parent
REGIONS = {"AF": "002", "AS": "142", "EU": "150", "NA": "003", "OC": "009", "SA": "005"}  # as UN M49 numbers them
NAMED_AS = REGIONS | {"AN": "AQ"}  # CLDR has no region Antarctica, only the territory
# In CLDR's tree, but not assigned by ISO 3166: reserved codes, and QO, CLDR's own "Outlying Oceania".
NOT_ISO = frozenset({"AC", "CP", "CQ", "DG", "EA", "IC", "QO", "TA"})


def tables() -> dict[str, str]:
    """Both files by name, as they have to be."""
    english, hebrew = Locale("en").territories, Locale("he").territories
    continent_of = {number: continent for continent, number in REGIONS.items()}
    located = {row["country"]: continent_of[row["region"]] for row in rows("containment")}
    located |= {row["country"]: row["continent"] for row in rows("overrides")}
    return {
        "continents.csv": _text(
            [("continent", "name_en", "name_he")]
            + [(code, english[name], hebrew[name]) for code, name in sorted(NAMED_AS.items())]
        ),
        "countries.csv": _text(
            [("country", "name_en", "name_he", "continent")]
            + [(code, english[code], hebrew[code], continent) for code, continent in sorted(located.items())]
        ),
    }


def rows(name: str) -> list[dict[str, str]]:
    """The rows of one of our CSV files."""
    with (HERE / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def extract(document: dict[str, Any]) -> str:
    """containment.csv from CLDR's document: each ISO country and XK with the one region of REGIONS that it lies in."""
    tree = document["supplemental"]["territoryContainment"]
    found = {(code, region) for region in REGIONS.values() for code in _leaves(tree, region) if code not in NOT_ISO}
    if len({code for code, _ in found}) != len(found):
        raise ValueError("a country lies in two regions")
    return _text([("country", "region"), *sorted(found)])


def _leaves(tree: dict[str, Any], region: str) -> Iterator[str]:
    for inner in tree.get(region, {}).get("_contains", ()):
        if inner.isalpha():
            yield inner
        yield from _leaves(tree, inner)


def _text(table: Iterable[tuple[str, ...]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(table)
    return out.getvalue()


def main(arguments: list[str]) -> None:
    """Write what has changed."""
    for path in arguments:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        (HERE / "containment.csv").write_text(extract(document), encoding="utf-8")
    for name, text in tables().items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
