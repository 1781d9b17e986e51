"""What Postgres is known to refuse, found without asking it. In: events that are to be stored. Out: what is wrong.

One refused row costs its whole transaction, and to find it by halves takes many: ten thousand such events held a drain
for a minute. Looked at only after a refusal; what is not found here is found by halves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from uuid import UUID

from msgspec.structs import astuple

from schema import limits
from schema.entry import Entry
from schema.event import Event
from workers.receipts import Poison

_WHOLE = (("trip_id", 1, 63), ("position", 0, 31), ("schema_version", -(2**15), 15))


def known(chunk: Sequence[Entry]) -> dict[tuple[UUID, int], Poison]:
    """Poison, by batch and ordinal, among the events of these entries."""
    return {
        (entry.batch_id, ordinal): poison
        for entry in chunk
        if entry.batch is not None
        for ordinal, event in enumerate(entry.batch.events)
        if (poison := next(_wrong(event), None)) is not None
    }


def _wrong(event: Event) -> Iterator[Poison]:
    if any(isinstance(value, str) and "\0" in value for value in astuple(event)):
        yield Poison("text holds U+0000", "22021")
    for name in ("metadata", "utm"):
        if limits.holds_nul(getattr(event, name)):
            yield Poison(f"text holds U+0000 ({name})", "22P05")
    for name, least, bits in _WHOLE:
        value = getattr(event, name)
        if value is not None and not least <= value < 2**bits:
            yield Poison(f"out of range ({name})", "22003")
    if event.score is not None and not math.isfinite(event.score):
        yield Poison("no finite number (score)", "22003")
