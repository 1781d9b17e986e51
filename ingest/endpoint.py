"""POST /api/events/batch and POST /api/events: decode, check, append, 202.

In: a body in the native dialect. Out: 202 once the batch is in Redis as durably as the answer says. After a crash
before the answer the sender resends, and the ledger makes the resend harmless.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from starlette.types import Scope

from ingest import metrics, rules
from ingest.commit import GroupCommit
from ingest.dialects import native
from ingest.gate import Gate, peer_prefix
from ingest.http import Answer, encode
from ingest.peers import COUNTRY
from ingest.rates import spend
from ingest.rules import Context, Parsed, Rejection
from schema import signals, stream
from schema.errors import InvalidBody
from schema.event import Batch, Event, Refused, Verified, new_id, now, without_nul
from schema.stream import Packed

_USER_AGENT_MAX = 500
_TOLD_MAX, _MESSAGE_MAX = 100, 300  # of a request's refusals, those that say in full what is wrong
logger = logging.getLogger("tripstream.ingest")


class Taken(NamedTuple):
    """One request's events, checked and packed, before their promise is made."""

    site_id: str
    batch_id: UUID
    packed: Packed | None
    rejected: Sequence[Rejection]

    @property
    def accepted(self) -> int:
        """Events that will be promised."""
        return self.packed.events if self.packed else 0


class EventsEndpoint:
    """The accept path. `single` also takes one bare event, and answers 400 when that one is refused."""

    def __init__(self, gate: Gate, commit: GroupCommit, lanes: int, *, single: bool) -> None:
        self._gate = gate
        self._commit = commit
        self._lanes = lanes
        self._single = single

    async def __call__(self, scope: Scope, header: dict[bytes, bytes], raw: bytes) -> Answer:
        taken = self._take(scope, header, raw)
        await commit(self._commit, taken)
        if self._single and taken.rejected and not taken.accepted and taken.rejected[0].code != signals.CODE:
            first = taken.rejected[0]
            return 400, encode({"code": first.code, "message": first.message, "accepted": 0})
        return 202, encode(receipt(taken, self._gate.durability))

    def _take(self, scope: Scope, header: dict[bytes, bytes], raw: bytes) -> Taken:
        """What waits for the fsync is bytes. Events that waited for it too, a hundred batches of them, had left the
        processor's cache when they were packed, and the next ones found no warm memory."""
        received_at = now()
        if (envelope := native.read_exact(raw, self._single)) is None:
            parsed, root = None, decode(raw)
            context = self._gate.context(scope, header, root, received_at)
        else:
            named = {"write_key": envelope.write_key, "site_id": envelope.site_id}
            context = self._gate.context(scope, header, named, received_at)
            if (parsed := native.parse_exact(envelope, context)) is None:
                root = decode(raw)
        if parsed is None:
            found = native.items(root, self._single)
            sent_at = root.get("sent_at") if isinstance(root, dict) else None
            parsed = native.parse(found, sent_at, context, b"\\u0000" in raw)
        if signals.opted_out(header, context.rule):
            return keep_nothing(context, parsed)
        return take(make_batch(scope, header, context, parsed.events), self._lanes, parsed.rejected)


def decode(raw: bytes) -> Any:
    """The body as JSON values. Raises InvalidBody saying where it stops being JSON."""
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise InvalidBody("The JSON nests too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidBody(f"The body is not valid JSON: {error}") from None


def make_batch(scope: Scope, header: dict[bytes, bytes], context: Context, events: list[Event]) -> Batch:
    """The events with what their request says of all of them. The address is truncated here, before it is queued, and
    a verified token makes the events its user's. The gate has charged for one of them."""
    if context.charges and len(events) > 1:
        spend(context.charges, len(events) - 1)
    verified: Verified | None = scope.get("tripstream.verified")
    if verified is not None:
        for event in events:
            event.auth_user_id = verified.user_id
    agent = header.get(b"user-agent", b"").decode("utf-8", "replace").replace("\0", "")[:_USER_AGENT_MAX]
    return Batch(
        site_id=context.site_id,
        batch_id=new_id(context.received_at),
        received_at=context.received_at,
        events=events,
        ip_prefix=peer_prefix((scope.get("client") or ("",))[0]),
        user_agent=agent or None,
        country=scope.get(COUNTRY),
        verified=verified,
    )


def take(batch: Batch, lanes: int, rejected: Sequence[Rejection] = ()) -> Taken:
    """The batch packed for the lane of its first visitor. What was refused goes along, so that its receipt can say so,
    also where nothing was accepted."""
    packed = None
    if rejected:
        told = [_text(r.message) if n < _TOLD_MAX else "" for n, r in enumerate(rejected)]
        batch.refused = [Refused(r.at, r.code, why, r.event_type) for r, why in zip(rejected, told, strict=True)]
    if batch.accepted or rejected:
        first = batch.events[0].anonymous_id if batch.events else None
        visitor = first.bytes if first else batch.batch_id.bytes
        packed = stream.pack(stream.lane_of(visitor, lanes), batch)
    return Taken(batch.site_id, batch.batch_id, packed, rejected)


def keep_nothing(context: Context, parsed: Parsed) -> Taken:
    """What is taken of a browser that opted out: counts of what it sent, by type. No batch is made of it."""
    types = [*(event.event_type for event in parsed.events), *("unknown" for _ in parsed.quarantined)]
    types += [rejection.event_type for rejection in parsed.rejected]
    told = [(at, rules.refused_type(event_type, context)) for at, event_type in enumerate(types)]
    refused = [Rejection(at, signals.CODE, signals.MESSAGE, event_type) for at, event_type in told]
    return Taken(context.site_id, new_id(context.received_at), None, refused)


def _text(message: str) -> str:
    """What a receipt, which is jsonb, can hold of it."""
    return without_nul(message[:_MESSAGE_MAX])


async def commit(to: GroupCommit, taken: Taken) -> None:
    """Make the promise, and count it. Raises Busy, and then nothing was counted here."""
    reasons = Counter(f"{r.event_type} {r.code}" for r in taken.rejected) if taken.rejected else {}
    if taken.packed or reasons:
        await to.append(taken.site_id, taken.packed, reasons)
    if taken.packed:
        metrics.accepted_of(taken.site_id).inc(taken.accepted)
    for refusal in taken.rejected:
        metrics.REJECTED.labels(refusal.code).inc()
    if reasons:
        logger.info("events refused", extra={"batch_id": str(taken.batch_id), "reasons": dict(reasons)})


def receipt(taken: Taken, durability: str) -> dict[str, Any]:
    """The 202's body."""
    return {
        "accepted": taken.accepted,
        "rejected": [{"index": r.at, "code": r.code, "message": r.message} for r in taken.rejected],
        "batch_id": taken.batch_id,
        "durability": durability,
    }
