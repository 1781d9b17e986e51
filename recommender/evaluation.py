"""Holds the recommender to its scenarios. In: scenarios as they are stored, the live snapshot, the continents, the day.
Out: a report: what passed, what failed and by how much, what could not be tried, and how long each search took.

Reads and writes nothing. A scenario that makes no sense, or on which the engine breaks, is a failure that says so, and
the others are tried all the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from recommender import engine
from recommender.differences import Answer, differences
from recommender.policy import POLICY, VERSION, WEIGHTS, Weights
from recommender.scenarios import Row, Scenario, Wanted
from recommender.snapshot import Snapshot
from recommender.trips import Trip
from schema.camel import CAMEL

Verdict = Literal["passed", "failed", "skipped"]


class Shown(BaseModel):
    """One result of a scenario, in its place."""

    model_config = CAMEL

    trip_id: int
    score: int
    is_relaxed: bool


class Outcome(BaseModel):
    """What became of one scenario. `differences` are for people; `reason` says why it was skipped; the duration is that
    of the search alone."""

    model_config = CAMEL

    scenario_id: int
    name: str
    category: str
    verdict: Verdict
    differences: list[str] = []
    reason: str | None = None
    duration_ms: float = 0.0
    results: list[Shown] = []


class Report(BaseModel):
    """What became of all of them; the duration is of everything."""

    model_config = CAMEL

    today: date
    policy_id: str
    policy_version: int
    passed: int
    failed: int
    skipped: int
    duration_ms: float
    scenarios: list[Outcome]

    @property
    def failures(self) -> list[Outcome]:
        return [one for one in self.scenarios if one.verdict == "failed"]


class Ground(NamedTuple):
    """On what scenarios are tried. `live` is None where there is no live catalogue at hand."""

    live: Snapshot | None
    continents: Mapping[str, str]
    today: date
    weights: Weights = WEIGHTS


def run(rows: Iterable[Row], ground: Ground) -> Report:
    """Try each scenario."""
    began = time.perf_counter()
    outcomes = [_try(row, ground) for row in rows]
    verdicts = [one.verdict for one in outcomes]
    return Report(
        today=ground.today,
        policy_id=POLICY,
        policy_version=VERSION,
        passed=verdicts.count("passed"),
        failed=verdicts.count("failed"),
        skipped=verdicts.count("skipped"),
        duration_ms=_ms(time.perf_counter() - began),
        scenarios=outcomes,
    )


def _try(row: Row, ground: Ground) -> Outcome:
    try:
        scenario = Scenario.model_validate(row._asdict(), context={"today": ground.today})
        made = _made(scenario, ground)
    except ValidationError as error:
        return _outcome(row, "failed", differences=[f"the scenario is wrong: {line}" for line in _said(error)])
    except ValueError as error:
        return _outcome(row, "failed", differences=[f"the scenario is wrong: {error}"])
    try:
        snapshot = ground.live if made is None else Snapshot.of(made, ground.continents)
        if snapshot is None or (made is None and not _search(snapshot, Wanted(), ground).found.candidates):
            return _outcome(row, "skipped", reason="there is no trip in the live catalogue")
        answer = _search(snapshot, scenario.preferences, ground)
    except Exception as error:  # whatever the engine does, the other scenarios are tried
        return _outcome(row, "failed", differences=[f"the engine broke: {type(error).__name__}: {error}"])
    found = list(differences(scenario.expected, answer, ground.weights))
    shown = [Shown(trip_id=one.occurrence_id, score=one.score, is_relaxed=one.is_relaxed) for one in answer.shown]
    verdict: Verdict = "failed" if found else "passed"
    return _outcome(row, verdict, differences=found, duration_ms=_ms(answer.seconds), results=shown)


def _made(scenario: Scenario, ground: Ground) -> list[Trip] | None:
    """Its own trips. Raises ValueError for a day that is none, or a country that nobody knows."""
    if scenario.trips is None:
        return None
    trips = scenario.made(ground.today)
    if unknown := {country for trip in trips for country in trip.countries} - ground.continents.keys():
        raise ValueError(f"no country is {min(unknown)}")
    return trips


def _search(snapshot: Snapshot, wanted: Wanted, ground: Ground) -> Answer:
    limit = wanted.limit or ground.weights.results
    began = time.perf_counter()
    found = engine.recommend(snapshot, wanted, ground.today, limit, ground.weights)
    seconds = time.perf_counter() - began
    return Answer(found, [*found.primary, *found.relaxed][:limit], len(wanted.filters), seconds)


def _outcome(row: Row, verdict: Verdict, **more: Any) -> Outcome:
    return Outcome(scenario_id=row.scenario_id, name=row.name, category=row.category, verdict=verdict, **more)


def _said(error: ValidationError) -> list[str]:
    """Each error with where it is."""
    return [
        ": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, "))))
        for one in error.errors()
    ]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
