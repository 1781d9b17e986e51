"""Trips of a user's own: all of them or none, every bad row named, and a second import is an update."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recommender import importing
from recommender.importing_rows import read
from schema import db
from schema.errors import BadRows, ConfigError
from schema.settings import Settings

COUNTRIES = frozenset({"CH", "IT", "JP"})
Import = Callable[..., importing.Imported]


def row(**overrides: Any) -> dict[str, Any]:
    """A departure with its trip; `...` leaves a column out."""
    given = {
        "template_key": "alps", "company": "Mine", "title_en": "The Alps", "title_he": "האלפים", "type": "Trekking",
        "countries": "CH|IT", "tags": "Mountains|הליכה", "difficulty": 2, "base_price": "1500.50", "duration_days": 8,
        "starts_on": "2027-06-01", "seats": 12, "guide": "נועה לוי",
    }  # fmt: skip
    return {name: value for name, value in (given | overrides).items() if value is not ...}


@pytest.fixture
def connection(settings: Settings) -> Iterator[db.Connection]:
    with db.connect(settings) as found:
        yield found


def written(path: Path, *rows: dict[str, Any]) -> Path:
    """The rows as the path's ending says: CSV, or JSON lines."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, list({name: None for one in rows for name in one}))
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in rows)
    return path


@pytest.fixture
def load(connection: db.Connection, tmp_path: Path) -> Import:
    """Imports rows from a file of this kind."""

    def import_(*rows: dict[str, Any], kind: str = "csv") -> importing.Imported:
        return importing.load_file(connection, written(tmp_path / f"trips.{kind}", *rows))

    return import_


def reasons(path: Path, *rows: dict[str, Any]) -> list[tuple[int, str]]:
    """Why these rows are refused, without a database."""
    with pytest.raises(BadRows) as caught:
        read(written(path, *rows) if rows else path, COUNTRIES)
    return [tuple(problem) for problem in caught.value.problems]


def test_what_is_given_is_stored_and_the_rest_follows_from_it(load: Import, connection: db.Connection) -> None:
    later = row(title_en=..., starts_on="2027-07-01", ends_on="2027-07-10", price=1700, seats_left=3,
                status="Last Places", is_active="false", guide=...)  # fmt: skip
    assert load(row(), later) == (1, 2)
    template = connection.execute(
        "SELECT external_key, c.name, title_en, title_he, description_en, y.code, y.name_he, primary_country,"
        " difficulty, base_price::text, duration_days, t.is_active"
        " FROM trip_templates AS t JOIN companies AS c USING (company_id) JOIN trip_types AS y USING (type_id)"
    ).fetchall()
    assert template == [("alps", "Mine", "The Alps", "האלפים", "", "trekking", "Trekking", "CH", 2, "1500.50", 8, True)]
    columns = "external_key, starts_on::text, ends_on::text, price::text, name_he, seats, seats_left, status::text"
    occurrences = connection.execute(
        f"SELECT {columns}, o.is_active FROM trip_occurrences AS o LEFT JOIN guides USING (guide_id) ORDER BY starts_on"
    ).fetchall()
    assert occurrences == [
        ("2027-06-01", "2027-06-01", "2027-06-08", "1500.50", "נועה לוי", 12, 12, "Open", True),
        ("2027-07-01", "2027-07-01", "2027-07-10", "1700.00", None, 12, 3, "Last Places", False),
    ]
    assert connection.execute("SELECT country FROM trip_template_countries").fetchall() == [("IT",)]
    codes = connection.execute("SELECT code, name_en FROM tags JOIN trip_template_tags USING (tag_id) ORDER BY tag_id")
    (first, second) = codes.fetchall()
    assert first == ("mountains", "Mountains")
    assert second[0].startswith("x") and second[1] == "הליכה"


def test_json_lines_may_be_in_camel_case_with_lists_and_numbers(load: Import, connection: db.Connection) -> None:
    wire = {
        "templateKey": 7, "company": "Mine", "titleHe": "יפן", "type": "trek", "countries": ["jp"], "tags": [],
        "difficulty": 1, "basePrice": 99.9, "durationDays": 5, "startsOn": "2027-01-01", "seats": 0, "guide": None,
    }  # fmt: skip
    assert load(wire, kind="jsonl") == (1, 1)
    found = connection.execute(
        "SELECT t.external_key, title_en, base_price::text, status::text FROM trip_templates AS t"
        " JOIN trip_occurrences USING (template_id)"
    ).fetchall()
    assert found == [("7", "יפן", "99.90", "Full")]


