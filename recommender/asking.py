"""The body of a request for recommendations. In: JSON, or nothing. Out: Asking, or what is wrong with which field.

Codes that do not exist are refused: they are mistakes of the caller, who would otherwise see an empty page.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any
from uuid import UUID

import msgspec
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError
from pydantic.alias_generators import to_camel

from recommender.catalogue import Known
from recommender.policy import WEIGHTS
from recommender.preferences import Preferences
from schema.errors import InvalidBody

_encode = msgspec.json.Encoder(decimal_format="number").encode


class Asking(Preferences):
    """Preferences, who asks, and how many trips are wanted. Without a write key the site has to be an open one."""

    session_id: UUID | None = None
    anonymous_id: UUID | None = None
    limit: int = Field(default=WEIGHTS.results, ge=1, le=WEIGHTS.results)
    site_id: str | None = None
    write_key: str | None = None

    @property
    def logged(self) -> str:
        """The preferences as JSON, with their names in snake_case."""
        return _encode(self.model_dump(include=set(Preferences.model_fields))).decode()


def parse(raw: bytes, known: Known) -> Asking:
    """Raises InvalidBody for what is no JSON object, RequestValidationError for a wrong value."""
    try:
        asking = Asking.model_validate_json(raw.strip() or b"{}")
    except ValidationError as error:
        raise _refusal(error) from None
    if unknown := list(_unknown(asking, known)):
        raise RequestValidationError(unknown)
    return asking


def _refusal(error: ValidationError) -> Exception:
    """Each field once: of a value that may be one of two things pydantic says twice what is wrong."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for one in error.errors():
        if not one["loc"]:
            return InvalidBody('The body is no JSON object: send preferences like {"selectedCountries": ["IT"]}.')
        where = ("body", to_camel(str(one["loc"][0])), *(part for part in one["loc"][1:] if isinstance(part, int)))
        found.setdefault(where, []).append(one["msg"].removeprefix("Value error, "))
    return RequestValidationError(
        [{"loc": where, "msg": "; or: ".join(said), "type": "value_error"} for where, said in found.items()]
    )


def _unknown(asking: Asking, known: Known) -> Iterator[dict[str, Any]]:
    types = [] if asking.preferred_type_id is None else [asking.preferred_type_id]
    yield from _missing("selectedCountries", "country", asking.selected_countries, known.countries)
    yield from _missing("selectedContinents", "continent", asking.selected_continents, known.continents)
    yield from _missing("preferredTypeId", "trip type", types, known.types)
    yield from _missing("preferredThemeIds", "theme", asking.preferred_theme_ids, known.themes)


def _missing(field: str, what: str, asked: Iterable[Any], there: Container[Any]) -> Iterator[dict[str, Any]]:
    for code in asked:
        if code not in there:
            yield {"loc": ("body", field), "msg": f"there is no {what} {code}", "type": "value_error"}
