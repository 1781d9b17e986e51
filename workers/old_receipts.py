"""Dead letters and receipts past their limit go. In: the time. Out: fewer rows, and sums that verify adds to those that
are there.

Some thousand rows at a time, each in one statement with its sums: a crash leaves either. Letters go first, so that none
is ever without its receipt, which a replay corrects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

from schema.db import Connection
from schema.sql import load
from workers import rollup

_SQL = load("old_receipts")
_KINDS = (("dead_letters", "due_letters", "drop_letters"), ("batches", "due_receipts", "drop_receipts"))
_ROWS_AT_ONCE = 10_000


class Due(NamedTuple):
    """Rows of one site that are past their limit, and the query that drops some of them."""

    table: str
    site_id: str
    before: datetime
    rows: int
    drop: str


def due(connection: Connection, at: datetime) -> list[Due]:
    """What is past its limit at that moment."""
    return [
        Due(table, site_id, before, rows, drop)
        for table, count, drop in _KINDS
        for site_id, before, rows in connection.execute(_SQL[count], {"at": at})
    ]


def drop(connection: Connection, dues: list[Due], deadline: Callable[[], bool]) -> Iterator[Due]:
    """Drop it, as owner; the rollups' lock keeps verify from reading in between. Yields what went."""
    for one in dues:
        gone, values = 0, {"site_id": one.site_id, "before": one.before, "most": _ROWS_AT_ONCE}
        while not deadline():
            with rollup.alone(connection):
                went = connection.execute(_SQL[one.drop], values).fetchall()[0][0]
            gone += went
            if went < _ROWS_AT_ONCE:
                break
        if gone:
            yield one._replace(rows=gone)
