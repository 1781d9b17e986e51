"""A wire format that is not ours, behind the same accept path. In: a body in that format. Out: what its clients expect.

A dialect is a file of functions and its table of routes; here is what all of them share. After a crash before the
answer the client resends, and ids that are made of what it sent make the resend harmless.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from starlette.types import Scope

from ingest import rules
from ingest.commit import GroupCommit
from ingest.endpoint import Taken, commit, decode, keep_nothing, make_batch, take
from ingest.gate import Gate
from ingest.http import Answer, encode
from ingest.large import LARGE, VALUE_BYTES, count_values, head
from ingest.rates import spend
from ingest.rules import Context, Parsed, Rejection
from schema import limits, signals
from schema.errors import InvalidEvent
from schema.event import Event, Quarantined, derived_id, now

Headers = dict[bytes, bytes]
_TEXT_MAX = 500
_VALUE_LEAST = 16  # bytes of a body for each of the values in it: those of real events have about thirty
_CHARGED_BYTES = 4096
_SENT_MAX, _SENT_HEAD = 64 << 10, 4 << 10  # of what is quarantined
_KEYS = {"writeKey", "write_key", "api_key", "token", "$token"}
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")


def named_in_body(_scope: Scope, _header: Headers, root: Any) -> dict[str, Any]:
    """Key and site as our own dialect sends them."""
    return root if isinstance(root, dict) else {}


class Done(NamedTuple):
    """A request that was taken: what its dialect wanted to say of it, the durability in force, and the microseconds
    since it was read."""

    said: Any
    taken: Taken
    durability: str
    microseconds: int


def nothing(_root: Any, _parsed: Parsed) -> None:
    """Most answers say nothing of the events."""


class Dialect(NamedTuple):
    """How one route of a format is read and answered.

    `parse` raises InvalidBody for what is no batch at all, `named` returns what the body says of `write_key` and
    `site_id`, `answer` says what the format's clients want to hear. What it has to say of the events `say` takes from
    them before the promise, so that they need not wait for it.

    `unwrap` makes JSON of a body that is none yet; `read` does so too.

    `sdk`: the format of somebody's SDKs, which servers use too. What their requests say of their sender says nothing of
    a visitor, and their batches are as large as they like.
    """

    parse: Callable[[Any, Context], Parsed]
    answer: Callable[[Done], Answer]
    named: Callable[[Scope, Headers, Any], dict[str, Any]] = named_in_body
    read: Callable[[bytes], Any] = decode
    sdk: bool = False
    unwrap: Callable[[bytes], bytes] | None = None
    say: Callable[[Any, Parsed], Any] = nothing


class _Made(NamedTuple):
    """A body read and packed: all that is left of it while its promise is made."""

    context: Context
    taken: Taken
    said: Any


class DialectEndpoint:
    """The accept path for one route of a dialect."""

    def __init__(self, gate: Gate, group: GroupCommit, lanes: int, dialect: Dialect) -> None:
        self._gate = gate
        self._group = group
        self._lanes = lanes
        self._dialect = dialect

    async def __call__(self, scope: Scope, header: Headers, raw: bytes) -> Answer:
        received_at = now()
        if len(raw) <= LARGE and self._dialect.unwrap:
            raw = self._dialect.unwrap(raw)  # which may be large then
        if len(raw) > LARGE:
            made = await self._make_large(scope, header, raw, received_at)
        else:
            root = self._dialect.read(raw)
            made = self._make(scope, header, root, self._context(scope, header, raw, root, received_at))
        spend(made.context.charges, max(made.taken.accepted - 1, len(raw) // _CHARGED_BYTES))
        await commit(self._group, made.taken)
        return self._dialect.answer(Done(made.said, made.taken, self._gate.durability, now() - received_at))

    async def _make_large(self, scope: Scope, header: Headers, raw: bytes, received_at: int) -> _Made:
        """The same in a thread, as the event loop must turn meanwhile; few at once, and of strangers nothing is read
        but their key. Raises Busy."""
        dialect, gate = self._dialect, self._gate
        async with gate.large.turn():
            if dialect.unwrap:
                raw = await asyncio.to_thread(dialect.unwrap, raw)
            if dialect.sdk and (shown := await asyncio.to_thread(head, raw)) is not None:
                gate.refuse_stranger(scope, header, dialect.named(scope, header, shown), received_at)
            most = gate.settings.sdk_body_bytes_max // _VALUE_LEAST
            size = VALUE_BYTES * await asyncio.to_thread(count_values, raw, most)
            gate.take(size)
            try:
                root = await asyncio.to_thread(dialect.read, raw)
                context = self._context(scope, header, raw, root, received_at)
                return await asyncio.to_thread(self._make, scope, header, root, context)
            finally:
                gate.give(size)

    def _context(self, scope: Scope, header: Headers, raw: bytes, root: Any, received_at: int) -> Context:
        context = self._gate.context(scope, header, self._dialect.named(scope, header, root), received_at)
        return context._replace(may_hold_nul=rules.may_hold_nul(raw))

    def _make(self, scope: Scope, header: Headers, root: Any, context: Context) -> _Made:
        """Charges nothing: buckets are the event loop's own."""
        dialect = self._dialect
        parsed = dialect.parse(root, context)
        if signals.opted_out(header, context.rule):
            return _Made(context, keep_nothing(context, parsed), dialect.say(root, parsed))
        batch = make_batch(scope, header, context._replace(charges=()), parsed.events)
        batch.quarantined = list(parsed.quarantined)
        if dialect.sdk and b"origin" not in header:  # which every browser sends, and no server
            batch.user_agent = batch.ip_prefix = batch.country = None
        batch.category = parsed.category
        taken = take(batch, self._lanes, parsed.rejected)
        return _Made(context, taken, dialect.say(root, parsed))


