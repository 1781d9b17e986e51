"""The demo catalogue: the same for the same numbers, plausible, all there or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from recommender import seed
from recommender.trips import STATUSES
from schema import db
from schema.errors import ConfigError
from schema.settings import Settings

TODAY = date(2026, 3, 1)
TABLES = ("companies", "guides", "trip_types", "tags", "trip_templates", "trip_template_countries",
          "trip_template_tags", "trip_occurrences")  # fmt: skip


@pytest.fixture
def owner(settings: Settings) -> Iterator[db.Connection]:
    with db.connect(settings, "owner") as connection:
        yield connection


def contents(connection: db.Connection) -> dict[str, list[tuple]]:
    return {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES}


def test_the_same_numbers_make_the_same_catalogue_and_other_numbers_another(owner: db.Connection) -> None:
    seed.fill(owner, 500, TODAY)
    first = contents(owner)
    seed.fill(owner, 500, TODAY, replace=True)
    assert contents(owner) == first
    seed.fill(owner, 500, TODAY, seed=2, replace=True)
    assert contents(owner)["trip_occurrences"] != first["trip_occurrences"]


def test_it_is_plausible(owner: db.Connection) -> None:
    told: list[int] = []
    seed.fill(owner, 6000, TODAY, progress=told.append)
    found = contents(owner)
    sizes = {table: len(rows) for table, rows in found.items()}
    assert (sizes["trip_occurrences"], sizes["trip_templates"], sum(told)) == (6000, 600, 6000)
    assert (sizes["trip_types"], sizes["tags"], sizes["companies"], sizes["guides"]) == (12, 20, 30, 60)
    query = (
        "SELECT min(starts_on), max(starts_on), count(DISTINCT status), count(DISTINCT guide_id) FROM trip_occurrences"
    )
    first, last, statuses, guides = owner.execute(query).fetchall()[0]
    assert TODAY <= first <= TODAY + timedelta(days=3)
    assert TODAY + timedelta(days=540) <= last < TODAY + timedelta(days=548)
    assert (statuses, guides) == (len(STATUSES), 60)
    by_continent = dict(
        owner.execute(
            "SELECT continent, avg(base_price / duration_days) FROM trip_templates"
            " JOIN countries ON country = primary_country GROUP BY 1"
        ).fetchall()
    )
    assert by_continent.keys() == {"AF", "AN", "AS", "EU", "NA", "OC", "SA"}
    assert by_continent["EU"] < by_continent["SA"] < by_continent["AN"]
    near, far = owner.execute(
        "SELECT avg(seats_left) FILTER (WHERE starts_on < %(soon)s),"
        " avg(seats_left) FILTER (WHERE starts_on > %(late)s) FROM trip_occurrences",
        {"soon": TODAY + timedelta(days=60), "late": TODAY + timedelta(days=480)},
    ).fetchall()[0]
    assert near * 2 < far
    (per_template,) = owner.execute(
        "SELECT array_agg(n) FROM (SELECT count(*) AS n FROM trip_occurrences GROUP BY template_id) AS x"
    ).fetchall()[0]
    assert min(per_template) >= 4 and max(per_template) <= 16 and len(set(per_template)) > 5


@pytest.mark.parametrize("count", [1, 9, 11, 25, 39])
def test_any_number_is_made_exactly(count: int) -> None:
    made = list(seed.templates(max(1, count // 10), 1, dict.fromkeys(ALL, ("x", "y"))))
    assert len(list(seed.departures(made, count, TODAY, 1))) == count


ALL = [code for region in seed.words.REGIONS for code, _ in region.countries]


def test_a_catalogue_that_is_there_is_kept_unless_it_is_to_be_replaced(owner: db.Connection) -> None:
    owner.execute("INSERT INTO companies (name) VALUES ('Mine')")
    with pytest.raises(ConfigError, match="--replace"):
        seed.fill(owner, 10, TODAY)
    assert contents(owner)["companies"] == [(1, "Mine", True)]
    seed.fill(owner, 10, TODAY, replace=True)
    assert len(contents(owner)["companies"]) == 30


def test_one_row_says_that_everything_changed_and_later_rows_get_later_ids(owner: db.Connection) -> None:
    owner.execute("LISTEN catalogue")
    seed.fill(owner, 100, TODAY)
    assert owner.execute("SELECT template_id FROM catalogue_changes").fetchall() == [(None,)]
    assert len(list(owner.notifies(timeout=5, stop_after=1))) == 1
    added = owner.execute("INSERT INTO companies (name) VALUES ('Later') RETURNING company_id").fetchall()
    assert added == [(31,)]


def test_a_new_catalogue_is_filled_once_and_never_again(owner: db.Connection) -> None:
    assert seed.fill_new(owner, 20, TODAY)
    assert not seed.fill_new(owner, 30, TODAY)
    seed.fill(owner, 0, TODAY, replace=True)
    assert not any(contents(owner).values())
    assert not seed.fill_new(owner, 20, TODAY)


def test_a_catalogue_that_someone_began_is_left_alone(owner: db.Connection) -> None:
    owner.execute("INSERT INTO companies (name) VALUES ('Mine')")
    assert not seed.fill_new(owner, 20, TODAY)
    assert not contents(owner)["trip_templates"]


def test_what_breaks_half_way_leaves_nothing(owner: db.Connection) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seed.fill(owner, 100, TODAY, progress=stop)
    assert all(not rows for rows in contents(owner).values())
