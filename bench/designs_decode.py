"""Reading a batch of ten: the native dialect's own decoder against a pydantic model of the same fields and limits.

In: realistic bodies. Out: batches/s on one core. What holds: the model is made of the dialect's own fields, refuses
what it refuses, and both read the same bodies.
"""

from __future__ import annotations

import time
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from bench.rounds import Pairs, Scale, by_turns
from bench.servers import Servers
from bench.traffic import posts
from ingest.dialects import native
from ingest.rules import Context
from schema.event import Batch, new_id, now
from schema.registry import Registry, SiteRule
from schema.settings import Settings

_BODIES = 500
_WRONG: tuple[dict[str, Any], ...] = ({}, {"event_type": ""}, {"unknown": 1}, {"position": -1}, {"session_id": "x"})
_LIMITS = ("ge", "le", "min_length", "max_length")


def measure(_servers: Servers, scale: Scale) -> Pairs:
    """Decoding and checking only: no canonical event is made of it on either side."""
    bodies = [post.body for post in posts(_BODIES, 10)]
    model = _model(native.Envelope)
    if any(native.read_exact(body, False) is None for body in bodies):
        raise RuntimeError("the dialect refuses a body")
    _must_agree(model, bodies[0])

    def msgspec_() -> float:
        began = time.perf_counter()
        for body in bodies:
            native.read_exact(body, False)
        return _BODIES / (time.perf_counter() - began)

    def pydantic() -> float:
        began = time.perf_counter()
        for body in bodies:
            model.model_validate_json(body)
        return _BODIES / (time.perf_counter() - began)

    return by_turns(scale.rounds, msgspec_, pydantic)


def batch(size: int) -> Batch:
    """One realistic batch as accept makes it."""
    (post,) = posts(1, size)
    envelope, at = native.read_exact(post.body, False), now()
    site, registry = SiteRule([], "everyone", strict=False), Registry({}, {}, frozenset(), frozenset())
    parsed = envelope and native.parse_exact(envelope, Context("default", site, registry, Settings(), at))
    if not parsed:
        raise RuntimeError("the dialect refuses a body")
    return Batch(site_id="default", batch_id=new_id(at), received_at=at, events=parsed.events, ip_prefix="127.0.0.0/24")


def _model(struct: type[msgspec.Struct]) -> type[BaseModel]:
    """A pydantic model of a msgspec struct: same fields, defaults and limits; unknown fields are refused."""
    hints = get_type_hints(struct, include_extras=True)
    fields: dict[str, Any] = {
        field.name: (_hint(hints[field.name]), ... if field.required else field.default)
        for field in msgspec.structs.fields(struct)
    }
    return create_model(struct.__name__, __config__=ConfigDict(extra="forbid"), **fields)


def _must_agree(model: type[BaseModel], body: bytes) -> None:
    """Raises RuntimeError where one takes what the other refuses."""
    for change in _WRONG:
        root = msgspec.json.decode(body)
        root["events"][0] |= change
        changed = msgspec.json.encode(root)
        try:
            model.model_validate_json(changed)
            agree = not change
        except ValidationError:
            agree = bool(change)
        if not agree or (native.read_exact(changed, False) is None) != bool(change):
            raise RuntimeError(f"they do not agree about {change}")


def _hint(hint: Any) -> Any:
    """The same type in pydantic's words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        limits = {name: limit for name in _LIMITS if (limit := getattr(inner[1], name)) is not None}
        return Annotated[inner[0], Field(**limits)]
    if origin is UnionType or origin is Union:
        return Union[tuple(map(_hint, inner))]  # noqa: UP007 of as many as there are
    if origin is list:
        return list[_hint(inner[0])]  # type: ignore[misc]  # made at run time
    return _model(hint) if isinstance(hint, type) and issubclass(hint, msgspec.Struct) else hint
