"""A file of trips, row by row. In: a path. Out: rows that hold together, or BadRows with every bad line and why."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NoReturn

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from recommender.preferences import Whole
from schema.days import Day
from schema.errors import BadRows, ConfigError

_OF_TEMPLATE = (
    "company", "title_en", "title_he", "description_en", "description_he", "type", "countries", "tags", "difficulty",
    "base_price", "duration_days",
)  # fmt: skip
_REQUIRED = {"template_key", "starts_on", "seats", "company", "type", "countries", "difficulty", "base_price",
             "duration_days"}  # fmt: skip
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20_000, pattern=r"^[^\x00]*$")]
Price = Annotated[Decimal, Field(ge=0, lt=100_000_000, decimal_places=2, allow_inf_nan=False)]
PlannedDay = Annotated[Day, Field(ge=date(2000, 1, 1), le=date(2199, 12, 31))]


class Problem(NamedTuple):
    """What is wrong with a line."""

    line: int
    reason: str


class ImportRow(BaseModel):
    """A departure and its trip. `countries`: alpha-2 codes, the primary one first; in CSV, several countries or tags
    stand in one field with | between. One title or description may stand for both languages. Without more said, it ends
    after its duration, costs the base price, has all its seats free, and its key is its start."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    line: int
    template_key: Name
    company: Name
    title_en: Name | None = None
    title_he: Name | None = None
    description_en: Text | None = None
    description_he: Text | None = None
    type: Name
    countries: list[Annotated[str, StringConstraints(to_upper=True)]] = Field(min_length=1, max_length=50)
    tags: list[Name] = Field(default=[], max_length=63)
    difficulty: Whole = Field(ge=1, le=3)
    base_price: Price
    duration_days: Whole = Field(ge=1, le=365)
    occurrence_key: Name | None = None
    starts_on: PlannedDay
    ends_on: PlannedDay | None = None
    price: Price | None = None
    guide: Name | None = None
    seats: Whole = Field(ge=0, le=100_000)
    seats_left: Whole | None = Field(default=None, ge=0)
    status: Literal["Open", "Guaranteed", "Last Places", "Full", "Cancelled"] | None = None
    is_active: bool = True

    @field_validator("countries")
    @classmethod
    def _known(cls, codes: list[str], info: ValidationInfo) -> list[str]:
        if unknown := [code for code in codes if code not in (info.context or ())]:
            raise ValueError(f"{unknown[0][:20]!r} is no ISO 3166 alpha-2 code")
        return codes

    @model_validator(mode="after")
    def _complete(self) -> ImportRow:
        """What follows from other fields."""
        if not (self.title_en or self.title_he):
            raise ValueError("title_en: give it, or title_he")
        self.title_en, self.title_he = self.title_en or self.title_he, self.title_he or self.title_en
        english, hebrew = self.description_en or "", self.description_he or ""
        self.description_en, self.description_he = english or hebrew, hebrew or english
        self.occurrence_key = self.occurrence_key or self.starts_on.isoformat()
        self.ends_on = self.ends_on or self.starts_on + timedelta(days=self.duration_days - 1)
        self.price = self.base_price if self.price is None else self.price
        self.seats_left = self.seats if self.seats_left is None else self.seats_left
        self.status = self.status or ("Open" if self.seats_left else "Full")
        return self

    @model_validator(mode="after")
    def _hold_together(self) -> ImportRow:
        if self.ends_on and not self.starts_on <= self.ends_on <= self.starts_on + timedelta(days=366):
            raise ValueError("ends_on: is before starts_on, or more than 366 days after it")
        if (self.seats_left or 0) > self.seats:
            raise ValueError("seats_left: is more than seats")
        if not self.seats_left and self.status not in ("Full", "Cancelled"):
            raise ValueError(f"status: is {self.status}, but no seats are left")
        return self


_NAMES: dict[str, str] = {to_camel(name): name for name in ImportRow.model_fields}


