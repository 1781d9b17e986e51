"""What counts as a change of the catalogue, and a large catalogue of which much changed at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from recommender import catalogue
from recommender.fresh import Fresh
from schema import db
from schema.settings import Settings
from tests.recommender.marketplace import Marketplace
from tests.recommender.test_fresh import NOW, build, look
from tests.tripstream.waiting import until


def in_bulk(market: Marketplace, query: str) -> None:
    """As loaders of many rows do."""
    with market.connection.transaction():
        market.run("SELECT set_config('tripstream.bulk', 'on', true)")
        market.run(query)
        market.run("INSERT INTO catalogue_changes VALUES (NULL)")


def test_only_what_snapshots_hold_of_companies_and_countries_is_a_change(
    market: Marketplace, settings: Settings
) -> None:
    def told(query: str) -> list[int | None]:
        with psycopg.connect(settings.database_url, autocommit=True) as owner:
            owner.execute("TRUNCATE catalogue_changes")
            owner.execute(query)
            return [one for (one,) in owner.execute("SELECT template_id FROM catalogue_changes ORDER BY 1")]

    first, second = market.template(), market.template()
    market.run("INSERT INTO companies VALUES (2, 'Other')")
    third = market.template(company_id=2)
    assert told("UPDATE companies SET name = name || '!'") == []
    assert told("UPDATE companies SET is_active = false WHERE company_id = 0") == []
    assert told("UPDATE companies SET is_active = true") == []
    assert told("UPDATE companies SET is_active = name NOT LIKE 'Other%'") == [third]
    assert told("UPDATE companies SET is_active = NOT is_active") == [first, second, third]
    assert told("UPDATE countries SET name_en = name_en || '!'") == []
    assert told("UPDATE countries SET continent = 'EU' WHERE country = 'FR'") == []
    assert told("DELETE FROM countries WHERE country = 'ZZ'") == []
    assert told("UPDATE countries SET continent = 'AF' WHERE country = 'TR'") == [None]
    assert told("DELETE FROM countries WHERE country = 'TR'") == [None]
    assert told("INSERT INTO countries VALUES ('TR', 'T', 'T', 'AS')") == [None]


def test_a_template_that_is_just_being_added_is_not_missed_when_its_company_closes(
    market: Marketplace, settings: Settings
) -> None:
    def close() -> None:
        with db.connect(settings) as closing:
            closing.execute("UPDATE companies SET is_active = false")

    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as aside, psycopg.connect(settings.database_url, autocommit=True) as owner:
        with market.connection.transaction():
            added = market.template()
            closed = aside.submit(close)
            until(lambda: owner.execute(waits).fetchone() == (1,), "it waits for who adds the template")
        closed.result(10)
    told = market.run("SELECT count(*) FROM catalogue_changes WHERE template_id = %s", added)
    assert told == [(2,)]


def test_where_everything_of_a_large_catalogue_changed_the_last_view_stays_until_a_file_comes_or_patience_ends(
    market: Marketplace, at_home: Settings, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recommender.fresh._TRIPS_MAX", -1)
    first = market.trips(1)[0]
    assert look(fresh, market) == {first}
    in_bulk(market, "UPDATE companies SET is_active = false")
    assert look(fresh, market) == {first}
    build(at_home, market)
    assert look(fresh, market) == set()
    in_bulk(market, "UPDATE companies SET is_active = true")
    assert look(fresh, market) == set()
    monkeypatch.setattr("recommender.fresh._PATIENCE_SECONDS", 0.0)
    assert look(fresh, market) == {first}


def test_single_changes_of_a_large_catalogue_are_seen_while_the_bulk_waits_for_a_file(
    market: Marketplace, at_home: Settings, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recommender.fresh._TRIPS_MAX", -1)
    monkeypatch.setattr("recommender.fresh._TEMPLATES_MAX", 2)
    trips = market.trips(8)
    build(at_home, market)
    assert look(fresh, market) == set(trips)
    market.sell_out(*trips[:6])
    market.sell_out(trips[7])
    assert look(fresh, market) == {*trips[3:7]}  # the single one and three others: twice the limit
    market.run("UPDATE trip_occurrences SET seats_left = 5, status = 'Open' WHERE occurrence_id = %s", trips[7])
    assert look(fresh, market) == {*trips[3:]}
    assert look(fresh, market) == {*trips[3:]}
    build(at_home, market, NOW + timedelta(days=1))
    assert look(fresh, market) == {*trips[6:]}
    market.run("INSERT INTO catalogue_changes VALUES (NULL)")
    market.sell_out(trips[6])
    assert look(fresh, market) == {trips[7]}
    assert fresh._owes


def test_what_is_owed_is_not_forgotten_when_a_look_fails_after_a_file_was_mapped(
    market: Marketplace, at_home: Settings, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recommender.fresh._TRIPS_MAX", -1)
    first = market.trips(1)[0]
    assert look(fresh, market) == {first}
    in_bulk(market, "UPDATE trip_occurrences SET seats_left = 0, status = 'Full'")
    assert look(fresh, market) == {first}
    build(at_home, market)
    with monkeypatch.context() as failing:
        failing.setattr(catalogue, "changes", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fresh.look(market.connection, NOW)
    assert look(fresh, market) == {first}
    monkeypatch.setattr("recommender.fresh._PATIENCE_SECONDS", 0.0)
    assert look(fresh, market) == set()
