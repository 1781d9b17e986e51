"""What a visitor asks for. In: JSON in camelCase or snake_case. Out: Preferences, or pydantic's errors, which name the
field. Everything is optional; an empty list and a missing one are the same.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

Code = Annotated[str, StringConstraints(pattern="^[A-Za-z]{2}$", to_upper=True)]


def _number(value: object) -> object:
    """Python, and pydantic with it, takes true for 1."""
    if isinstance(value, bool):
        raise ValueError("is true or false, where a number belongs")
    return value


Whole = Annotated[int, BeforeValidator(_number)]
FILTERS = ("geography", "type", "themes", "duration", "budget", "difficulty", "date")


class Preferences(BaseModel):
    """Countries are ISO 3166 alpha-2 codes, continents AF, AN, AS, EU, NA, OC, SA; durations in days; the budget in the
    catalogue's currency."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    selected_countries: list[Code] = Field(default=[], max_length=250)
    selected_continents: list[Code] = Field(default=[], max_length=7)
    preferred_type_id: Whole | None = Field(default=None, ge=1, le=32_767)
    preferred_theme_ids: list[Annotated[Whole, Field(ge=1, le=63)]] = Field(default=[], max_length=3)
    min_duration: Whole | None = Field(default=None, ge=1, le=365)
    max_duration: Whole | None = Field(default=None, ge=1, le=365)
    budget: Decimal | None = Field(default=None, gt=0, le=10_000_000, decimal_places=2)
    difficulty: Whole | None = Field(default=None, ge=1, le=3)
    year: Literal["all"] | Annotated[Whole, Field(ge=2000, le=2199)] = "all"
    month: Literal["all"] | Annotated[Whole, Field(ge=1, le=12)] = "all"

    @field_validator("year", "month", mode="before")
    @classmethod
    def _all(cls, value: object) -> object:
        """A form sends "2027"; null is "all"."""
        if value is None:
            return "all"
        return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value

    @field_validator("selected_countries", "selected_continents", "preferred_theme_ids", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        return [] if value is None else value

    @field_validator("max_duration")
    @classmethod
    def _range(cls, value: int | None, others: ValidationInfo) -> int | None:
        least = others.data.get("min_duration")
        if value and least and least > value:
            raise ValueError("is less than the shortest duration asked for")
        return value

    @property
    def filters(self) -> list[str]:
        """Which of FILTERS are used, in that order."""
        used = (
            self.selected_countries or self.selected_continents,
            self.preferred_type_id is not None,
            self.preferred_theme_ids,
            self.min_duration is not None or self.max_duration is not None,
            self.budget is not None,
            self.difficulty is not None,
            self.year != "all" or self.month != "all",
        )
        return [name for name, is_used in zip(FILTERS, used, strict=True) if is_used]
