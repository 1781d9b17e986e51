"""POST /api/events/batch and POST /api/events: decode, check, append, 202.

In: a body in the native dialect. Out: 202 once the batch is in Redis as durably as the answer says. After a crash
before the answer the sender resends, and the ledger makes the resend harmless.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import msgspec
from starlette.types import Scope

from ingest import metrics
from ingest.commit import GroupCommit
from ingest.dialects import native
from ingest.gate import Gate, ip_prefix
from ingest.http import Answer, encode
from ingest.rules import Context, Parsed
from schema import stream
from schema.errors import InvalidBody
from schema.event import Batch, Event, new_id, now

_USER_AGENT_MAX = 500
logger = logging.getLogger("tripstream.ingest")


class EventsEndpoint:
    """The accept path. `single` also takes one bare event, and answers 400 when that one is refused."""

    def __init__(self, gate: Gate, commit: GroupCommit, lanes: int, *, single: bool) -> None:
        self._gate = gate
        self._commit = commit
        self._lanes = lanes
        self._single = single

    async def __call__(self, scope: Scope, header: dict[bytes, bytes], raw: bytes) -> Answer:
        received_at = now()
        parsed = None
        if (envelope := native.read_exact(raw, self._single)) is not None:
            named = {"write_key": envelope.write_key, "site_id": envelope.site_id}
            context = self._gate.context(scope, header, named, received_at)
            parsed = native.parse_exact(envelope, context)
        if parsed is None:
            root = decode(raw)
            context = self._gate.context(scope, header, root, received_at)
            found = native.items(root, self._single)
            sent_at = root.get("sent_at") if isinstance(root, dict) else None
            parsed = native.parse(found, sent_at, context, b"\\u0000" in raw)
        batch = make_batch(scope, header, context, parsed.events)
        await commit(self._commit, self._lanes, batch, parsed)
        if self._single and parsed.rejected and not parsed.events:
            first = parsed.rejected[0]
            return 400, encode({"code": first.code, "message": first.message, "accepted": 0})
        return 202, encode(receipt(batch, parsed, self._gate.durability))


def decode(raw: bytes) -> Any:
    """The body as JSON values. Raises InvalidBody saying where it stops being JSON."""
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise InvalidBody("The JSON nests too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidBody(f"The body is not valid JSON: {error}") from None


def make_batch(scope: Scope, header: dict[bytes, bytes], context: Context, events: list[Event]) -> Batch:
    """The events with what their request says of all of them. The address is truncated here, before it is queued."""
    agent = header.get(b"user-agent", b"").decode("utf-8", "replace").replace("\0", "")[:_USER_AGENT_MAX]
    return Batch(
        site_id=context.site_id,
        batch_id=new_id(context.received_at),
        received_at=context.received_at,
        events=events,
        ip_prefix=ip_prefix((scope.get("client") or ("",))[0]),
        user_agent=agent or None,
    )


async def commit(to: GroupCommit, lanes: int, batch: Batch, parsed: Parsed) -> None:
    """Make the promise, and count it. Raises Busy, and then nothing was counted here."""
    reasons = Counter(f"{r.event_type} {r.code}" for r in parsed.rejected) if parsed.rejected else {}
    if batch.events:
        first = batch.events[0]
        visitor = first.anonymous_id.bytes if first.anonymous_id else batch.batch_id.bytes
        await to.append(stream.lane_of(visitor, lanes), batch.site_id, batch, reasons)
        metrics.accepted_of(batch.site_id).inc(len(batch.events))
    elif reasons:
        await to.append(0, batch.site_id, None, reasons)
    for refusal in parsed.rejected:
        metrics.REJECTED.labels(refusal.code).inc()
    if reasons:
        logger.info("events refused", extra={"batch_id": str(batch.batch_id), "reasons": dict(reasons)})


def receipt(batch: Batch, parsed: Parsed, durability: str) -> dict[str, Any]:
    """The 202's body."""
    return {
        "accepted": len(parsed.events),
        "rejected": [{"index": r.at, "code": r.code, "message": r.message} for r in parsed.rejected],
        "batch_id": batch.batch_id,
        "durability": durability,
    }