def test_a_file_imported_again_updates_what_it_made_and_tells_which_templates_changed(
    load: Import, connection: db.Connection
) -> None:
    load(row(), row(starts_on="2027-07-01"), row(template_key="other"))
    ids = connection.execute("SELECT occurrence_id, template_id FROM trip_occurrences ORDER BY 1").fetchall()
    connection.execute("DELETE FROM catalogue_changes")
    load(row(company="Theirs", countries="IT|FR", tags="Mountains", seats=9, title_he="הרים"))
    assert connection.execute("SELECT occurrence_id, template_id FROM trip_occurrences ORDER BY 1").fetchall() == ids
    found = connection.execute("SELECT primary_country, title_he FROM trip_templates ORDER BY 1 DESC").fetchall()
    assert found == [("IT", "הרים"), ("CH", "האלפים")]
    assert connection.execute("SELECT seats FROM trip_occurrences ORDER BY 1").fetchall() == [(9,), (12,), (12,)]
    changed = connection.execute("SELECT DISTINCT template_id FROM catalogue_changes").fetchall()
    assert changed == [(ids[0][1],)]
    of_first = "SELECT count(*) FROM {} WHERE template_id = %s"
    for table in ("trip_template_tags", "trip_template_countries"):
        assert connection.execute(of_first.format(table), (ids[0][1],)).fetchall() == [(1,)]


def test_names_that_are_known_are_found_whatever_their_case_or_language(
    load: Import, connection: db.Connection
) -> None:
    connection.execute("INSERT INTO trip_types (type_id, code, name_en, name_he) VALUES (5, 'trek', 'Treks', 'טרקים')")
    connection.execute("INSERT INTO tags (tag_id, code, name_en, name_he) VALUES (2, 'wine', 'Wine', 'יין')")
    for n, name in enumerate(("TREK", "treks", "טרקים")):
        load(row(template_key=f"t{n}", type=name, tags="Wine|יין", company=("MINE", "mine", "Mine")[n]))
    assert connection.execute("SELECT DISTINCT type_id FROM trip_templates").fetchall() == [(5,)]
    assert connection.execute("SELECT DISTINCT tag_id FROM trip_template_tags").fetchall() == [(2,)]
    for table in ("trip_types", "tags", "companies", "guides"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchall() == [(1,)], table


def test_names_that_make_the_same_code_stay_two(load: Import, connection: db.Connection) -> None:
    load(row(type="Jeep!"), row(template_key="b", type="Jeep?"))
    codes = [code for (code,) in connection.execute("SELECT code FROM trip_types ORDER BY type_id")]
    assert codes[0] == "jeep" and codes[1].startswith("jeep_")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"difficulty": 4}, "difficulty: Input should be less than or equal to 3"),
        ({"difficulty": ...}, "difficulty: Field required"),
        ({"difficulty": True}, "difficulty: is true or false, where a number belongs"),
        ({"countries": "CH|UK"}, "countries: 'UK' is no ISO 3166 alpha-2 code"),
        ({"starts_on": "1/6/2027"}, "starts_on: is no day like 2027-03-31"),
        ({"starts_on": "1700000000"}, "starts_on: is no day like 2027-03-31"),
        ({"starts_on": "2027-02-30"}, "starts_on: Input should be a valid date or datetime, day value is outside"),
        ({"ends_on": "2027-05-31"}, "ends_on: is before starts_on"),
        ({"seats_left": 13}, "seats_left: is more than seats"),
        ({"seats_left": 0, "status": "Open"}, "status: is Open, but no seats are left"),
        ({"status": "Sold"}, "status: Input should be 'Open'"),
        ({"base_price": "NaN"}, "base_price: "),
        ({"base_price": "100000000"}, "base_price: "),
        ({"base_price": "1.234"}, "base_price: "),
        ({"title_en": ..., "title_he": ...}, "title_en: give it, or title_he"),
        ({"company": "a\0b"}, "company: "),
        ({"template_key": ...}, "template_key: Field required"),
        ({"nonsense": 1}, "nonsense: Extra inputs are not permitted"),
    ],
)
def test_a_bad_row_is_named_with_its_reason(tmp_path: Path, wrong: dict[str, Any], reason: str) -> None:
    bad = row(template_key="bad", starts_on="2027-08-01") | wrong
    lists = {name: bad[name].split("|") for name in ("countries", "tags")}
    given = {name: value for name, value in (bad | lists).items() if value is not ...}
    good = row() | {"countries": ["CH"], "tags": []}
    found = reasons(tmp_path / "x.jsonl", good, given)
    assert [line for line, _ in found] == [2]
    assert found[0][1].startswith(reason)


def test_where_one_row_is_bad_nothing_is_imported(load: Import, connection: db.Connection) -> None:
    with pytest.raises(BadRows):
        load(row(), row(template_key="bad", difficulty=4))
    for table in ("trip_templates", "companies", "guides", "tags", "catalogue_changes"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)], table


