"""The body of a request for recommendations. In: JSON, or nothing. Out: Asking, or what is wrong with which field.

Codes that do not exist are refused: they are mistakes of the caller, who would otherwise see an empty page.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any, NoReturn
from uuid import UUID

from pydantic import Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from recommender.catalogue import Known
from recommender.policy import WEIGHTS
from recommender.preferences import Preferences, Whole
from recommender.wire import encode
from schema.errors import InvalidBody, InvalidRequest


class Asking(Preferences):
    """Preferences, who asks, and how many trips are wanted. Without a write key the site has to be an open one."""

    session_id: UUID | None = None
    anonymous_id: UUID | None = None
    limit: Whole = Field(default=WEIGHTS.results, ge=1, le=WEIGHTS.results)
    site_id: str | None = None
    write_key: str | None = None

    @field_validator("limit", mode="before")
    @classmethod
    def _limit(cls, value: object) -> object:
        return WEIGHTS.results if value is None else value

    @property
    def logged(self) -> str:
        """The preferences as JSON, with their names in snake_case."""
        return encode(self.model_dump(include=set(Preferences.model_fields))).decode()


def parse(raw: bytes, known: Known) -> Asking:
    """Raises InvalidBody for what is no JSON object, InvalidRequest for a wrong value."""
    try:
        asking = Asking.model_validate_json(raw.strip() or b"{}")
    except ValidationError as error:
        _refuse(error)
    if unknown := list(_unknown(asking, known)):
        raise InvalidRequest(fields=unknown)
    return asking


def _refuse(error: ValidationError) -> NoReturn:
    """Each field once: of a value that may be one of two things pydantic says twice what is wrong."""
    found: dict[str, list[str]] = {}
    for one in error.errors():
        if not one["loc"]:
            raise InvalidBody('The body is no JSON object: send preferences like {"selectedCountries": ["IT"]}.')
        where = (to_camel(str(one["loc"][0])), *(str(part) for part in one["loc"][1:] if isinstance(part, int)))
        found.setdefault(".".join(where), []).append(one["msg"].removeprefix("Value error, "))
    raise InvalidRequest(fields=[(where, "; or: ".join(said)) for where, said in found.items()])


def _unknown(asking: Asking, known: Known) -> Iterator[tuple[str, str]]:
    types = [] if asking.preferred_type_id is None else [asking.preferred_type_id]
    yield from _missing("selectedCountries", "country", asking.selected_countries, known.countries)
    yield from _missing("selectedContinents", "continent", asking.selected_continents, known.continents)
    yield from _missing("preferredTypeId", "trip type", types, known.types)
    yield from _missing("preferredThemeIds", "theme", asking.preferred_theme_ids, known.themes)


def _missing(field: str, what: str, asked: Iterable[Any], there: Container[Any]) -> Iterator[tuple[str, str]]:
    for code in asked:
        if code not in there:
            yield field, f"there is no {what} {code}"
