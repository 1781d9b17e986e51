"""A day packed for funnels: the same bytes in whatever order events are stored, and all that they say comes back."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reports.walks import _Day, _walked
from schema.narrow import unpack
from workers import walks
from workers.walks import Walked

STARTS = datetime(2026, 3, 27, tzinfo=UTC)
BASE = round((STARTS - walks._EPOCH).total_seconds()) * 10**6
Seen = list[tuple[int, int, int]]
"""Of which type, whose, when."""

ids = st.sampled_from([1, 2, 3, 2**64, 2**64 + 1, 2**127 - 1, 2**128 - 1])
moments = st.one_of(st.integers(0, 3000), st.integers(0, 49 * 3600 * 10**6 - 1))
events = st.lists(st.tuples(st.integers(1, 3), ids, moments), min_size=1, max_size=30)


def packed(seen: Seen) -> Walked:
    of_type: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for kind, session, at in seen:
        of_type[kind].append((session, at))
    rows = [
        (
            kind,
            len(of_type[kind]),
            b"".join(session.to_bytes(16, "big") for session, _ in of_type[kind]),
            b"".join((BASE + at).to_bytes(8, "big") for _, at in of_type[kind]),
        )
        for kind in sorted(of_type)
    ]
    return walks.of_day(rows, STARTS)


def unpacked(day: Walked) -> Seen:
    sessions = [int.from_bytes(day.session_ids[n : n + 16], "big") for n in range(0, len(day.session_ids), 16)]
    began = np.cumsum(unpack(day.began, day.sessions)) * 1000
    kept = _Day(np.arange(day.sessions), began)
    found = []
    for kind, *rest in zip(day.types, day.events, day.walks, day.after_ms, day.after_us, strict=True):
        hits = _walked(kept, *rest)
        found += [(kind, sessions[n], at) for n, at in zip(hits.people.tolist(), hits.moments.tolist(), strict=True)]
    return found


@given(events, st.randoms())
def test_it_comes_back_and_order_makes_no_difference(seen: Seen, luck: random.Random) -> None:
    day = packed(seen)
    assert sorted(unpacked(day)) == sorted(seen)
    shuffled = seen.copy()
    luck.shuffle(shuffled)
    assert packed(shuffled) == day


def test_times_in_milliseconds_of_sessions_one_after_the_other_take_two_bytes_an_event() -> None:
    seen = [(1, session, 1000 * (5000 * session + 40 * n)) for session in range(1, 301) for n in range(20)]
    day = packed(seen)
    assert day.after_us == [b"\0"]
    assert len(day.walks[0]) + len(day.after_ms[0]) == 2 + 2 * len(seen)
    assert len(day.session_ids) + len(day.began) == 300 * (16 + 2) + 1
