"""What became of each event that was not simply stored, as its batch's receipt says it. In: what one transaction found
out. Out: verdicts by batch, small enough to keep: what is not named there was stored without a remark.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from schema.entry import Entry
from schema.event import Batch, without_nul
from workers.fits import Warned
from workers.resolve import Staged

_TYPE_MAX = 100


class Poison(NamedTuple):
    """Why an event cannot be stored."""

    reason: str
    sqlstate: str | None


Repeated = Sequence[tuple[int, Staged]]
Dead = Sequence[tuple[Entry, int | None, Poison]]
Unfit = Sequence[tuple[int, Staged, str]]
"""Each with the event's ordinal in its batch; dead letters without one are whole entries."""
Discarded = Sequence[tuple[Entry, int]]
"""Events of erased persons: which they were is not said."""
Places = Mapping[UUID, Sequence[int]]
"""By batch, each ordinal's place in the request, which is what a client knows."""


def places_of(new: Sequence[Entry]) -> Places:
    """The places of these entries' events."""
    return {entry.batch_id: entry.batch.places for entry in new if entry.batch is not None}


def verdicts(
    new: Sequence[Entry], repeated: Repeated, dead: Dead, unfit: Unfit, discarded: Discarded = ()
) -> dict[UUID, list[dict[str, Any]]]:
    """Verdicts by batch, of those that have any; `index` is the event's place in the request."""
    found: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    places = places_of(new) if repeated or dead or unfit or discarded else {}
    for batch_id, ordinal, verdict in _verdicts(repeated, dead, unfit):
        found[batch_id].append({"index": None if ordinal is None else places[batch_id][ordinal]} | verdict)
    for entry, ordinal in discarded:
        told = {"verdict": "discarded", "reason": "the person was erased"}
        found[entry.batch_id].append({"index": places[entry.batch_id][ordinal]} | told)
    for entry in new:
        for refused in entry.batch.refused if entry.batch else ():
            reason = without_nul(f"{refused.code}: {refused.message}")
            told = {"verdict": "refused", "reason": reason, "event_type": without_nul(refused.event_type)}
            found[entry.batch_id].append({"index": refused.at} | told)
    return found


def warned(unfit: Unfit) -> Warned:
    """The same, counted by site and type."""
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for _, (event, batch), why in unfit:
        key = (batch.site_id, event.event_type)
        found[key] = (found.get(key, (0, ""))[0] + 1, why)
    return found


def _verdicts(repeated: Repeated, dead: Dead, unfit: Unfit) -> Iterator[tuple[UUID, int | None, dict[str, str]]]:
    for at, s in repeated:
        yield s.batch.batch_id, at, {"verdict": "duplicate"} | _named(s.batch, at)
    for entry, ordinal, poison in dead:
        named = _named(entry.batch, ordinal) if entry.batch and ordinal is not None else {}
        yield entry.batch_id, ordinal, {"verdict": "dead", "reason": without_nul(poison.reason)} | named
    for at, s, why in unfit:
        yield s.batch.batch_id, at, {"verdict": "stored", "reason": without_nul(why)} | _named(s.batch, at)


def _named(batch: Batch, at: int) -> dict[str, str]:
    """Which event it is."""
    if at >= len(batch.events):
        return {"event_id": str(batch.quarantined[at - len(batch.events)].event_id)}
    event = batch.events[at]
    return {"event_id": str(event.event_id), "event_type": without_nul(event.event_type[:_TYPE_MAX])}