def read_each(items: Sequence[Any], read: Callable[[Any, int], Event], context: Context) -> Parsed:
    """Read every item by itself; what is no event is quarantined, so that its neighbours are not resent or lost."""
    events, quarantined = [], []
    for index, item in enumerate(items):
        try:
            event = read(item, index)
            if context.may_hold_nul:
                limits.refuse_nul(msgspec.structs.astuple(event), event.metadata, event.utm)
            events.append(event)
        except InvalidEvent as refusal:
            quarantined.append(_quarantine(item, index, refusal.code, refusal.message, context))
        except msgspec.ValidationError as error:
            quarantined.append(_quarantine(item, index, "invalid_field", str(error), context))
    return Parsed(events, [], quarantined)


def read_one(read: Callable[[], Event], event_type: Any, context: Context, category: str | None = None) -> Parsed:
    """The one event of a body, or its refusal, which these formats' clients read."""
    try:
        return Parsed([read()], [], category=category)
    except InvalidEvent as refusal:
        reason = refusal.code, refusal.message
    except msgspec.ValidationError as error:
        reason = "invalid_field", limits.told(error)
    return Parsed([], [Rejection(0, *reason, rules.refused_type(event_type, context))])


def refusal_of(done: Done) -> Answer | None:
    """What is said where that event was refused."""
    if not done.taken.rejected:
        return None
    refusal = done.taken.rejected[0]
    return 400, encode({"code": refusal.code, "message": refusal.message})


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
        limits.keep(metadata, name, value)
    return made


def _quarantine(item: Any, index: int, code: str, message: str, context: Context) -> Quarantined:
    """Resent, it gets the same id."""
    sent = limits.without_escaped_nul(_as_sent(item, context).decode())
    event_id = derived_id(context.site_id, "quarantined", sent, str(index))
    return Quarantined(event_id, code, message[:_TEXT_MAX], sent, index)


def _as_sent(item: Any, context: Context) -> bytes:
    """The item as JSON without its write keys; of a large one how it begins, its size and what tells it from others.
    What nests too deeply to be JSON again is kept as that."""
    if isinstance(item, dict):
        item = _without_keys(item)
        if isinstance(item.get("properties"), dict):
            item["properties"] = _without_keys(item["properties"])
    try:
        sent = limits.as_kept(item, context.settings)
    except InvalidEvent:
        return b'"nested too deeply"'
    if len(sent) <= _SENT_MAX:
        return sent
    begins = sent[:_SENT_HEAD].decode("utf-8", "ignore")
    return encode({"begins": begins, "bytes": len(sent), "sha256": hashlib.sha256(sent).hexdigest()})


def _without_keys(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in _KEYS}
