"""Single events of a site, newest first. In: a span and what they have to be. Out: a page of them and where the next
one begins; 422 that says what to narrow.

Pages go on at an event, not at a count: what is stored meanwhile shifts nothing, and none is shown twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, NamedTuple
from uuid import UUID

import msgspec
from psycopg.rows import dict_row
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from reports.stored import as_of_now, narrowed
from schema.answers import Figures, SpanAnswer
from schema.db import Connection
from schema.errors import InvalidRequest
from schema.spans import Span, SpanQuery
from schema.sql import load

PAGE_MAX, CONDITIONS_MAX = 500, 10
_SQL = load("event_query")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = _EPOCH, datetime(9900, 12, 31, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Place(NamedTuple):
    """An event, as the end of a page."""

    at: datetime
    event_id: UUID

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // _MICROSECOND}.{self.event_id.hex}"


class Whose(NamedTuple):
    """Where the events of somebody are: of these users, in these sessions, or under this claim; everywhere where all
    are None."""

    users: list[int] | None = None
    sessions: list[UUID] | None = None
    claimed: str | None = None


def _text(said: object) -> object:
    if isinstance(said, str) and "\0" in said:
        raise ValueError("holds a NUL, which no event does")
    return said


Text = Annotated[str, BeforeValidator(_text)]


def _moment(said: object) -> object:
    """A moment and nothing else: pydantic would take a number for seconds since 1970."""
    if not isinstance(said, str) or "T" not in said.upper():
        raise ValueError("is no moment like 2027-03-31T08:00:00Z")
    return said


def _near(at: datetime) -> datetime:
    if not _FIRST <= at <= _LAST:
        raise ValueError("lies outside 1970 to 9900")
    return at


Moment = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_near)]


class EventQuery(SpanQuery):
    """Which events. All that is said has to hold."""

    type: Annotated[Text | None, Field(description="Event types, with commas between.")] = None
    user: Annotated[Text | None, Field(max_length=1000, description="Your own id of a user, verified or claimed.")] = (
        None
    )
    user_id: Annotated[int | None, Field(ge=1, lt=2**63, description="A user by the number that events show.")] = None
    session: Annotated[UUID | None, Field(description="A session's id.")] = None
    visitor: Annotated[UUID | None, Field(description="A visitor's anonymous id.")] = None
    metadata: Annotated[
        list[Text],
        Field(max_length=CONDITIONS_MAX, default_factory=list, description="key=value; a.b=value for b inside a."),
    ]
    bots: Annotated[bool, Field(description="Whether bots' events are shown too.")] = False
    since: Annotated[Moment | None, Field(description="A moment like 2027-03-31T08:00:00Z, in place of days.")] = None
    until: Annotated[Moment | None, Field(description="The moment before which they were, in place of days.")] = None
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX, description="How many at once.")] = 100
    after: Annotated[str | None, Field(description="The `next` of the page before.")] = None


class StoredEvent(Figures):
    """One event as it is stored. `user_id` is Tripstream's number of whoever it is today."""

    event_id: UUID
    event_type: str
    occurred_at: datetime
    received_at: datetime
    session_id: UUID
    visitor: UUID | None
    user_id: int | None
    auth_user_id: str | None
    claimed_user: str | None
    is_bot: bool
    trip_id: int | None
    recommendation_request_id: UUID | None
    source: str | None
    position: int | None
    score: float | None
    path: str | None
    page_url: str | None
    referrer: str | None
    device_type: str | None
    screen: str | None
    country: str | None
    owner_code: str | None
    share_code: str | None
    contact_id: str | None
    click_target: str | None
    click_category: str | None
    page_type: str | None
    utm: dict[str, Any] | str | None
    metadata: dict[str, Any] | str | None
    batch_id: UUID


class Events(SpanAnswer):
    """A page. `next`: what to send as `after` for the one after it; null where this is the last."""

    tables: ClassVar[tuple[str, ...]] = ("events",)

    since: datetime
    until: datetime
    events: list[StoredEvent]
    next: str | None


