"""Texts of templates that are kept between answers: as new as the catalogue, bounded, none from before a change."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import pytest

from recommender import building, texts
from recommender.fresh import Fresh
from recommender.shown import Trips
from recommender.texts import Texts
from schema.settings import Settings
from tests.recommender.marketplace import Marketplace
from tests.recommender.test_behind import in_bulk
from tests.recommender.test_fresh import NOW, build

TODAY = datetime.now(UTC).date()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(settings: Settings, kept: Texts, *trip_ids: int) -> list[str]:
    """What is said of these trips, by connections of its own."""

    async def ask() -> list[str]:
        trips = Trips(settings, kept)
        try:
            return [row.text.decode() for row in (await trips.shown(list(trip_ids), TODAY)).values()]
        finally:
            await trips.close()

    return asyncio.run(ask())


def test_texts_are_read_once_until_their_template_changes(market: Marketplace, settings: Settings) -> None:
    first, second = market.trips(2)
    kept = Texts()
    before = shown(settings, kept, first, second)
    assert all('"titleEn":"Rome"' in text for text in before)
    market.run("UPDATE trip_templates SET title_en = 'Ostia'")
    assert shown(settings, kept, first, second) == before
    kept.forget([2])
    rome, ostia = shown(settings, kept, first, second)
    assert (rome, '"titleEn":"Ostia"' in ostia) == (before[0], True)
    kept.forget(None)
    assert all('"titleEn":"Ostia"' in text for text in shown(settings, kept, first, second))


def test_what_was_read_while_it_changed_is_not_kept(
    market: Marketplace, settings: Settings, at_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip = market.trips(1)[0]
    kept = Texts()
    fresh = Fresh(at_home, kept.forget)
    fresh.look(market.connection, NOW)
    ask = Trips._ask

    async def overtaken(trips: Trips, name: str, values: dict[str, Any]) -> list[Any]:
        """By a change that is committed, and looked at, before what was read arrives."""
        rows = await ask(trips, name, values)
        if name == "texts":
            market.run("UPDATE trip_templates SET title_en = 'Ostia'")
            fresh.look(market.connection, NOW)
        return rows

    with monkeypatch.context() as racing:
        racing.setattr(Trips, "_ask", overtaken)
        assert '"titleEn":"Rome"' in shown(settings, kept, trip)[0]
    assert '"titleEn":"Ostia"' in shown(settings, kept, trip)[0]


def test_each_look_says_what_changed_and_a_new_file_or_a_change_in_bulk_that_anything_may_have(
    market: Marketplace, at_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recommender.fresh._TRIPS_MAX", -1)
    told: list[Collection[int] | None] = []
    fresh = Fresh(at_home, told.append)

    def look() -> list[Collection[int] | None]:
        told.clear()
        fresh.look(market.connection, NOW)
        return list(told)

    first, second = market.trips(2)
    assert look() == [None]
    assert look() == []
    market.run("UPDATE trip_templates SET title_en = 'Ostia' WHERE template_id = 2")
    market.run("INSERT INTO trip_template_tags VALUES (1, 2)")
    assert look() == [[1, 2]]
    market.run("INSERT INTO trip_template_countries VALUES (1, 'FR')")
    assert look() == [[1]]
    in_bulk(market, "UPDATE trip_templates SET title_he = title_en")
    assert look() == [None]
    assert look() == []
    assert build(at_home, market)
    assert building.path(at_home).exists()
    assert look() == [None]
    market.sell_out(first, second)
    assert look() == [[1, 2]]
    in_bulk(market, "UPDATE trip_templates SET title_he = title_en")
    monkeypatch.setattr("recommender.fresh._TRIPS_MAX", 100)
    assert look() == [None]  # it was read anew


def test_texts_are_dropped_when_they_are_old_or_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_BYTES_MAX", 3 * (1000 + texts._ENTRY_BYTES))
    clock = Clock()
    kept = Texts(clock)
    for number in range(5):
        clock.now = float(number)
        kept.keep({number: b"t" * 1000}, kept.generation)
    assert list(kept.of(range(5))) == [2, 3, 4]
    kept.keep({2: b"new"}, kept.generation)
    assert kept.of(range(5)) == {2: b"new", 3: b"t" * 1000, 4: b"t" * 1000}
    kept.keep({5: b"t" * 9000}, kept.generation)
    assert kept.of(range(6)) == {}
    kept.keep({6: b"t"}, kept.generation)
    clock.now += 29.9
    assert kept.of([6]) == {6: b"t"}
    clock.now += 0.2
    assert kept.of([6]) == {}
    assert kept._bytes == 0


def test_a_query_is_planned_once_a_connection_however_large_its_ids(settings: Settings, market: Marketplace) -> None:
    one, other = market.trips(2)
    market.run("UPDATE trip_occurrences SET occurrence_id = 9000000000 WHERE occurrence_id = %s", other)

    async def ask() -> list[tuple[int, int]]:
        trips = Trips(settings, Texts())
        pool = await trips._opened()
        await pool.wait()
        try:
            for trip_ids in ([one], [one, 70_000], [9_000_000_000, one]):
                found = [await trips.shown(trip_ids, TODAY) for _ in range(8)]
            assert [sorted(rows) for rows in found] == [[one, 9_000_000_000]] * 8
            query = """SELECT count(*), sum(custom_plans)::int FROM pg_prepared_statements
                       WHERE statement LIKE '%seats_left%' AND statement NOT LIKE '%pg_prepared%'"""
            return [await (await connection.execute(query)).fetchone() for connection in pool._pool]
        finally:
            await trips.close()

    assert asyncio.run(ask()) == [(1, 0)] * 4
