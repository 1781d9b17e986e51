"""Questions that are answered with lists. In: parameters. Out: their models, and rows with the number of all rows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from psycopg.rows import dict_row
from pydantic import AfterValidator, BeforeValidator, Field

from schema.db import Connection
from schema.spans import Span, SpanQuery
from schema.sql import load

LIMIT_MAX, OFFSET_MAX, TYPES_MAX = 10_000, 1_000_000, 50


def _sayable(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL, which nothing that is stored does")
    return value


def _split(value: object) -> object:
    """`type=a,b` means the same as `type=a&type=b`."""
    if not isinstance(value, list):
        return value
    return list(dict.fromkeys(name.strip() for one in value for name in str(one).split(",")))


Types = Annotated[
    list[Annotated[str, Field(min_length=1), AfterValidator(_sayable)]] | None,
    BeforeValidator(_split),
    Field(max_length=TYPES_MAX, description="Types of events, several with commas or repeated. Without: all together."),
]
Code = Annotated[Annotated[str, AfterValidator(_sayable)] | None, Field(min_length=1, max_length=200)]


class TypesQuery(SpanQuery):
    """Days, and perhaps of which types of events."""

    type: Types = None


class ListQuery(SpanQuery):
    """Days, and which part of a list in which order. `sort` is each question's own."""

    order: Annotated[Literal["asc", "desc"], Field(description="Which way to sort; ties by name.")] = "desc"
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX, description="How many rows.")] = 100
    offset: Annotated[int, Field(ge=0, le=OFFSET_MAX, description="How many rows to pass over.")] = 0

    @property
    def page(self) -> dict[str, Any]:
        """Its parameters of queries."""
        return {"sign": 1 if self.order == "asc" else -1, "limit": self.limit, "offset": self.offset}


def page(
    connection: Connection, consumer: str, name: str, span: Span, query: ListQuery, **asked: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a list says of itself, and its rows by one named query. `total` is of all rows, those of other pages too."""
    sql, asked = load(consumer)[name], span.bounds | query.page | asked
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(sql, asked).fetchall()
        counted = found or (cursor.execute(sql, asked | {"limit": 1, "offset": 0}).fetchall() if query.offset else [])
    return {**span.head, "total": counted[0]["total"] if counted else 0, "offset": query.offset}, found
