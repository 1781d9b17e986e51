"""What the recommender is held to. In: rows of evaluation_scenarios, as anybody wrote them. Out: Scenario, with every
date resolved for the day of the run; or pydantic's errors, which say what is wrong and where.

`preferences` are those of POST /api/v2/recommendations with `limit`; a year may be "+2": the year after next.
`trips` is null for the live catalogue, else the scenario's own: see MadeTrip. `expected`: see Expected. Keys are
snake_case or camelCase; an unknown one is an error, since a misspelt expectation would always be met.
"""

from __future__ import annotations

import calendar
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel

from recommender.policy import WEIGHTS
from recommender.preferences import Code, Preferences
from recommender.trips import Trip
from schema.db import Connection
from schema.sql import load

_SQL = load("evaluation")
_STRICT = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")
_DAY = re.compile(r"([+-]\d)-(\d\d)-(\d\d|last)")
_COMMON_YEAR = 2001

TripId = Annotated[int, Field(ge=1, lt=2**53)]  # what JSON can carry everywhere


class Row(NamedTuple):
    """A scenario as it is stored."""

    scenario_id: int
    name: str
    category: str
    preferences: Any
    trips: Any
    expected: Any


class Wanted(Preferences):
    """The preferences of a scenario. Validated in the context {"today": date}, from which years are counted."""

    model_config = _STRICT
    limit: int | None = Field(default=None, ge=1, le=WEIGHTS.results)

    @field_validator("year", mode="before")
    @classmethod
    def _year(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str) and re.fullmatch(r"[+-]\d", value) and info.context:
            return int(info.context["today"].year) + int(value)
        return value


class MadeTrip(BaseModel):
    """One trip of a scenario, or `copies` that differ by their ids, counted from `id`, alone. It starts `in_days` from
    the run, or `on` a day like "+2-06-15" or "+2-02-last": in the year after next. Its template is its own unless
    said. `price` is in the catalogue's currency."""

    model_config = _STRICT

    id: TripId
    copies: int = Field(default=1, ge=1, le=1000)
    template: TripId | None = None
    countries: list[Code] = Field(default=["IT"], min_length=1)
    type: int = Field(default=1, ge=1, le=32_767)
    themes: list[Annotated[int, Field(ge=1, le=63)]] = []
    difficulty: int = Field(default=2, ge=1, le=3)
    days: int = Field(default=8, ge=1, le=365)
    price: Decimal = Field(default=Decimal(1000), ge=0, decimal_places=2, max_digits=10)
    in_days: int = Field(default=90, ge=-5000, le=5000)
    on: str | None = None
    status: Literal["Open", "Guaranteed", "Last Places", "Full", "Cancelled"] = "Open"

    @field_validator("on")
    @classmethod
    def _on(cls, value: str | None) -> str | None:
        if value is not None:
            _resolved(value, _COMMON_YEAR)
        return value

    @model_validator(mode="after")
    def _once(self) -> MadeTrip:
        if {"in_days", "on"} <= self.model_fields_set:
            raise ValueError("say in_days or on, not both")
        return self

    def trips(self, today: date) -> Iterator[Trip]:
        """What it stands for, on the day of the run."""
        starts_on = _resolved(self.on, today.year) if self.on else today + timedelta(self.in_days)
        for trip_id in range(self.id, self.id + self.copies):
            yield Trip(
                occurrence_id=trip_id,
                template_id=self.template or trip_id,
                countries=tuple(self.countries),
                type_id=self.type,
                theme_ids=frozenset(self.themes),
                difficulty=self.difficulty,
                duration_days=self.days,
                starts_on=starts_on,
                price=int(self.price * 100),
                status=self.status,
            )


class Expected(BaseModel):
    """What must hold of the results shown. `score_min` and `score_max` bound every raw score; `order` is all results,
    in order; `scores` are raw, by trip; `relaxed` says whether any result is; `candidates` is the count before the
    limit; `low_score` whether the best score counts as low. What is left out is not looked at."""

    model_config = _STRICT

    count_min: int | None = None
    count_max: int | None = None
    score_min: int | None = None
    score_max: int | None = None
    must: list[TripId] = []
    must_not: list[TripId] = []
    order: list[TripId] | None = None
    scores: dict[TripId, int] = {}
    relaxed: bool | None = None
    candidates: int | None = None
    search_type: Literal["exploration", "focused_search"] | None = None
    low_score: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> Expected:
        if not self.model_fields_set:
            raise ValueError("nothing is expected, so nothing could fail")
        return self

    @property
    def named(self) -> set[int]:
        """Every trip that it speaks of."""
        return {*self.must, *self.must_not, *(self.order or ()), *self.scores}


class Scenario(BaseModel):
    """A row that makes sense. Without `trips` it is about the live catalogue."""

    preferences: Wanted
    trips: list[MadeTrip] | None
    expected: Expected

    @model_validator(mode="after")
    def _agrees(self) -> Scenario:
        if self.trips is None:
            return self
        ids = Counter(trip_id for made in self.trips for trip_id in range(made.id, made.id + made.copies))
        if twice := sorted(trip_id for trip_id, times in ids.items() if times > 1):
            raise ValueError(f"trip {twice[0]} is there twice")
        if strange := sorted(self.expected.named - ids.keys()):
            raise ValueError(f"trip {strange[0]} is expected, but is none of trips")
        return self

    def made(self, today: date) -> list[Trip]:
        """Its own trips."""
        return [trip for made in self.trips or () for trip in made.trips(today)]


def read(connection: Connection, category: str | None = None) -> list[Row]:
    """Active scenarios, in the order in which they were added."""
    with connection.cursor(row_factory=class_row(Row)) as cursor:
        return cursor.execute(_SQL["scenarios"], {"category": category}).fetchall()


def _resolved(day: str, year: int) -> date:
    parts = _DAY.fullmatch(day)
    if not parts:
        raise ValueError(f'{day} is no day like "+2-06-15" or "+2-02-last"')
    year, month = year + int(parts[1]), int(parts[2])
    if not 1 <= month <= 12:
        raise ValueError(f"{day} has no such month")
    last = calendar.monthrange(year, month)[1]
    if parts[3] != "last" and not 1 <= int(parts[3]) <= last:
        raise ValueError(f"{day} is not in every year; the month's last day is written last")
    return date(year, month, last if parts[3] == "last" else int(parts[3]))