def page(connection: Connection, span: Span, query: EventQuery, *, as_text: bool = False) -> Events:
    """The page asked for. `as_text`: what has a shape of its own as JSON, for a cell. Raises InvalidRequest."""
    span = _meant(connection, span, query)
    after = _place(query.after)
    types, categories = _types(connection, query.type)
    asked = span.bounds | _whose(connection, span.site_id, query)._asdict() | {
        "types": types, "categories": categories, "user_id": query.user_id, "session": query.session,
        "visitor": query.visitor, "bots": query.bots, "after_at": after and after.at,
        "after_id": after and after.event_id, "most": query.limit + 1,
    } | _conditions(query.metadata)  # fmt: skip
    with narrowed(), connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["page"], asked, prepare=False).fetchall()
    found = [_flat(row) if as_text else row for row in rows[: query.limit]]
    more = len(rows) > query.limit
    following = str(Place(found[-1]["occurred_at"], found[-1]["event_id"])) if more else None
    head = {**span.head, "since": span.starts, "until": span.ends}
    return Events.model_validate({**head, "events": found, "next": following})


def _meant(connection: Connection, span: Span, query: EventQuery) -> Span:
    """The span of days; where moments are given instead, from the one to the other. Raises InvalidRequest."""
    said = [name for name in ("since", "until") if getattr(query, name)]
    if not said:
        return span
    if query.start or query.end or query.days:
        raise InvalidRequest(fields=[(said[0], "days are given as well: send either")])
    until = (query.until or span.ends).astimezone(UTC)
    since = query.since.astimezone(UTC) if query.since else until - timedelta(days=SpanQuery.days_default)
    if since >= until:
        raise InvalidRequest(fields=[(said[0], "since has to lie before until")])
    asked = {"site_id": span.site_id, "first": since, "last": until - _MICROSECOND}
    ((start, end),) = connection.execute(_SQL["days"], asked).fetchall()
    return as_of_now(connection, span._replace(start=start, end=end, starts=since, ends=until))


def _whose(connection: Connection, site_id: str, query: EventQuery) -> Whose:
    """A user of that verified id is known with all that is theirs; of another there are claims. A visitor's events are
    the visitor's users', or in sessions that the visitor began; a bot has neither."""
    if query.user is not None:
        known = {"site_id": site_id, "value": query.user}
        if users := _column(connection, "users_of", known | {"kind": "auth"}):
            return Whose(users=users)
        return Whose(users=_column(connection, "users_of", known | {"kind": "claimed"}), claimed=query.user)
    if query.visitor is None or query.bots:
        return Whose()
    known = {"site_id": site_id, "value": str(query.visitor)}
    users = _column(connection, "users_of", known | {"kind": "anonymous"})
    return Whose(users=users, sessions=_column(connection, "sessions_of", known))


def _types(connection: Connection, said: str | None) -> tuple[list[int] | None, list[str] | None]:
    """Their numbers, and in which categories they are. Raises InvalidRequest."""
    if said is None:
        return None, None
    names = sorted({name.strip() for name in said.split(",")})
    found = connection.execute(_SQL["types"], {"names": names}).fetchall()
    known = {name for name, _, _ in found}
    if missing := [name for name in names if name not in known]:
        raise InvalidRequest(fields=[("type", f"there is no event type {', '.join(missing) or 'without a name'}")])
    return [number for _, number, _ in found], sorted({category for _, _, category in found})


def _conditions(said: Sequence[str]) -> dict[str, Any]:
    """Which keys of the metadata have to be what. Raises InvalidRequest."""
    parts = [one.partition("=") for one in said]
    if not all(key and equals for key, equals, _ in parts):
        raise InvalidRequest(fields=[("metadata", "has to be like key=value")])
    return {"keys": [key for key, _, _ in parts] or None, "values": [value for _, _, value in parts]}


def _place(said: str | None) -> Place | None:
    """Raises InvalidRequest."""
    if said is None:
        return None
    if not (found := re.fullmatch(r"(\d{1,17})\.([0-9a-f]{32})", said, re.ASCII)):
        raise InvalidRequest(fields=[("after", "is not the `next` of an answer")])
    return Place(_EPOCH + int(found[1]) * _MICROSECOND, UUID(found[2]))


def _column(connection: Connection, name: str, values: dict[str, Any]) -> list[Any]:
    return [value for (value,) in connection.execute(_SQL[name], values)]


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    shaped = {name: msgspec.json.encode(row[name]).decode() for name in ("utm", "metadata") if row[name] is not None}
    return row | shaped
