"""What applications emit, whether in SQL or over HTTP. In: one emitted event. Out: the canonical event; no visitor.

Entity, data and category have no columns: they are kept in the metadata, with `event.` before a name that is taken.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from schema import limits
from schema.event import Event
from schema.settings import Settings

Name = Annotated[str, Meta(max_length=500)] | int


class Emitted(msgspec.Struct, kw_only=True):
    """What an application did. The category is what its type gets if nobody registered it."""

    event_type: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")]
    event_category: Literal["interaction", "transaction", "user_activity", "content"] | None = None
    user_id: Name | None = None
    entity_type: Name | None = None
    entity_id: Name | None = None
    event_data: Any = None
    metadata: dict[str, Any] | None = None


_KEPT = ("entity_type", "entity_id", "event_data", "event_category")


def event(wire: Emitted, more: dict[str, Any], event_id: UUID, occurred_at: int, settings: Settings) -> Event:
    """The canonical event, with `more` as its metadata. Raises InvalidEvent."""
    metadata = dict(more)
    for name in _KEPT:
        if (value := getattr(wire, name)) is not None:
            limits.keep(metadata, name, value)
    made = Event(
        event_id=event_id,
        event_type=wire.event_type,
        occurred_at=occurred_at,
        claimed_user=None if wire.user_id in (None, "") else str(wire.user_id),
        metadata=limits.pack_metadata(wire.event_type, metadata, settings),
    )
    limits.refuse_nul((made.event_type, made.claimed_user), made.metadata)
    return made
