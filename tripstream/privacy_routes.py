"""Export and erasure over HTTP. In: an admin key, and one way to name a person. Out: a JSON document; a receipt, which
the chores fulfil, and which names nobody. A site's admin key reaches its own site only.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, field_validator

from schema import db, rights
from schema.settings import Settings
from workers import export, people
from workers.people import Named


class Who(BaseModel):
    """A person: one of user, anonymous_id and email. The site is the key's; the installation's key names one."""

    model_config = ConfigDict(extra="forbid")

    user: str | None = None
    anonymous_id: str | None = None
    email: str | None = None
    site_id: str | None = None

    @field_validator("*")
    @classmethod
    def _can_be_stored(cls, value: str | None) -> str | None:
        if value is not None and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("must be text, without NUL and halves of characters")
        return value


class Receipt(BaseModel):
    """An erasure. `state`: requested, erased (rows are; the rest is under way), incomplete (see `remaining` and
    `note`), refused (see `note`), done. `counts` and `remaining` are rows by table."""

    erasure_id: UUID
    site_id: str
    state: str
    named_by: str
    requested_by: str
    requested_at: datetime
    erased_at: datetime | None
    finished_at: datetime | None
    counts: dict[str, int]
    remaining: dict[str, int]
    note: str | None
    not_covered: list[str]


def add_privacy_routes(app: FastAPI, settings: Settings) -> None:
    """The routes."""

    @app.post(
        "/api/privacy/export", summary="Everything that is kept of a person (admin key)", response_class=JSONResponse
    )
    def export_person(request: Request, who: Who) -> StreamingResponse:
        site_id = rights.changed_site(settings, request.headers, who.site_id)
        with db.wrapped():
            pieces = export.export(settings, site_id, _named(who))
            first = next(pieces)  # what is wrong with the question is an answer of its own
        return StreamingResponse(
            _then(first, pieces), media_type="application/json", headers={"Cache-Control": "no-store"}
        )

    @app.post("/api/privacy/erase", summary="Erase a person (admin key)", status_code=202, response_model=Receipt)
    def erase_person(request: Request, who: Who) -> object:
        site_id = rights.changed_site(settings, request.headers, who.site_id)
        with db.wrapped(), db.connect(settings) as connection:
            erasure_id = people.request(connection, site_id, _named(who), by="HTTP")
            return people.receipt(connection, erasure_id)

    @app.get(
        "/api/privacy/receipts/{erasure_id}", summary="What became of an erasure (admin key)", response_model=Receipt
    )
    def receipt(request: Request, erasure_id: UUID) -> object:
        site_id = rights.changed_sites(settings, request.headers)
        with db.wrapped(), db.connect(settings) as connection:
            return people.receipt(connection, erasure_id, site_id)


def _named(who: Who) -> Named:
    return people.named(who.user, who.anonymous_id, who.email)


def _then(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
