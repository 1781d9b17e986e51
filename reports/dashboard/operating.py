"""What pages do that other rooms know how to: handed in by whoever assembles the application, since reports import none
of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol


class Finding(Protocol):
    """One check of the installation. `good`: True, False, or None for a warning."""

    @property
    def what(self) -> str: ...
    @property
    def good(self) -> bool | None: ...
    @property
    def found(self) -> str: ...
    @property
    def advice(self) -> str: ...


class Replayed(Protocol):
    """What became of one letter's replay: replayed, duplicate, already resolved, or dead still, and why."""

    @property
    def dead_letter_id(self) -> int: ...
    @property
    def verdict(self) -> str: ...
    @property
    def reason(self) -> str: ...


class Matching(NamedTuple):
    """Which open letters of a site are meant, of those after an id; without a type or a reason, of any."""

    type: str | None
    reason: str | None
    after: int
    limit: int


class Operating(NamedTuple):
    """`examine` the installation; of a site, replace a letter's event (as it was seen when it was last patched), store
    letters after all, and give them up. All raise TripstreamError; a letter of another site is NotFound."""

    examine: Callable[[], Sequence[Finding]]
    patch: Callable[[str, int, str, dict[str, Any]], None]
    matching: Callable[[str, Matching, bool], list[int]]
    replay: Callable[[str, Sequence[int]], Sequence[Replayed]]
    discard: Callable[[str, Sequence[int]], int]
