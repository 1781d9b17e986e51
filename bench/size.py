"""What an event takes: on disk in Postgres, and queued in Redis.

In: some tens of thousands of realistic events. Out: bytes of every relation with its indexes and TOAST, above those
of an empty schema and scaled to a million events; and what Redis says its streams take. Ids are version 4, as
browsers make them; those of version 7 keep index pages fuller, and are told beside, as are `laden` visitors.
"""

from __future__ import annotations

import psycopg

from bench.draining import fill_and_drain
from bench.measured import Measured
from bench.rounds import Scale
from bench.servers import Servers, free_port, web
from bench.stored import post_all, rows
from bench.traffic import USUAL, Habits
from schema.settings import Settings

_MEGABYTE = 1e6
_SIZES = """
SELECT coalesce(root.relname, c.relname) AS name, sum(pg_table_size(c.oid)), sum(pg_indexes_size(c.oid))
FROM pg_class AS c
LEFT JOIN LATERAL (
    SELECT relname FROM pg_class WHERE oid = pg_partition_root(c.oid)
) AS root ON true
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
GROUP BY 1
"""


def stored(servers: Servers, scale: Scale) -> Measured:
    """MB a million events, everything included."""
    events = scale.events * 4  # of the variants told beside
    found = _stored(servers, scale.events * 16)
    total = _sum(found)
    parts = sorted(found.items(), key=lambda part: -sum(part[1]))[:4]
    told = ", ".join(f"{name} {table:.0f} + {indexes:.0f}" for name, (table, indexes) in parts)
    ordered, laden = [_stored(servers, events, h) for h in (Habits(ordered_ids=True), Habits(laden=True))]
    return Measured(
        total,
        f"{total:,.0f} MB: {told} (table + indexes)",
        f"with version 7 ids {_sum(ordered):,.0f} MB; short sessions and 62 B more of metadata {_sum(laden):,.0f} MB",
        {"events": events, "random_ids": found, "ordered_ids": ordered, "laden": laden},
    )


def queued(servers: Servers, scale: Scale) -> Measured:
    """Bytes an event in the streams, batches of ten."""
    tens, ones = _queued(servers, scale, 10), _queued(servers, scale, 1)
    return Measured(tens, f"{tens:,.0f} B", f"one event a batch: {ones:,.0f} B", {"single": ones})


def _sum(relations: dict[str, tuple[float, float]]) -> float:
    return sum(table + indexes for table, indexes in relations.values())


def _stored(servers: Servers, events: int, habits: Habits = USUAL) -> dict[str, tuple[float, float]]:
    with servers.fresh(port=free_port(), lanes=1) as settings, psycopg.connect(settings.database_url) as connection:
        connection.autocommit = True
        empty = _relations(connection)
        with web(settings):
            fill_and_drain(settings, events, habits=habits)
        connection.execute("VACUUM")  # free space maps and visibility maps too; it gives nothing back
        million = rows(connection) / 1e6 * _MEGABYTE
        found = {}
        for name, (table, indexes) in _relations(connection).items():
            tables_before, indexes_before = empty.get(name, (0.0, 0.0))
            if table + indexes > tables_before + indexes_before:
                found[name] = (table - tables_before) / million, (indexes - indexes_before) / million
        return found


def _relations(connection: psycopg.Connection) -> dict[str, tuple[float, float]]:
    return {name: (float(table), float(indexes)) for name, table, indexes in connection.execute(_SIZES)}


def _queued(servers: Servers, scale: Scale, size: int) -> float:
    with servers.fresh(port=free_port()) as settings, web(settings), servers.redis() as redis:
        _fill(settings, scale, size)
        used: int = sum(redis.memory_usage(f"ev:{lane}", samples=0) for lane in range(settings.lanes))
        return used / scale.events


def _fill(settings: Settings, scale: Scale, size: int) -> None:
    post_all(settings.port, scale.events // size, size, seed=7)
