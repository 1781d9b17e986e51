"""GET /api/evaluation/scenarios and POST /api/evaluation/run. In: which scenarios, and for a run the admin key. Out:
scenarios as they are stored, or the report of a run against the snapshot that this process answers from.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from pydantic import BaseModel, Field
from pydantic.alias_generators import to_camel

from recommender import catalogue, evaluation, scenarios
from recommender.catalogue import Catalogue
from recommender.evaluation import Ground, Report
from recommender.scenarios import Row
from schema import db
from schema.camel import CAMEL, CAMEL_ONLY_KNOWN
from schema.errors import InvalidRequest
from schema.settings import Settings

Category = Annotated[
    str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="Only scenarios of this category.")
]


class Listed(BaseModel):
    """Every active scenario, or those of a category. `trips` is null where it is about the live catalogue."""

    model_config = CAMEL

    scenarios: list[Any]
    count: int


class Chosen(BaseModel):
    """Which scenarios to run: all of them unless said."""

    model_config = CAMEL_ONLY_KNOWN

    scenario_ids: list[int] | None = Field(default=None, max_length=10_000)
    category: str | None = None


def add_evaluation_routes(
    app: FastAPI,
    settings: Settings,
    live: Callable[[], Catalogue | None],
    require_admin: Callable[[Request, Settings], None],
) -> None:
    """Both routes. `live` gives the catalogue in use, None while there is none."""

    def admin(request: Request) -> None:
        require_admin(request, settings)

    @app.get("/api/evaluation/scenarios", summary="What the recommender is held to")
    def listed(category: Category = None) -> Listed:
        with db.wrapped(), db.connect(settings, "tripstream_reader") as connection:
            rows = scenarios.read(connection, category)
        return Listed(scenarios=[_camel(row._asdict()) for row in rows], count=len(rows))

    @app.post(
        "/api/evaluation/run",
        summary="Hold the recommender to its scenarios (admin key)",
        dependencies=[Depends(admin)],
    )
    def run(chosen: Chosen | None = None) -> Report:
        with db.wrapped(), db.connect(settings, "tripstream_reader") as connection:
            rows = _chosen(scenarios.read(connection), chosen or Chosen())
            continents = catalogue.known_codes(connection).countries
        found = live()
        snapshot = found.snapshot if found else None
        return evaluation.run(rows, Ground(snapshot, continents, datetime.now(UTC).date()))


def _chosen(rows: list[Row], chosen: Chosen) -> list[Row]:
    """Raises InvalidRequest, which names what is not there."""
    found = [row for row in rows if chosen.category in (None, row.category)]
    if chosen.category is not None and not found:
        raise InvalidRequest(fields=[("category", f"there is no active scenario of {chosen.category!r}")])
    if chosen.scenario_ids is None:
        return found
    if unknown := sorted(set(chosen.scenario_ids) - {row.scenario_id for row in found}):
        said = f"there is no active scenario {', '.join(map(str, unknown))}"
        raise InvalidRequest(fields=[("scenarioIds", said)])
    return [row for row in found if row.scenario_id in chosen.scenario_ids]


def _camel(value: Any) -> Any:
    """The same with every key in camelCase, as answers are; scenarios may be written either way."""
    if isinstance(value, dict):
        return {to_camel(key): _camel(inner) for key, inner in value.items()}
    return [_camel(inner) for inner in value] if isinstance(value, list) else value
