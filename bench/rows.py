"""The rows of DESIGN.md §9 that are measured here, as data: what, the bar and the aim, and who measures it.

Below its bar an issue is not done; its aim is what we want to be known for. Where the bar is the larger of the two,
less is better. Formats that are not ours have neither: what they cost is seen beside our own.
"""

from __future__ import annotations

from bench import (
    accepting,
    asking,
    crowd,
    draining,
    endtoend,
    fits,
    latency,
    listening,
    memory,
    recommending,
    rollup,
    singles,
    size,
    wires,
)
from bench.measured import Row

ROWS = (
    Row("accept_batch", "accept, batch of 10, durable, over a bare ASGI app", "×", 0.25, 0.45, accepting.batches),
    Row("accept_single", "accept, 1 event, durable, over a bare ASGI app", "×", 0.40, 0.70, accepting.singles),
    Row("segment", "the same, Segment batch of 10", "×", None, None, accepting.dialect(wires.SEGMENT)),
    Row("posthog", "the same, PostHog batch of 10", "×", None, None, accepting.dialect(wires.POSTHOG)),
    Row("pages", "the same, page analytics, 10 parts", "×", None, None, accepting.dialect(wires.PAGES)),
    Row("ingest_event", "the same, single-event API", "×", None, None, accepting.dialect(wires.SINGLE)),
    Row("accept_p99", "accept p99 at half of capacity, while workers drain", "ms", 25, 5, latency.measure),
    Row("connections", "1,000 open connections", "errors", 0, 0, crowd.measure),
    Row("drain", "drain, over bare COPY into the same table", "×", 0.30, 0.50, draining.measure),
    Row("schemas", "drain with a schema for every type, over none", "×", 0.70, 0.85, fits.measure),
    Row("end_to_end", "end to end, batch of 10, backlog bounded", "events/s", 15_000, 30_000, endtoend.measure),
    Row("plain", "single events end to end, over the plain pipeline", "×", 2.5, 4, singles.against_plain),
    Row("inserts", "end to end, over one INSERT and counters per event", "×", 20, 40, singles.against_inserts),
    Row("live", "live figures, from 202 to the last of 500 listeners, p95", "s", 2, 1, listening.measure),
    Row("rollup", "an hour of 100,000 events rolled up", "s", 1, 0.3, rollup.measure),
    Row("engine_100k", "recommend, 100,000 occurrences, engine, p95", "ms", 1, 0.5, recommending.hundred_thousand),
    Row("engine_1m", "recommend, 1,000,000 occurrences, engine, p95", "ms", 5, 2.5, recommending.million),
    Row("relaxed_100k", "the same, with the wider search", "ms", 3, 1.5, recommending.hundred_thousand_relaxed),
    Row("relaxed_1m", "the same, with the wider search", "ms", 15, 7.5, recommending.million_relaxed),
    Row("asking", "recommend over HTTP, 200 requests/s while events come, p99", "ms", 20, 8, asking.measure),
    Row("size", "stored size per million events", "MB", 450, 300, size.stored),
    Row("queued", "queued size in Redis per event", "B", 500, 300, size.queued),
    Row("memory", "whole idle stack, resident (PSS)", "MB", 450, 300, memory.measure),
)
