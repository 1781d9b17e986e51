"""Where a site's days begin that can still change. In: entries on their way into rows, and floors as retention set
them. Out: which events are too old for them.

A floor only rises. A drain holds a shared lock from when it reads floors until its rows are committed, and whoever
raises one waits for those who may have read it lower: from then on no event below it arrives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from schema.db import Connection
from schema.entry import Entry
from schema.sql import load
from workers.receipts import Poison

_SQL = load("retention")


class Floor(NamedTuple):
    """The beginning of a site's first day that can change, in microseconds, and the day."""

    at: int
    day: str

    @property
    def poison(self) -> Poison:
        """Why an event is refused that happened before."""
        return Poison(f"too old: this site's days before {self.day} are closed, and their rows are dropped", None)


def held(connection: Connection, sites: Sequence[str]) -> dict[str, Floor]:
    """The floors of those of these sites that have one; they stay as they are until the transaction ends."""
    connection.execute(_SQL["hold_floors"])  # by itself: the next statement sees what was committed meanwhile
    return {site_id: Floor(*floor) for site_id, *floor in connection.execute(_SQL["floors"], {"sites": sites})}


def too_old(connection: Connection, entries: Sequence[Entry]) -> dict[tuple[UUID, int], Poison]:
    """Which events and requests of these entries happened before their site's floor, by batch and ordinal."""
    floors = held(connection, sorted({entry.site_id for entry in entries}))
    return dict(_below(floors, entries)) if floors else {}


def _below(floors: dict[str, Floor], entries: Sequence[Entry]) -> Iterator[tuple[tuple[UUID, int], Poison]]:
    for entry in entries:
        floor = floors.get(entry.site_id)
        if floor is None:
            continue
        if entry.asked is not None and entry.asked.requested_at < floor.at:
            yield (entry.batch_id, 0), floor.poison
        for ordinal, event in enumerate(entry.batch.events if entry.batch else ()):
            if event.occurred_at < floor.at:
                yield (entry.batch_id, ordinal), floor.poison
