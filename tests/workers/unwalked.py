"""What daily_walks and daily_steps say, one number at a time. In: a site. Out: its days' sessions, and how often each
had an event of a type at a moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID

from schema.db import Connection

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Rows = set[tuple[Any, ...]]


def numbers(packed: bytes, many: int) -> list[int]:
    """Written anew, from what schema/narrow.py says of its bytes."""
    width, rest = packed[0], packed[1:]
    found = [int.from_bytes(rest[n * width : (n + 1) * width], "little") for n in range(many)]
    large = iter(range(many * width, len(rest), 8))
    if 0 < width < 8:
        found = [
            n if n < 256**width - 1 else int.from_bytes(rest[(at := next(large)) : at + 8], "little") for n in found
        ]
    assert next(large, None) is None
    return found


def walked(connection: Connection, site_id: str) -> Iterator[tuple[date, Rows, Rows]]:
    """Each day that has any."""
    rows = connection.execute("SELECT date, starts, sessions, session_ids, began FROM daily_walks WHERE site_id = %s"
                              " ORDER BY date", (site_id,)).fetchall()  # fmt: skip
    for day, starts, many, ids, began in rows:
        sessions = [UUID(bytes=ids[n : n + 16]) for n in range(0, len(ids), 16)]
        base = (starts - _EPOCH) // timedelta(microseconds=1)
        begins = [base + 1000 * ms for ms in accumulate(numbers(began, many))]
        assert len(sessions) == len(set(sessions)) == many and begins == sorted(begins)
        yield day, {(one,) for one in sessions}, set(_steps(connection, site_id, day, sessions, begins).items())


def _steps(
    connection: Connection, site_id: str, day: date, sessions: list[UUID], begins: list[int]
) -> Counter[tuple[Any, ...]]:
    found: Counter[tuple[Any, ...]] = Counter()
    packed = connection.execute(
        "SELECT event_type, events, walks, after_ms, after_us FROM daily_steps JOIN event_types USING (event_type_id)"
        " WHERE site_id = %s AND date = %s",
        (site_id, day),
    )
    for kind, many, walks, after_ms, after_us in packed:
        place, before, at = 0, -1, 0
        for further, ms, us in zip(*(numbers(one, many) for one in (walks, after_ms, after_us)), strict=True):
            place += further
            at = (at if place == before else begins[place]) + 1000 * ms + us
            before = place
            found[kind, sessions[place], at] += 1
    return found
