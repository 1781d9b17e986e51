"""The snapshot file and what web processes make of it: nothing that was committed is missed, whatever goes wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from recommender import building, catalogue, engine
from recommender.catalogue import Catalogue
from recommender.fresh import Fresh
from recommender.preferences import Preferences
from recommender.snapshot import Snapshot
from schema import db
from schema.settings import Settings
from tests.conftest import Servers
from tests.recommender.marketplace import Marketplace
from tests.tripstream.waiting import until
from workers import clock

NOW = datetime.now(UTC)
TODAY = NOW.date()


def ids(found: Catalogue | None) -> set[int]:
    """Every trip in there that an empty wish finds."""
    assert found
    search = engine.recommend(found.snapshot, Preferences(), TODAY, 1000)
    return {one.occurrence_id for one in (*search.primary, *search.relaxed)}


def look(fresh: Fresh, market: Marketplace, now: datetime = NOW) -> set[int]:
    fresh.look(market.connection, now)
    return ids(fresh.view)


def build(settings: Settings, market: Marketplace, now: datetime = NOW) -> bool:
    return building.run_once(market.connection, building.path(settings), now.date())


def test_packed_rows_are_the_same_trips_as_those_of_a_query(market: Marketplace) -> None:
    several = market.template(countries=("FR", "IT", "JP"), tags=(1, 2), difficulty=3, duration_days=365)
    plain = market.template(primary_country="XK")
    market.run("INSERT INTO tags VALUES (63, 'last', 'Last', 'אחרון')")
    market.run("INSERT INTO trip_template_tags VALUES (%s, 63)", plain)
    for status in ("Open", "Guaranteed", "Last Places", "Full", "Cancelled"):
        market.occurrence(several, price="0.00", status=status)
        market.occurrence(plain, 1, price="99999999.99", status=status)
    market.occurrence(plain, 0)
    market.occurrence(plain, is_active=False)
    market.occurrence(market.template(is_active=False))
    market.template()
    read = catalogue.read(market.connection, TODAY)
    trips = catalogue.trips_of(market.connection, [several, plain], TODAY)
    assert len(trips) == 6
    other = Snapshot.of(trips, read.known.countries)
    wishes = [Preferences(), Preferences(selected_countries=["JP"]), Preferences(preferred_theme_ids=[1, 2, 63])]
    for wish in wishes:
        assert engine.recommend(read.snapshot, wish, TODAY) == engine.recommend(other, wish, TODAY)
    assert ids(read) == {trip.occurrence_id for trip in trips}


def test_an_empty_catalogue_is_one_too(market: Marketplace, at_home: Settings, fresh: Fresh) -> None:
    assert look(fresh, market) == set()
    assert build(at_home, market)
    assert look(Fresh(at_home), market) == set()


def test_a_change_is_seen_at_the_next_look_without_a_rebuild(
    market: Marketplace, at_home: Settings, fresh: Fresh
) -> None:
    first, second = market.trips(2)
    build(at_home, market)
    assert look(fresh, market) == {first, second}
    market.sell_out(first)
    third = market.trips(1)[0]
    assert look(fresh, market) == {second, third}
    market.run("UPDATE trip_templates SET is_active = false")
    assert look(fresh, market) == set()
    assert building.path(at_home).stat().st_ino == fresh._mapped[0]


def test_what_commits_late_is_not_missed(market: Marketplace, settings: Settings, fresh: Fresh) -> None:
    first, second = market.trips(2)
    with db.connect(settings) as slow, slow.transaction():
        Marketplace(slow).sell_out(first)
        assert look(fresh, market) == {first, second}
        market.sell_out(second)
        assert look(fresh, market) == {first}
    assert look(fresh, market) == set()


def test_a_file_is_built_when_it_is_missing_much_changed_or_the_day_did(market: Marketplace, at_home: Settings) -> None:
    market.trips(2)
    assert build(at_home, market)
    assert not build(at_home, market)
    market.trips(1)
    assert not build(at_home, market)  # web processes apply so little by themselves
    market.run("UPDATE catalogue_changes SET changed_at = changed_at - interval '61 s'")
    assert build(at_home, market)
    assert not build(at_home, market)
    market.run("INSERT INTO catalogue_changes VALUES (NULL)")
    assert build(at_home, market)
    assert build(at_home, market, NOW + timedelta(days=1))
    building.path(at_home).write_bytes(b"torn")
    assert build(at_home, market)


def test_changes_are_forgotten_when_every_process_had_an_hour_for_them(market: Marketplace, at_home: Settings) -> None:
    market.trips(2)
    build(at_home, market)
    market.trips(1)
    market.run("UPDATE catalogue_changes SET changed_at = changed_at - interval '2 h'")
    kept = market.run("SELECT count(*) FROM catalogue_changes")
    build(at_home, market)
    told = market.run("SELECT count(*), count(*) FILTER (WHERE template_id IS NULL) FROM catalogue_changes")
    assert (kept, told) == ([(6,)], [(3, 1)])  # what the first file had not seen, and that there was more
    market.run("INSERT INTO catalogue_changes VALUES (NULL)")
    build(at_home, market)
    build(at_home, market)
    assert not build(at_home, market)
    assert market.run("SELECT count(*) FROM catalogue_changes") == [(2,)]


def test_who_was_away_while_changes_were_forgotten_begins_anew(
    market: Marketplace, at_home: Settings, tmp_path: Path
) -> None:
    first, second = market.trips(2)
    elsewhere = at_home.model_copy(update={"state": tmp_path / "elsewhere"})
    away = Fresh(elsewhere)
    assert build(at_home, market) and build(elsewhere, market)
    assert look(away, market) == {first, second}
    market.sell_out(first)
    market.run("UPDATE catalogue_changes SET changed_at = changed_at - interval '2 h'")
    assert build(at_home, market, NOW + timedelta(days=1)) and build(at_home, market)
    assert market.run("SELECT template_id FROM catalogue_changes") == [(None,)]
    assert look(away, market) == look(Fresh(elsewhere), market) == {second}
    assert build(elsewhere, market)


def test_a_new_file_takes_the_place_of_the_old_one(market: Marketplace, at_home: Settings, fresh: Fresh) -> None:
    first = market.trips(1)[0]
    build(at_home, market)
    assert look(fresh, market) == {first}
    second = market.trips(1)[0]
    assert look(fresh, market) == {first, second}
    market.run("INSERT INTO catalogue_changes VALUES (NULL)")
    build(at_home, market)
    assert look(fresh, market) == {first, second}
    assert fresh.view and not fresh.view.snapshot.changed
    market.sell_out(first)
    assert look(fresh, market) == {second}


def test_a_trip_that_moves_to_another_template_is_there_once(market: Marketplace, fresh: Fresh) -> None:
    first, second = market.trips(2)
    market.run("INSERT INTO trip_types VALUES (3, 'cruise', 'Cruise', 'שיט')")
    other = market.template(type_id=3)
    assert look(fresh, market) == {first, second}
    market.run("UPDATE trip_occurrences SET template_id = %s WHERE occurrence_id = %s", other, first)
    assert look(fresh, market) == {first, second}
    assert fresh.view and engine.recommend(fresh.view.snapshot, Preferences(), TODAY).candidates == 2


def test_a_company_that_closes_and_a_truncate_are_seen_at_the_next_look(
    market: Marketplace, settings: Settings, fresh: Fresh
) -> None:
    first = market.trips(1)[0]
    assert look(fresh, market) == {first}
    market.run("UPDATE companies SET is_active = false")
    assert look(fresh, market) == set()
    market.run("UPDATE companies SET is_active = true")
    assert look(fresh, market) == {first}
    with psycopg.connect(settings.database_url, autocommit=True) as owner:
        owner.execute("TRUNCATE trip_occurrences")
    assert look(fresh, market) == set()


def test_a_file_of_another_database_is_as_good_as_none(
    market: Marketplace, at_home: Settings, fresh: Fresh, servers: Servers
) -> None:
    first = market.trips(1)[0]
    with db.connect(servers.settings()) as other:
        assert building.run_once(other, building.path(at_home), TODAY)
    assert look(fresh, market) == {first}
    assert build(at_home, market)


def test_a_file_from_a_future_that_was_undone_is_as_good_as_none(
    market: Marketplace, at_home: Settings, fresh: Fresh
) -> None:
    first = market.trips(1)[0]
    found = catalogue.read(market.connection, TODAY)
    later = found.origin._replace(saw="999999999:999999999:")
    building.write(found._replace(origin=later), building.path(at_home))
    second = market.trips(1)[0]
    assert look(fresh, market) == {first, second}


def test_the_chore_is_one_of_the_clocks(market: Marketplace, at_home: Settings) -> None:
    market.trips(1)
    slot = "2026-01-02T12:00:00+00:00"
    market.run("INSERT INTO clock_ticks (chore, slot) VALUES ('snapshot', %s)", slot)
    clock.run_chore(at_home, "snapshot", slot)
    assert building.path(at_home).exists()


def test_the_thread_sees_a_change_within_two_seconds_also_without_a_notification(
    market: Marketplace, fresh: Fresh
) -> None:
    first = market.trips(1)[0]
    fresh.start()
    try:
        until(lambda: fresh.view, "the first view")
        assert ids(fresh.view) == {first}
        second = market.trips(1)[0]
        until(lambda: ids(fresh.view) == {first, second}, "it heard of it", 2)
        with market.connection.transaction():
            market.run("SELECT set_config('tripstream.bulk', 'on', true)")  # tells nobody
            market.sell_out(first)
            market.run("INSERT INTO catalogue_changes SELECT template_id FROM trip_templates")
        until(lambda: ids(fresh.view) == {second}, "it looked by itself", 2)
    finally:
        fresh.stop()


def test_the_thread_outlives_the_loss_of_its_connection(market: Marketplace, settings: Settings, fresh: Fresh) -> None:
    first = market.trips(1)[0]
    fresh.start()
    try:
        until(lambda: fresh.view, "the first view")
        with psycopg.connect(settings.database_url, autocommit=True) as owner:
            others = (owner.info.backend_pid, market.connection.info.backend_pid)
            query = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> ALL(%s)"""
            assert owner.execute(query, [list(others)]).fetchone() == (1,)
        assert ids(fresh.view) == {first}
        second = market.trips(1)[0]
        until(lambda: ids(fresh.view) == {first, second}, "it is back", 4)
    finally:
        fresh.stop()