def test_every_bad_row_is_named_by_the_line_on_which_it_begins(tmp_path: Path) -> None:
    rows = [
        row(description_en="two\nlines"), row(seats=-1, starts_on="2027-06-02"),
        row(difficulty=1, starts_on="2027-06-03"), row(),
        row(tags="wine", difficulty="x", seats="many", starts_on="2027-06-05"),
    ]  # fmt: skip
    assert reasons(tmp_path / "x.csv", *rows) == [
        (4, "seats: Input should be greater than or equal to 0"),
        (5, "difficulty: line 2 says otherwise of this template_key"),
        (6, "occurrence_key: this departure is on line 2 already"),
        (7, "difficulty: Input should be a valid integer, unable to parse string as an integer"),
        (7, "difficulty: line 2 says otherwise of this template_key"),
        (7, "seats: Input should be a valid integer, unable to parse string as an integer"),
        (7, "tags: line 2 says otherwise of this template_key"),
    ]


def test_what_only_a_later_row_says_of_a_trip_is_refused_and_not_lost(tmp_path: Path) -> None:
    rows = [row(tags=..., starts_on="2027-05-01"), row(description_en="Peaks")]
    assert reasons(tmp_path / "x.csv", *rows) == [
        (3, "description_en: line 2 says otherwise of this template_key"),
        (3, "tags: line 2 says otherwise of this template_key"),
    ]


def test_fifty_reasons_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    rows = [row(template_key=f"t{n}", seats="x") for n in range(60)]
    with pytest.raises(BadRows) as caught:
        read(written(tmp_path / "x.csv", *rows), COUNTRIES)
    lines = caught.value.message.split("\n")
    assert lines[0] == "nothing was imported, for 60 reasons:"
    assert lines[1].startswith("line 2: seats") and lines[-1] == "and 10 more"
    assert len(lines) == 52


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", b"", "lacks the columns"),
        ("x.csv", b"template_key,seats\n", "lacks the columns base_price, company"),
        ("x.xls", b"", "neither .csv nor .jsonl"),
        ("missing/x.csv", None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_something_else_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        read(path, COUNTRIES)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "is no JSON in UTF-8"),
        (b"[" * 100_000, "is no JSON in UTF-8"),
        (b'{"company": "\xff"}', "is no JSON in UTF-8"),
        (b'{"company": "\\ud800"}', "is no JSON in UTF-8"),
        (b"[1]", "is no JSON object"),
        (b'{"line": 1}', "is no JSON object"),
    ],
)
def test_a_line_that_is_no_json_is_named(tmp_path: Path, line: bytes, says: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n" + line + b"\n")
    ((number, reason),) = reasons(path)
    assert number == 2 and reason.startswith(says)


@pytest.mark.parametrize("broken", [b'a,"b', b"a,\xff", b"," * 40])
def test_a_line_that_is_no_csv_is_named(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(",".join(row()).encode() + b"\n" + broken + b"\n")
    assert {line for line, _ in reasons(path)} == {2}


def test_a_tag_too_many_is_refused(load: Import, connection: db.Connection) -> None:
    assert load(row(tags="|".join(f"tag {n}" for n in range(63)))) == (1, 1)
    with pytest.raises(BadRows, match="line 3: tags: there can be 63"):
        load(row(template_key="b", tags="TAG 1"), row(template_key="c", tags="one more"))
    assert connection.execute("SELECT count(*), max(tag_id) FROM tags").fetchall() == [(63, 63)]


def test_thousands_of_rows_are_stored(load: Import, connection: db.Connection) -> None:
    rows = [row(template_key=f"t{n % 600}", occurrence_key=f"o{n}") for n in range(6_000)]
    assert load(*rows) == (600, 6_000)
    assert connection.execute("SELECT count(DISTINCT template_id), count(*) FROM trip_occurrences").fetchall() == [
        (600, 6_000)
    ]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('"price": NaN', "NaN is no number in JSON"),
        ('"basePrice": -Infinity', "-Infinity is no number in JSON"),
        ('"seats": 1, "seats": 2', "'seats' is given twice"),
        ('"template_key": "a", "templateKey": "b"', "'templateKey' is given as 'template_key' too"),
        ('"x\\ud800": 1, "x\\ud800": 2', r"'x\ud800' is given twice"),
    ],
)
def test_json_that_could_be_read_in_two_ways_or_none_is_refused_for_what_it_is(
    tmp_path: Path, more: str, reason: str
) -> None:
    path = tmp_path / "trips.jsonl"
    path.write_text(f"{{{more}}}\n")
    ((line, said),) = reasons(path)
    assert (line, said.startswith(reason)) == (1, True), said
