"""How far people get through steps, beside a plain count of all the ways that there are."""

from __future__ import annotations

from itertools import groupby
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import chains
from reports.chains import Hits, Reached

Seen = list[tuple[int, int, int]]
"""Whose event, of which type, when."""


def ways(events: list[tuple[int, int]], steps: list[int], window: int, strict: bool) -> list[list[int]]:
    """For each step how long every way to it took, each event tried after each."""
    begun = [(at, at) for kind, at in events if kind == steps[0]]
    found = [[0] * len(begun)]
    for step in steps[1:]:
        begun = [
            (began, at)
            for began, last in begun
            for kind, at in events
            if kind == step and (at > last or (at == last and not strict)) and at - began <= window
        ]
        found.append([at - began for began, at in begun])
    return found


def oracle(seen: Seen, steps: list[int], window: int, strict: bool) -> list[Reached]:
    people = [[one[1:] for one in found] for _, found in groupby(sorted(seen), lambda one: one[0])]
    each = [ways(events, steps, window, strict) for events in people]
    quickest = [[min(way[n]) for way in each if way[n]] for n in range(len(steps))]
    return [Reached(len(times), median(times) if times else None) for times in quickest]


def hits(seen: Seen, kind: int) -> Hits:
    people, moments = [p for p, k, _ in seen if k == kind], [at for _, k, at in seen if k == kind]
    return Hits(np.array(people, np.int64), np.array(moments, np.int64))


people = st.sampled_from([0, 1, 2, 5, 70])
events = st.lists(st.tuples(people, st.integers(0, 3), st.integers(-20, 20)), max_size=14)


@given(events, st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(0, 15))
def test_as_many_come_as_far_as_trying_every_way_finds(seen: Seen, steps: list[int], window: int) -> None:
    for strict in {True, len(steps) > len(set(steps))}:
        found = chains.reached([hits(seen, kind) for kind in steps], window, strict=strict)
        assert found == oracle(seen, steps, window, strict)


@given(events)
def test_people_who_do_not_fit_into_one_round_are_counted_in_several(seen: Seen) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains, "_ROOM", 60)
        found = chains.reached([hits(seen, kind) for kind in (0, 1, 2)], 15, strict=False)
    assert found == oracle(seen, [0, 1, 2], 15, False)


def test_a_later_start_saves_whom_the_first_one_would_lose() -> None:
    seen = [(1, 0, 0), (1, 0, 8), (1, 1, 9), (1, 2, 12), (2, 1, 0), (2, 0, 1)]
    found = chains.reached([hits(seen, kind) for kind in (0, 1, 2)], 5, strict=False)
    assert found == [Reached(2, 0.0), Reached(1, 1.0), Reached(1, 4.0)]


def test_four_hundred_days_in_microseconds_overflow_nothing() -> None:
    last = 400 * 86_400 * 10**6
    everybody = np.arange(300_000, dtype=np.int64)
    first = Hits(everybody, np.zeros(len(everybody), np.int64))
    then = Hits(everybody[::-1].copy(), np.full(len(everybody), last))
    assert chains.reached([first, then], last, strict=False)[1] == Reached(300_000, last)
    assert chains.reached([first, then], last - 1, strict=False)[1] == Reached(0, None)
