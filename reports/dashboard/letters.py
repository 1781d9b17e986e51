"""Dead letters to look at. In: a site's filter or one id. Out: what could not be stored, why, and the event as text
that can be changed. Read as the site's reader: row security lets no other site's through.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from psycopg.rows import namedtuple_row
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schema.db import Connection
from schema.errors import InvalidRequest, NotFound
from schema.sql import load

PAGE = 50
LOOKED_AT = 5000
STATES = ("dead", "replayed", "duplicate", "discarded", "all")
_ID_MAX = (1 << 63) - 1
_RAW_SHOWN = 20_000
_SQL = load("letters")


def _storable(text: str) -> str:
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("must be text, without NUL and halves of characters")
    return text


Text = Annotated[str, AfterValidator(_storable), Field(max_length=2000)]


class LettersQuery(BaseModel):
    """Which letters, and before which id, newest first."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["dead", "replayed", "duplicate", "discarded", "all"] = "dead"
    type: Text | None = None
    reason: Text | None = None
    before: Annotated[int | None, Field(ge=1, le=_ID_MAX)] = None


class Letter(NamedTuple):
    """One letter. `text`: its event as JSON to change; None where it holds none, which `kept` then says, and `raw`
    shows what there is."""

    dead_letter_id: int
    batch_id: str
    events: int
    received_at: datetime
    reason: str
    sqlstate: str | None
    state: str
    created_at: datetime
    patched_at: datetime | None
    resolved_at: datetime | None
    text: str | None
    raw: str | None
    kept: str | None


def page_of(connection: Connection, site_id: str, query: LettersQuery) -> dict[str, Any]:
    """A page of them, what most died of, and where the next page begins."""
    state = None if query.state == "all" else query.state
    values = query.model_dump() | {"site_id": site_id, "state": state, "limit": PAGE + 1, "looked_at": LOOKED_AT}
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        found: list[Any] = cursor.execute(_SQL["page"], values).fetchall()
        reasons = cursor.execute(_SQL["reasons"], values).fetchall()
    more = found[PAGE - 1].dead_letter_id if len(found) > PAGE else None
    return {"letters": found[:PAGE], "reasons": reasons, "more": more, "asked": query, "states": STATES}


def letter_of(connection: Connection, site_id: str, dead_letter_id: int) -> Letter:
    """One of them. Raises NotFound, also for another site's."""
    values = {"site_id": site_id, "dead_letter_id": dead_letter_id}
    if not 0 < dead_letter_id <= _ID_MAX:
        raise NotFound(_missing(dead_letter_id))
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        row: Any = cursor.execute(_SQL["one"], values).fetchone()
    if row is None:
        raise NotFound(_missing(dead_letter_id))
    kept = row._asdict()
    raw, event_id = bytes(kept.pop("raw")), kept.pop("event_id")
    if event_id is not None:
        text = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
        return Letter(**kept, text=text, raw=None, kept=None)
    why = "It cannot be read as an event." if row.events else "An answered request is kept to look at."
    return Letter(**kept, text=None, raw=base64.b64encode(raw)[:_RAW_SHOWN].decode(), kept=why)


def event_in(text: str) -> dict[str, Any]:
    """What was typed, as an event's fields. Raises InvalidRequest that says where it is no JSON."""
    try:
        found = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise InvalidRequest("This is nested too deeply.") from None
    except ValueError as error:
        raise InvalidRequest(f"This is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidRequest('This is no event: write an object, like {"event_type": "page_view", …}.')
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _missing(dead_letter_id: int) -> str:
    return f"There is no dead letter {dead_letter_id} here: it may have been dropped with age."
