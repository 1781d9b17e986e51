"""Ours and the reference by turns, so that a busy minute of the machine hits both. In: two measurements that return a
figure each. Out: medians, and the ratio as the median of the rounds' own ratios.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple


class Scale(NamedTuple):
    """How much is measured. `events` is what one round stores, in batches of ten."""

    rounds: int
    seconds: float
    events: int


FULL = Scale(rounds=5, seconds=3.0, events=60_000)
QUICK = Scale(rounds=1, seconds=0.5, events=3_000)


class Pairs(NamedTuple):
    """One figure of each side a round."""

    ours: list[float]
    reference: list[float]

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.reference, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def details(self) -> dict[str, object]:
        """The rounds as they were, for the JSON."""
        return {"ours": self.ours, "reference": self.reference, "ratios": self.ratios}


def by_turns(rounds: int, ours: Callable[[], float], reference: Callable[[], float]) -> Pairs:
    """A B, B A, A B, …"""
    found = Pairs([], [])
    for number in range(rounds):
        sides = [(ours, found.ours), (reference, found.reference)]
        for measure, figures in sides if number % 2 == 0 else reversed(sides):
            figures.append(measure())
    return found
