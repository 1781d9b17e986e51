"""A wire format that is not ours, behind the same accept path. In: a body in that format. Out: what its clients expect.

A dialect is a file of functions and its table of routes; here is what all of them share. After a crash before the
answer the client resends, and ids that are made of what it sent make the resend harmless.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from starlette.types import Scope

from ingest import rules
from ingest.commit import GroupCommit
from ingest.endpoint import Taken, commit, decode, make_batch, take
from ingest.gate import Gate
from ingest.http import Answer
from ingest.rates import spend
from ingest.rules import Context, Parsed
from schema.errors import InvalidEvent
from schema.event import Event, Quarantined, derived_id, now

Headers = dict[bytes, bytes]
_TEXT_MAX = 500
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")
_LARGE = 64 << 10  # to read 8 MiB takes half a second, in which the event loop must turn


def named_in_body(_scope: Scope, _header: Headers, root: Any) -> dict[str, Any]:
    """Key and site as our own dialect sends them."""
    return root if isinstance(root, dict) else {}


class Done(NamedTuple):
    """A request that was taken: its body, what was made of it, the durability in force, and the microseconds since it
    was read."""

    root: Any
    parsed: Parsed
    taken: Taken
    durability: str
    microseconds: int


class Dialect(NamedTuple):
    """How one route of a format is read and answered.

    `parse` raises InvalidBody for what is no batch at all, `named` returns what the body says of `write_key` and
    `site_id`, `answer` says what the format's clients want to hear.

    `sdk`: the format of somebody's SDKs, which servers use too. What their requests say of their sender says nothing of
    a visitor, and their batches are as large as they like.
    """

    parse: Callable[[Any, Context], Parsed]
    answer: Callable[[Done], Answer]
    named: Callable[[Scope, Headers, Any], dict[str, Any]] = named_in_body
    read: Callable[[bytes], Any] = decode
    sdk: bool = False


class DialectEndpoint:
    """The accept path for one route of a dialect."""

    def __init__(self, gate: Gate, group: GroupCommit, lanes: int, dialect: Dialect) -> None:
        self._gate = gate
        self._group = group
        self._lanes = lanes
        self._dialect = dialect

    async def __call__(self, scope: Scope, header: Headers, raw: bytes) -> Answer:
        received_at = now()
        root = self._dialect.read(raw)
        context = self._gate.context(scope, header, self._dialect.named(scope, header, root), received_at)
        context = context._replace(may_hold_nul=rules.may_hold_nul(raw))
        if len(raw) > _LARGE:
            parsed = await asyncio.to_thread(self._dialect.parse, root, context)
        else:
            parsed = self._dialect.parse(root, context)
        batch = make_batch(scope, header, context, parsed.events)
        batch.quarantined = list(parsed.quarantined)
        spend(context.charges, len(batch.quarantined))
        if self._dialect.sdk and b"origin" not in header:  # which every browser sends, and no server
            batch.user_agent = batch.ip_prefix = batch.country = None
        batch.category = parsed.category
        taken = take(batch, self._lanes, parsed.rejected)
        await commit(self._group, taken)
        return self._dialect.answer(Done(root, parsed, taken, self._gate.durability, now() - received_at))


def read_each(items: Sequence[Any], read: Callable[[Any, int], Event], context: Context) -> Parsed:
    """Read every item by itself; what is no event is quarantined, so that its neighbours are not resent or lost."""
    events, quarantined = [], []
    for index, item in enumerate(items):
        try:
            event = read(item, index)
            if context.may_hold_nul:
                rules.refuse_nul(msgspec.structs.astuple(event), event.metadata, event.utm)
            events.append(event)
        except InvalidEvent as refusal:
            quarantined.append(_quarantine(item, index, refusal.code, refusal.message, context))
        except msgspec.ValidationError as error:
            quarantined.append(_quarantine(item, index, "invalid_field", str(error), context))
    return Parsed(events, [], quarantined)


def as_id(context: Context, kind: str, value: Any) -> UUID | None:
    """A UUID as it is; of any other text or number the UUID that always stands for it on this site. None for nothing.

    Raises InvalidEvent.
    """
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        raise InvalidEvent("invalid_field", f"{kind}: an id is text of at most {_TEXT_MAX} characters.")
    return UUID(value) if _UUID.fullmatch(value) else derived_id(context.site_id, kind, value)


def kept_id(context: Context, kind: str, name: str, value: Any, metadata: dict[str, Any]) -> UUID | None:
    """The same; what was sent stays in the metadata, as `name`, where the UUID does not say it. Raises InvalidEvent."""
    made = as_id(context, kind, value)
    if made is not None and str(made) != value:
        rules.keep(metadata, name, value)
    return made


def _quarantine(item: Any, index: int, code: str, message: str, context: Context) -> Quarantined:
    """Resent, it gets the same id. What nests too deeply to be JSON again is kept as its type."""
    try:
        sent = rules.as_kept(item, context.settings)
    except InvalidEvent:
        sent = b'"nested too deeply"'
    sent = sent.replace(b"\\u0000", b"\\ufffd")  # Postgres refuses it in jsonb
    event_id = derived_id(context.site_id, "quarantined", sent, str(index))
    return Quarantined(event_id, code, message[:_TEXT_MAX], sent.decode())
