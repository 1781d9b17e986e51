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
    """One row of DESIGN.md §9. `ratio` is true where the value has no unit: ours over the reference."""

    name: str
    what: str
    unit: str
    bar: float
    aim: float
    measure: Callable[[Servers, Scale], Measured]

    @property
    def more_is_better(self) -> bool:
        return self.aim >= self.bar

    def verdict(self, value: float) -> str:
        """Where the value stands: aim, bar, or below the bar."""
        sign = 1 if self.more_is_better else -1
        if sign * value >= sign * self.aim:
            return "aim"
        return "bar" if sign * value >= sign * self.bar else "BELOW"