def read(path: Path, countries: frozenset[str]) -> list[ImportRow]:
    """Every row of the file. Raises BadRows, or ConfigError for a file that is not what its name says."""
    reading = _json_lines if path.suffix in (".jsonl", ".ndjson") else _csv_rows
    if path.suffix not in (".jsonl", ".ndjson", ".csv"):
        raise ConfigError(f"{path} is neither .csv nor .jsonl")
    problems: list[Problem] = []
    rows: list[ImportRow] = []
    trips = _Trips()
    keys: dict[tuple[str, str | None], int] = {}
    try:
        for line, given in reading(path):
            if isinstance(given, str):
                problems.append(Problem(line, given))
            elif row := _row(given | {"line": line}, trips, countries, problems):
                rows.append(row)
                if (other := keys.setdefault((row.template_key, row.occurrence_key), line)) != line:
                    problems.append(Problem(line, f"occurrence_key: this departure is on line {other} already"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if problems:
        raise BadRows(problems=problems)
    return rows


class _Trips:
    """What the first row of each trip said of it."""

    def __init__(self) -> None:
        self._first: dict[str, dict[str, Any]] = {}

    def complete(self, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The row with what its trip's first row said; and where it says something else of the trip."""
        key = str(given.get("template_key", "")).strip()
        before = self._first.setdefault(key, given) if key else given
        said = {name: before[name] for name in _OF_TEMPLATE if name in before}
        differ = [name for name in _OF_TEMPLATE if name in given and given[name] != before.get(name)]
        return said | given, [f"{name}: line {before['line']} says otherwise of this template_key" for name in differ]


def _row(given: dict[str, Any], trips: _Trips, countries: frozenset[str], problems: list[Problem]) -> ImportRow | None:
    """The row; or None, and why among the problems."""
    line = given["line"]
    whole, differ = trips.complete(given)
    problems += [Problem(line, reason) for reason in differ]
    try:
        return ImportRow.model_validate(whole, context=countries)
    except ValidationError as error:
        problems += [Problem(line, _reason(one)) for one in error.errors(include_url=False, include_input=False)]
        return None


def _reason(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Rows by the line on which they begin. Empty fields are not there at all."""
    reader = csv.reader(_lines(path), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        while True:
            began = reader.line_num + 1
            fields = next(reader, None)
            if fields is None:
                return
            if len(fields) > len(header):
                yield began, f"has {len(fields)} fields, the header {len(header)}"
            elif any(fields):
                found = {n: value.strip() for n, value in zip(header, fields, strict=False) if value.strip()}
                lists = {n: [part.strip() for part in found[n].split("|")] for n in ("countries", "tags") if n in found}
                yield began, found | lists
    except csv.Error as error:
        yield reader.line_num, f"is no CSV, and so nothing after it was read: {error}"
    except UnicodeDecodeError as error:
        yield reader.line_num + 1, f"is not UTF-8, and so nothing after it was read: {error.reason}"


def _check_header(path: Path, header: list[str]) -> None:
    known = ImportRow.model_fields.keys() - {"line"}
    lacking = _REQUIRED - set(header)
    unknown = set(header) - known
    twice = {name for name in header if header.count(name) > 1}
    for what, names in (("lacks the columns", lacking), ("has unknown columns:", unknown), ("has twice:", twice)):
        if names:
            raise ConfigError(f"{path} {what} {', '.join(sorted(names))}")


def _lines(path: Path) -> Iterator[str]:
    """Decoded one by one, so that a line that is not UTF-8 is known by its number."""
    with path.open("rb") as file:
        for n, line in enumerate(file):
            yield line.decode("utf-8-sig" if n == 0 else "utf-8")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON: leave the field out, or give a number")


def _said_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object. Raises ValueError where a field stands in it twice, also by our name and in camelCase."""
    names: dict[str, str] = {}
    for name, _ in pairs:
        ours = _NAMES.get(name, name)
        if ours in names:
            both = "twice" if names[ours] == name else f"as {names[ours]!r} too"
            raise ValueError(f"{name[:40]!r} is given {both}: give it once")
        names[ours] = name
    return dict(pairs)


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                found = _loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                json.dumps(found, ensure_ascii=False, default=str).encode()  # half of a surrogate pair is no text
            except (json.JSONDecodeError, UnicodeError, RecursionError) as error:
                yield number, f"is no JSON in UTF-8: {error}"
                continue
            except ValueError as error:
                yield number, str(error)
                continue
            if not isinstance(found, dict) or "line" in found:
                yield number, "is no JSON object of the documented fields"
            else:
                yield number, _fields(found)


_loads = partial(json.loads, parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_said_once)


def _fields(found: dict[str, Any]) -> dict[str, Any]:
    """By our names; null and empty ones are not there at all."""
    return {_NAMES.get(name, name): value for name, value in found.items() if value not in (None, "")}
