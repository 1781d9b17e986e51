"""POST /api/user/identify: this visitor is the user whose token this is. In: a token and `{anonymous_id, …}`. Out: 202
once a `user_identify` event is in the stream; the drain links the visitor, and the mover moves what came before.

Sent twice with an event id or a time it is one event, and two events of the same say nothing new.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta
from msgspec.structs import astuple
from starlette.types import Scope

from ingest import rules
from ingest.commit import GroupCommit
from ingest.dialects.native import Address, Code, Text
from ingest.endpoint import commit, decode, keep_nothing, make_batch, receipt, take
from ingest.gate import Gate
from ingest.http import Answer, encode
from ingest.rules import Context
from schema import limits, signals
from schema.errors import InvalidBody, InvalidEvent, Unauthorized
from schema.event import Event, Verified, now


class Identify(msgspec.Struct, kw_only=True):
    """The visitor that signed in; `traits` are kept in the event's metadata."""

    anonymous_id: UUID
    session_id: UUID | None = None
    event_id: UUID | None = None
    client_timestamp: str | float | None = None
    page_url: Address | None = None
    device_type: Code | None = None
    user_agent: Text | None = None
    traits: Annotated[dict[str, Any], Meta()] | None = None


class IdentifyEndpoint:
    """Takes identifications of users whose token was verified."""

    def __init__(self, gate: Gate, group: GroupCommit, lanes: int) -> None:
        self._gate = gate
        self._group = group
        self._lanes = lanes

    async def __call__(self, scope: Scope, header: dict[bytes, bytes], raw: bytes) -> Answer:
        received_at = now()
        verified: Verified | None = scope.get("tripstream.verified")
        if verified is None:
            raise scope.get("tripstream.unverified") or Unauthorized("Send the user's token: Authorization: Bearer ….")
        root = decode(raw)
        context = self._gate.context(scope, header, root, received_at)
        event = _event(root, context)
        if signals.opted_out(header, context.rule):
            taken = keep_nothing(context, rules.Parsed([event], []))
        else:
            taken = take(make_batch(scope, header, context, [event]), self._lanes)
        await commit(self._group, taken)
        return 202, encode(receipt(taken, self._gate.durability) | {"user_id": verified.user_id})


def _event(root: Any, context: Context) -> Event:
    try:
        wanted = msgspec.convert(root, Identify)
        path, utm = rules.page(wanted.page_url, None)
        metadata = limits.pack_metadata("user_identify", wanted.traits, context.settings)
        limits.refuse_nul(astuple(wanted), metadata)
        ahead = rules.skew(root.get("sent_at"), context)
        at = rules.occurred_at(wanted.client_timestamp, ahead, context)
    except msgspec.ValidationError as error:
        raise InvalidBody(str(error).replace(" - at `$.", " in `")) from None
    except InvalidEvent as refusal:
        raise InvalidBody(refusal.message) from None
    return Event(
        event_id=wanted.event_id or rules.content_id(context, root, 0, wanted.client_timestamp),
        event_type="user_identify",
        occurred_at=at,
        session_id=wanted.session_id,
        anonymous_id=wanted.anonymous_id,
        page_url=wanted.page_url,
        path=path,
        utm=utm,
        device_type=wanted.device_type,
        user_agent=wanted.user_agent,
        metadata=metadata,
    )
