"""A day's events as funnels follow them. In: whose events of each type were when, as Postgres sends them. Out: the
columns of daily_walks and daily_steps.

Exact to the microsecond, and the same bytes whatever the order in which events are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schema.narrow import Integers, pack

_UUID = np.dtype([("high", ">u8"), ("low", ">u8")])
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MS = 1000  # microseconds


class Walked(NamedTuple):
    """What the two tables say of one day; of the last five, an entry a type."""

    sessions: int
    session_ids: bytes
    began: bytes
    types: list[int]
    events: list[int]
    walks: list[bytes]
    after_ms: list[bytes]
    after_us: list[bytes]


def of_day(rows: Sequence[tuple[int, int, bytes, bytes]], starts: datetime) -> Walked:
    """Of rows of (type, how many events, their sessions, their moments) of the day that starts then."""
    if not rows:
        return Walked(0, b"", b"", [], [], [], [], [])
    ids = np.frombuffer(b"".join(row[2] for row in rows), _UUID)
    moments = np.frombuffer(b"".join(row[3] for row in rows), ">i8").astype(np.int64)
    at = moments - (starts - _EPOCH) // timedelta(microseconds=1)
    places, events_of_each, began = _sessions(ids["high"].astype(np.uint64), ids["low"].astype(np.uint64), at)
    span = int(at.max()) + 1
    whose_and_when = places * span + (at - began[places] * _MS)  # fits for fifty million sessions a day
    ends = np.cumsum([row[1] for row in rows])
    steps = [_step(*np.divmod(np.sort(one), span)) for one in np.split(whose_and_when, ends[:-1])]
    return Walked(
        sessions=len(began),
        session_ids=ids[events_of_each].tobytes(),
        began=pack(np.diff(began, prepend=0)),
        types=[row[0] for row in rows],
        events=[row[1] for row in rows],
        walks=[step[0] for step in steps],
        after_ms=[step[1] for step in steps],
        after_us=[step[2] for step in steps],
    )


def _sessions(high: NDArray[Any], low: NDArray[Any], at: Integers) -> tuple[Integers, Integers, Integers]:
    """Of each event its session's place among the day's; of each session one of its events, and the millisecond in
    which it began. Those that began at one moment are in the order of their ids."""
    order = np.argsort(high)
    other_low = np.diff(low[order]) != 0
    if (other_low & (np.diff(high[order]) == 0)).any():
        order = np.lexsort((low, high))  # takes eight times as long, and the first halves are nearly always enough
        other_low = np.diff(low[order]) != 0
    changes = other_low | (np.diff(high[order]) != 0)
    firsts = np.flatnonzero(np.concatenate(([True], changes)))
    began = np.minimum.reduceat(at[order], firsts)
    by_time = np.argsort(began, kind="stable")
    place_of = np.empty(len(by_time), np.int64)
    place_of[by_time] = np.arange(len(by_time))
    places = np.empty(len(at), np.int64)
    places[order] = np.repeat(place_of, np.diff(firsts, append=len(at)))
    return places, order[firsts][by_time], began[by_time] // _MS


def _step(places: Integers, after: Integers) -> tuple[bytes, bytes, bytes]:
    """One type's events, sorted."""
    further = np.diff(places, prepend=0)
    later = np.where(np.diff(places, prepend=-1) > 0, after, np.diff(after, prepend=0))
    return pack(further), pack(later // _MS), pack(later % _MS)
