"""A site's books while the queue is not empty: what waits is counted, what is missing is said."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from reports import alarms, conservation
from reports.conservation import Books
from schema import db
from schema.settings import Settings
from tests.make import batch, canonical, uid
from tests.reports.test_alarms import RULES
from tests.workers.pipeline import Pipeline


def books(pipe: Pipeline, site_id: str | None = "default") -> list[Books]:
    role: db.Role = "tripstream_monitor"
    with db.connect(pipe.settings, role) as connection:
        return conservation.books(connection, pipe.redis, pipe.settings, site_id)


def test_what_waits_is_queued_and_what_died_is_dead(pipe: Pipeline) -> None:
    pipe.send(canonical(1), canonical(2, trip_id=0), canonical(3))
    pipe.send(canonical(1))
    pipe.accept(batch(canonical(4), canonical(5), n=7), batch(canonical(6), n=8), lane=1)
    assert books(pipe) == [Books("default", 7, 2, 1, 1, 0, 3, 0)]
    pipe.drain(1)
    assert books(pipe) == [Books("default", 7, 5, 1, 1, 0, 0, 0)]


def test_a_batch_with_a_receipt_waits_no_more_although_its_entry_does(pipe: Pipeline) -> None:
    one = batch(canonical(1), n=7)
    pipe.accept(one)
    pipe.drain()
    pipe.accept(one)  # as after a crash between COMMIT and XDEL
    pipe.redis.hincrby("accepted:default", "events", -1)
    assert books(pipe) == [Books("default", 1, 1, 0, 0, 0, 0, 0)]


def test_what_is_missing_is_said_and_a_queue_too_long_to_read_is_not_guessed(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.send(canonical(1))
    pipe.redis.hincrby("accepted:default", "events", 5)
    assert [one.difference for one in books(pipe)] == [5]
    pipe.accept(batch(canonical(2), n=7), batch(canonical(3), n=8))
    monkeypatch.setattr(conservation, "BATCHES_MAX", 1)
    assert [(one.queued, one.difference) for one in books(pipe)] == [(None, None)]


def test_counting_what_waits_does_not_hold_what_is_in_it(pipe: Pipeline) -> None:
    large = json.dumps({"said": "x" * 20_000})
    pipe.accept(*(batch(canonical(n, metadata=large), n=1000 + n) for n in range(400)))
    tracemalloc.start()
    assert [one.queued for one in books(pipe)] == [400]
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 400 * len(large)


def test_a_reader_sees_its_own_books_and_the_monitor_all(pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('other', 'Other')")
    pipe.send(canonical(1), site_id="other", batch_id=uid(4, 50))
    with db.reading(pipe.settings, db.Scope("default"), fresh=True) as connection:
        assert [one.site_id for one in conservation.books(connection, pipe.redis, pipe.settings, "default")] == [
            "default"
        ]
        assert conservation.books(connection, pipe.redis, pipe.settings, "other") == []
    assert {one.site_id: one.stored for one in books(pipe, None)} == {"default": 0, "other": 1}


def test_every_rule_for_prometheus_is_looked_at_here_or_named_with_the_same_limit() -> None:
    limits = {rule["alert"]: rule["expr"].rsplit(None, 1)[1] for rule in RULES}
    assert {alarm.name for alarm in alarms.ALARMS} | set(alarms.OF_GROWTH) == limits.keys()
    gauges = {alarm.name: alarm for alarm in alarms.ALARMS if not alarm.name.endswith("Away")}
    assert {name: alarm.limit for name, alarm in gauges.items()} == {name: float(limits[name]) for name in gauges}
    severities = {rule["alert"]: rule["labels"]["severity"] == "page" for rule in RULES}
    assert {alarm.name: alarm.page for alarm in alarms.ALARMS}.items() <= severities.items()


def test_what_is_away_fires_and_nothing_else_does(settings: Settings) -> None:
    away = settings.model_copy(
        update={"redis_url": "redis://127.0.0.1:1", "database_url": "postgresql://127.0.0.1:1/x"}
    )
    assert [one.name for one in alarms.firing(alarms.figures(away))] == [
        "TripstreamRedisAway",
        "TripstreamPostgresAway",
    ]
    assert alarms.firing(alarms.figures(settings)) == []
