"""The pipeline's figures for Prometheus, asked for at each scrape. In: Redis and Postgres. Out: metric families.

They are totals that survive restarts; ingest's own counters (ingest/metrics.py) are per process. Postgres being away
leaves out its figures and says so in `tripstream_postgres_up`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from reports import status
from reports.lately import lately
from schema import db, stream
from schema.errors import Busy, TripstreamError
from schema.settings import Settings


class Pipeline(Collector):
    """Collects at scrape time; of Postgres, whose connections are few, for scrapes within a second once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lately_of_postgres = lately(lambda: list(self._of_postgres()))

    def describe(self) -> list[Metric]:
        return []  # or the registry would scrape once just to learn the names

    def collect(self) -> Iterator[Metric]:
        yield from self._of_redis()
        yield from self._lately_of_postgres()

    def _of_redis(self) -> Iterator[Metric]:
        try:
            with stream.connect(self._settings.streams_url, self._settings.redis_seconds_max) as redis:
                queue = status.queue(redis, self._settings)
        except (RedisError, OSError):
            yield _gauge("tripstream_redis_up", "Whether Redis answers.", 0)
            return
        yield _gauge("tripstream_redis_up", "Whether Redis answers.", 1)
        yield _gauge("tripstream_backlog_batches", "Batches that wait to be drained.", queue.batches)
        yield _gauge("tripstream_backlog_oldest_seconds", "Age of the oldest of them.", queue.oldest_seconds)

    def _of_postgres(self) -> Iterator[Metric]:
        try:
            with db.connect(self._settings, "tripstream_monitor", statement_seconds_max=2) as connection:
                rows = status.drained(connection)
                outbox = status.outbox(connection)
                marked, unmoved = status.marked(connection)
                unfit = status.schema_warnings(connection)
                chores = status.chores(connection)
                age = status.figures_age(connection)
        except (TripstreamError, psycopg.Error):
            yield _gauge("tripstream_postgres_up", "Whether Postgres answers.", 0)
            return
        yield _gauge("tripstream_postgres_up", "Whether Postgres answers.", 1)
        yield from self._of_replica()
        yield _gauge("tripstream_outbox_pending", "Emitted events that wait to be moved.", outbox.pending)
        yield _gauge("tripstream_outbox_oldest_seconds", "Age of the oldest of them.", outbox.oldest_seconds)
        yield _gauge("tripstream_outbox_failed", "Emitted events that failed three times.", outbox.failed)
        yield _gauge("tripstream_identities_marked", "Identities whose events wait to be moved.", marked)
        yield _gauge("tripstream_identities_failed", "Those of them that could not be moved.", unmoved)
        if age is not None:
            yield _gauge("tripstream_figures_age_seconds", "Since when reports do not know what was stored.", age)
        waiting = GaugeMetricFamily(
            "tripstream_chore_waiting_seconds", "How long a chore's oldest tick waits to be done.", labels=["chore"]
        )
        for row in chores:
            waiting.add_metric([row["chore"]], row["waiting_seconds"] or 0)
        yield waiting
        for name, text in (
            ("stored", "Events stored."),
            ("duplicate", "Events that were stored before."),
            ("dead", "Events that could not be stored."),
            ("discarded", "Events dropped on request, by erasure."),
        ):
            family = CounterMetricFamily(f"tripstream_events_{name}", text, labels=["site", "lane"])
            for row in rows:
                family.add_metric([row["site_id"], str(row["lane"])], row[name])
            yield family
        text = "Events stored by lenient sites although they do not fit their type's schema."
        warnings = CounterMetricFamily("tripstream_schema_warnings", text, labels=["site", "type"])
        for row in unfit:
            warnings.add_metric([row["site_id"], row["event_type"]], row["warnings"])
        yield warnings
        times = SummaryMetricFamily("tripstream_drain_seconds", "Time of drain transactions.", labels=["site", "lane"])
        for row in rows:
            times.add_metric([row["site_id"], str(row["lane"])], row["transactions"], row["seconds"])
        yield times

    def _of_replica(self) -> Iterator[Metric]:
        if self._settings.database_read_url:
            try:
                seconds = db.behind(self._settings)
            except Busy:  # which says nothing of it
                return
            except (TripstreamError, psycopg.Error):
                seconds = inf
            yield _gauge("tripstream_replica_seconds", "Age of the replica; +Inf where it cannot be asked.", seconds)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
