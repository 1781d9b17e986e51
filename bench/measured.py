"""What one row found. In: figures. Out: the same, with a verdict once bar and aim are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bench.rounds import Scale
from bench.servers import Servers


class Measured(NamedTuple):
    """`value` is what bar and aim are about; `ours` and `reference` say in words what it was made of."""

    value: float
    ours: str
    reference: str
    details: Mapping[str, object] = {}


class Row(NamedTuple):
    """One row of DESIGN.md §9; or a figure beside one of them, which has no bar and no aim of its own."""

    name: str
    what: str
    unit: str
    bar: float | None
    aim: float | None
    measure: Callable[[Servers, Scale], Measured]

    def verdict(self, value: float) -> str:
        """Where the value stands: aim, bar, or below the bar."""
        if self.bar is None or self.aim is None:
            return ""
        sign = 1 if self.aim >= self.bar else -1
        if sign * value >= sign * self.aim:
            return "aim"
        return "bar" if sign * value >= sign * self.bar else "BELOW"
