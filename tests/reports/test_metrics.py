"""The pipeline's figures as Prometheus reads them; what is away is said to be away, and the rest is still there."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from reports.metrics import Pipeline as Figures
from schema import stream
from schema.settings import Settings
from tests.make import batch, canonical
from tests.workers.pipeline import Pipeline


def scrape(settings: Settings) -> dict[str, float]:
    """Every sample by its name and labels."""
    registry = CollectorRegistry()
    registry.register(Figures(settings))
    text = generate_latest(registry).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [sample.labels[label] for label in ("site", "lane") if sample.labels]
            found[" ".join([sample.name, *labels])] = sample.value
    return found


def test_every_figure_has_help_and_a_name_of_ours(pipe: Pipeline) -> None:
    pipe.send()
    families = list(Figures(pipe.settings).collect())
    assert all(family.name.startswith("tripstream_") and family.documentation.endswith(".") for family in families)
    assert Figures(pipe.settings).describe() == []


def test_totals_and_backlog_are_what_happened(pipe: Pipeline) -> None:
    pipe.send(canonical(1), canonical(1), canonical(2, trip_id=0), canonical(3), lane=1)
    pipe.send(canonical(4))
    stream.open_lanes(pipe.redis, 3)
    pipe.accept(batch(n=1), batch(n=2), lane=2)
    for _ in range(3):
        pipe.rows("SELECT emit_platform_event('x')")
    pipe.rows("SELECT mark_event_processed(event_id, 'failed') FROM get_pending_events(1), generate_series(1, 3)")
    found = scrape(pipe.settings)
    expected = {
        "tripstream_redis_up": 1,
        "tripstream_postgres_up": 1,
        "tripstream_backlog_batches": 2,
        "tripstream_outbox_pending": 2,
        "tripstream_outbox_failed": 1,
        "tripstream_events_stored_total default 0": 1,
        "tripstream_events_stored_total default 1": 2,
        "tripstream_events_duplicate_total default 1": 1,
        "tripstream_events_dead_total default 1": 1,
        "tripstream_events_discarded_total default 1": 0,
        "tripstream_drain_seconds_count default 0": 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert 0 <= found["tripstream_backlog_oldest_seconds"] < 60
    assert found["tripstream_drain_seconds_sum default 0"] > 0


def test_postgres_being_away_leaves_redis_figures(pipe: Pipeline) -> None:
    pipe.accept(batch())
    away = pipe.settings.model_copy(update={"database_url": "postgresql:///nothing?host=/nowhere"})
    found = scrape(away)
    assert found["tripstream_postgres_up"] == 0
    assert found["tripstream_backlog_batches"] == 1
    assert not [name for name in found if name.startswith("tripstream_events")]


def test_redis_being_away_leaves_postgres_figures(pipe: Pipeline) -> None:
    pipe.send()
    away = pipe.settings.model_copy(update={"redis_url": "unix:///nowhere/valkey.sock"})
    found = scrape(away)
    assert found["tripstream_redis_up"] == 0
    assert found["tripstream_events_stored_total default 0"] == 1
    assert "tripstream_backlog_batches" not in found
