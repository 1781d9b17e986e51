"""How figures are answered. In: an answer and the request for it. Out: JSON or CSV with a weak ETag, or 304 where the
asker has these figures already.

The ETag is of the figures without their `as_of`: a rollup that changed nothing costs nobody a transfer. That moment
goes along in x-as-of, and x-is-moving beside it: of a CSV and of a 304 there is no other place for them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, ClassVar, Literal, get_args, get_origin

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from schema import sheet
from schema.camel import CAMEL

Format = Literal["json", "csv"]
SECONDS_MOVING, SECONDS_STILL = 10, 60  # the figures of a rollup each minute


class Figures(BaseModel):
    """Part of an answer, or one row of it."""

    model_config = CAMEL


class Fresh(BaseModel):
    """Figures with their freshness. `as_of`: whatever was stored before it is in them; null before the first rollup.
    `is_moving`: they may still change without a late event."""

    tables: ClassVar[tuple[str, ...]] = ()  # the fields that are its rows as CSV; without one it is a row itself

    as_of: datetime | None
    is_moving: bool


class Answer(Fresh, Figures):
    """The same in camelCase."""


class SpanAnswer(Answer):
    """Whose figures, and of which days, both included, in which zone."""

    site_id: str
    time_zone: str
    start: date
    end: date


class Listed(SpanAnswer):
    """Part of a list: `total` is the number of all its rows, of which so many were passed over."""

    tables: ClassVar[tuple[str, ...]] = ("rows",)

    total: int
    offset: int


class WrongField(BaseModel):
    """One parameter and what is wrong with it."""

    field: str
    message: str


class Problem(BaseModel):
    """Why there are no figures."""

    code: str
    message: str
    fields: list[WrongField] = []


DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The figures", "content": {"text/csv": {"schema": {"type": "string"}}}},
    304: {"description": "The figures are those of If-None-Match"},
    401: {"model": Problem, "description": "A read key is missing, or has ended"},
    403: {"model": Problem, "description": "This key may not read these figures"},
    422: {"model": Problem, "description": "A parameter is wrong; `fields` names it"},
}


def reply(request: Request, answer: Fresh, asked: Format | None = None, name: str = "figures") -> Response:
    """The answer as it was asked for: by `format`, else by Accept. `name` is the file's, of CSV."""
    chosen = asked or accepted(request.headers.get("accept", ""))
    told = answer.model_dump_json(by_alias=True)
    figures = _timeless(answer, told)
    tag = f'W/"{hashlib.blake2b(f"{chosen} {figures}".encode(), digest_size=12).hexdigest()}"'
    headers = {
        "etag": tag,
        "cache-control": f"private, max-age={SECONDS_MOVING if answer.is_moving else SECONDS_STILL}",
        "vary": "accept, authorization, x-read-key, apikey, x-site-id",
        "x-is-moving": str(answer.is_moving).lower(),
    }
    if isinstance(answer, Listed):
        headers["x-total"] = str(answer.total)
    if answer.as_of is not None:
        headers["x-as-of"] = answer.as_of.isoformat()
    if has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    if chosen == "csv":
        headers["content-disposition"] = f'attachment; filename="{name}.csv"'
        return Response(as_csv(answer), headers=headers, media_type="text/csv; charset=utf-8")
    return Response(told, headers=headers, media_type="application/json")


def _timeless(answer: Fresh, told: str) -> str:
    """What it told, without as_of, which most answers begin with; of long ones writing took as long as reading."""
    if next(iter(type(answer).model_fields)) == "as_of":
        return "{" + told.partition(",")[2]
    return answer.model_dump_json(by_alias=True, exclude={"as_of"})


def accepted(accept: str) -> Format:
    """What Accept prefers: csv only where it is named, and not less wanted than JSON."""
    wanted = {"text/csv": 0.0, "application/json": 0.0}
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        if media in wanted:
            quality = next((p[2:] for p in parameters if re.fullmatch(r"q=[01](\.\d{0,3})?", p, re.ASCII)), "1")
            wanted[media] = float(quality)
    return "csv" if wanted["text/csv"] > 0 and wanted["text/csv"] >= wanted["application/json"] else "json"


def has(if_none_match: str, tag: str) -> bool:
    """Whether the asker has it, compared weakly, as GET does."""
    bare = tag.removeprefix("W/")
    tags = (one.strip().removeprefix("W/") for one in if_none_match.split(","))
    return any(one in (bare, "*") for one in tags)


def as_csv(answer: Fresh) -> str:
    """The rows of its tables, those of several under `table`; or the whole answer as one row."""
    dumped = answer.model_dump(by_alias=True)
    if not answer.tables:
        head = {"asOf", "isMoving", "as_of", "is_moving"}
        return sheet.write([{name: value for name, value in dumped.items() if name not in head}])
    fields = type(answer).model_fields
    names = {table: fields[table].alias or table for table in answer.tables}
    columns = dict.fromkeys(name for table in names for name in _columns(fields[table].annotation))
    if len(names) == 1:
        return sheet.write(dumped[names[answer.tables[0]]], [*columns])
    rows = [{"table": name} | row for name in names.values() for row in dumped[name]]
    return sheet.write(rows, ["table", *columns])


def _columns(annotation: Any, prefix: str = "") -> Iterator[str]:
    """The columns of a list of rows, there being no row; those of a mapping show with the rows only."""
    for name, field in next(_models(annotation)).model_fields.items():
        column = f"{prefix}{field.alias or name}"
        inner = field.annotation
        if get_origin(inner) is dict:
            continue
        if next(_models(inner), None) is not None and get_origin(inner) is not list:
            yield from _columns(inner, f"{column}.")
        else:
            yield column


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names: itself, what a list is of, or what may be null."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            yield one
