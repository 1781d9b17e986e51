"""This process' counters for Prometheus. In: calls from the routes. Out: the default registry's collectors.

They start at zero with the process; the totals that survive it are in Redis and Postgres.
"""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge

REQUESTS = Counter("tripstream_ingest_requests", "Ingest requests answered by this process.", ["status"])
ACCEPTED = Counter("tripstream_events_accepted", "Events promised by this process.", ["site"])
REJECTED = Counter("tripstream_events_rejected", "Events refused by this process, by reason.", ["reason"])
UNVERIFIED = Counter("tripstream_tokens_refused", "Tokens that did not verify, by reason.", ["reason"])
MEMORY = Gauge("tripstream_redis_memory_share", "Redis memory in use over its limit, as last sampled.")

requests_of = cache(REQUESTS.labels)  # looking a label up takes a lock and a microsecond
accepted_of = cache(ACCEPTED.labels)
