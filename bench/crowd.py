"""A thousand connections that stay open and post at once. In: the web process. Out: how many answers were errors."""

from __future__ import annotations

from bench import load
from bench.accepting import bodies
from bench.load import Plan
from bench.measured import Measured
from bench.rounds import Scale
from bench.servers import Servers, free_port, web

CONNECTIONS = 1_000


def measure(servers: Servers, scale: Scale) -> Measured:
    """As fast as answers come, on every connection."""
    with servers.fresh(port=free_port()) as settings, web(settings), bodies(10) as path:
        result = load.run(
            Plan(port=settings.port, requests=path, connections=CONNECTIONS, seconds=max(scale.seconds, 1.0))
        )
    return Measured(
        result.errors,
        f"{result.errors} errors in {result.answered:,} answers, {result.per_second:,.0f} requests/s, "
        f"p99 {result.percentile(0.99):.0f} ms",
        f"{CONNECTIONS:,} connections, batches of 10",
    )
