"""What /docs says of answers that are made as bytes. In: nothing. Out: models that only describe; tests hold the
answers to them.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from schema.camel import CAMEL_ONLY_KNOWN

Status = Literal["Open", "Guaranteed", "Last Places", "Full", "Cancelled"]


class _Described(BaseModel):
    model_config = CAMEL_ONLY_KNOWN


class Continent(_Described):
    id: str
    name_en: str
    name_he: str


class Country(Continent):
    """`id` is its ISO 3166 alpha-2 code, `continent` the continent's id."""

    continent: str


class Locations(_Described):
    continents: list[Continent]
    countries: list[Country]


class Guide(_Described):
    id: int
    name_en: str
    name_he: str


class Coded(Guide):
    """A trip type, or a tag (theme)."""

    code: str


class Company(_Described):
    id: int
    name: str


class Template(_Described):
    """What the trip is."""

    id: int
    title_en: str
    title_he: str
    description_en: str
    description_he: str
    company_id: int
    company: str
    type_id: int
    primary_country: str
    more_countries: list[str]
    tag_ids: list[int]
    difficulty: int
    base_price: float
    duration_days: int


class Occurrence(_Described):
    """One departure. An event's trip_id is its id."""

    id: int
    template_id: int
    title_en: str
    title_he: str
    starts_on: date
    ends_on: date
    price: float
    guide_id: int | None
    seats: int
    seats_left: int
    status: Status


class Templates(_Described):
    """`nextCursor` asks for the next page; null after the last."""

    items: list[Template]
    next_cursor: str | None


class Occurrences(_Described):
    """`nextCursor` asks for the next page; null after the last."""

    items: list[Occurrence]
    next_cursor: str | None


class MatchDetail(_Described):
    """One part of the score."""

    term: str
    points: int
    reason: str


class Departure(_Described):
    """An occurrence with all about its trip."""

    occurrence_id: int
    template_id: int
    title_en: str
    title_he: str
    description_en: str
    description_he: str
    starts_on: date
    ends_on: date
    duration_days: int
    difficulty: int
    price: float
    base_price: float
    status: Status
    seats: int
    seats_left: int
    country: Country
    more_countries: list[str]
    type: Coded
    tags: list[Coded]
    guide: Guide | None
    company: Company


class Result(Departure):
    """A departure that fits. `matchScore` is the sum of the points, within 0 and 100."""

    position: int
    match_score: int
    match_details: list[MatchDetail]
    is_relaxed: bool


class Policy(_Described):
    id: str
    version: int


class Recommendations(_Described):
    """Send `requestId` with events as `recommendation_request_id`, and metrics will know what came of it."""

    request_id: UUID
    search_type: Literal["exploration", "focused_search"]
    results: list[Result]
    primary_count: int
    relaxed_count: int
    total_candidates: int
    thresholds: dict[str, int]
    policy: Policy
    response_time_ms: float


def answers(model: Any) -> dict[int | str, dict[str, Any]]:
    """For the `responses` of a route."""
    return {200: {"model": model}}
