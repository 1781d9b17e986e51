"""The shipped scenarios hold on any day and notice every change of a rule; a wrong expectation is told in words."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from recommender import evaluation
from recommender.evaluation import Ground, Outcome, Report
from recommender.policy import WEIGHTS, Weights
from recommender.scenarios import Row
from recommender.snapshot import Snapshot
from recommender.trips import Found, Trip
from tests.recommender import oracle

SCHEMA = Path(__file__).parents[2] / "schema"
TODAY = date(2026, 11, 21)
DAYS = [(2026, 1, 1), (2026, 12, 31), (2028, 2, 29), (2027, 2, 28), (2026, 10, 31), (2026, 11, 1), (2027, 6, 15)]
SAME = {("relaxed_difficulty_reach", 1)}  # no difficulty is further than two from another
TRIP = Trip(1, 1, ("IT",), 1, frozenset(), 2, 8, date(2027, 2, 1), 100_000)


def shipped() -> list[Row]:
    lines = (SCHEMA / "scenarios.jsonl").read_text(encoding="utf-8").splitlines()
    return [Row(scenario_id=n, **json.loads(line)) for n, line in enumerate(lines, 1)]


def continents() -> dict[str, str]:
    with (SCHEMA / "places/countries.csv").open(newline="", encoding="utf-8") as file:
        return {row["country"]: row["continent"] for row in csv.DictReader(file)}


def ground(today: date = TODAY, weights: Weights = WEIGHTS, live: list[Trip] | None = None) -> Ground:
    snapshot = None if live is None else Snapshot.of(live, continents())
    return Ground(snapshot, continents(), today, weights)


def run(*rows: Row, **more: Any) -> Report:
    return evaluation.run(rows, ground(**more))


def row(**more: Any) -> Row:
    """Three trips, each a theme better than the one before."""
    trips = [{"id": 1}, {"id": 2, "themes": [1]}, {"id": 3, "themes": [1, 2]}]
    ordinary = {"preferences": {"preferredThemeIds": [1, 2]}, "trips": trips, "expected": {"count_min": 3}}
    return Row(**{"scenario_id": 1, "name": "x", "category": "y"} | ordinary | more)


def outcome(**more: Any) -> Outcome:
    (found,) = run(row(**more)).scenarios
    return found


@pytest.mark.parametrize("today", [date(*day) for day in DAYS], ids=str)
def test_every_shipped_scenario_holds_on_any_day(today: date) -> None:
    report = run(*shipped(), today=today)
    assert {one.name: one.differences for one in report.failures} == {}
    assert report.passed >= 30
    assert {one.category for one in report.scenarios if one.verdict == "skipped"} == {"live catalogue"}


def test_the_oracle_holds_to_them_as_the_engine_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def recommend(trips: list[Trip], *more: Any) -> Found:
        return oracle.recommend(trips, continents(), *more)

    monkeypatch.setattr(evaluation.engine, "recommend", recommend)
    monkeypatch.setattr(evaluation.Snapshot, "of", lambda trips, _: trips)
    report = run(*shipped())
    assert {one.name: one.differences for one in report.failures} == {}
    assert report.passed >= 30


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("field", Weights._fields)
def test_no_weight_and_no_threshold_changes_without_being_noticed(field: str, by: int) -> None:
    changed = WEIGHTS._replace(**{field: getattr(WEIGHTS, field) + by})
    assert bool(run(*shipped(), weights=changed).failed) == ((field, by) not in SAME)


def test_names_are_unique_and_every_rule_has_a_category() -> None:
    rows = shipped()
    assert len({one.name for one in rows}) == len(rows) >= 30
    assert {one.category for one in rows} == {
        "nothing asked", "dates", "availability", "geography", "type", "themes", "difficulty", "duration", "price",
        "score", "search type", "order", "limit", "relaxed", "live catalogue",
    }  # fmt: skip


def test_live_scenarios_hold_on_any_catalogue_that_has_a_trip() -> None:
    rows = [one for one in shipped() if one.trips is None]
    report = run(*rows, live=[TRIP, TRIP._replace(occurrence_id=2, starts_on=date(2025, 1, 1))])
    assert (report.failures, report.skipped) == ([], 0)
    assert report.passed == len(rows) >= 3


@pytest.mark.parametrize("live", [None, [], [TRIP._replace(status="Full")]])
def test_without_a_live_trip_they_are_skipped_and_it_says_why(live: list[Trip] | None) -> None:
    found = [one for one in run(*shipped(), live=live).scenarios if one.category == "live catalogue"]
    assert {(one.verdict, one.reason) for one in found} == {("skipped", "there is no trip in the live catalogue")}


@pytest.mark.parametrize(
    ("expected", "difference"),
    [
        ({"count_min": 4}, "3 results, expected at least 4"),
        ({"count_max": 2}, "3 results, expected at most 2"),
        ({"candidates": 9}, "3 candidates, expected 9"),
        ({"order": [1, 2, 3]}, "the order is 3, 2, 1, expected 1, 2, 3"),
        ({"order": []}, "the order is 3, 2, 1, expected empty"),
        ({"scores": {"2": 50}}, "trip 2 has 42 points (base +30, themes +12), expected 50 (-8)"),
        ({"score_min": 16}, "trip 1 has 15 points (base +30, themes -15), expected at least 16"),
        ({"score_max": 54}, "trip 3 has 55 points (base +30, themes +25), expected at most 54"),
        ({"mustNot": [2]}, "trip 2 must not be shown, but is at position 2 with 42 points (base +30, themes +12)"),
        ({"relaxed": True}, "no result is relaxed, expected some"),
        ({"search_type": "focused_search"}, "the search is exploration, expected focused_search"),
        ({"low_score": True}, "the best score is 55, expected less than 50"),
    ],
)
def test_what_is_not_as_expected_is_told_in_words(expected: dict[str, Any], difference: str) -> None:
    found = outcome(expected=expected)
    assert (found.verdict, found.differences) == ("failed", [difference])
    assert [(one.trip_id, one.score) for one in found.results] == [(3, 55), (2, 42), (1, 15)]


def test_what_a_relaxed_search_finds_is_told_too() -> None:
    asked, trips = {"preferredTypeId": 1}, [{"id": 1, "type": 2}, {"id": 2, "in_days": 0}]
    expected = {"relaxed": False, "must": [2], "scores": {"2": 30}, "low_score": False}
    assert outcome(preferences=asked, trips=trips, expected=expected).differences == [
        "trip 2 must be shown, but is not",
        "trip 2 is not shown, expected a score of 30",
        "trip 1 is a relaxed result, expected none",
        "the best score is 5, expected no less than 50",
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"preferences": {"budjet": 5}}, "preferences.budjet: Extra inputs are not permitted"),
        ({"preferences": {"difficulty": 4}}, "preferences.difficulty: Input should be less than or equal to 3"),
        ({"preferences": {"minDuration": 9, "maxDuration": 3}}, "preferences.maxDuration: is less than"),
        ({"preferences": {"year": "+200"}}, "preferences.year"),
        ({"preferences": [1]}, "preferences: Input should be"),
        ({"trips": {"id": 1}}, "trips: Input should be a valid list"),
        ({"trips": [{"id": 10**30}]}, "trips.0.id: Input should be less than"),
        ({"trips": [{"id": 1}, {"id": 1}]}, "trip 1 is there twice"),
        ({"trips": [{"id": 1, "copies": 3}, {"id": 3}]}, "trip 3 is there twice"),
        ({"trips": [{"id": 1, "colour": "red"}]}, "trips.0.colour: Extra inputs are not permitted"),
        ({"trips": [{"id": 1, "status": "open"}]}, "trips.0.status"),
        ({"trips": [{"id": 1, "in_days": 1, "on": "+1-01-01"}]}, "trips.0: say in_days or on, not both"),
        ({"trips": [{"id": 1, "on": "2027-01-01"}]}, 'trips.0.on: 2027-01-01 is no day like "+2-06-15"'),
        ({"trips": [{"id": 1, "on": "+1-13-01"}]}, "trips.0.on: +1-13-01 has no such month"),
        ({"trips": [{"id": 1, "on": "+1-02-29"}]}, "trips.0.on: +1-02-29 is not in every year"),
        ({"trips": [{"id": 1, "countries": ["XX"]}], "expected": {"order": [1]}}, "no country is XX"),
        ({"expected": {}}, "expected: nothing is expected, so nothing could fail"),
        ({"expected": {"must": [9]}}, "trip 9 is expected, but is none of trips"),
        ({"expected": {"mustnt": [1]}}, "expected.mustnt: Extra inputs are not permitted"),
        ({"expected": None}, "expected: Input should be"),
    ],
)
def test_a_scenario_that_makes_no_sense_fails_by_itself_and_says_where(wrong: dict[str, Any], said: str) -> None:
    report = run(row(**wrong), row(scenario_id=2))
    assert [one.verdict for one in report.scenarios] == ["failed", "passed"]
    assert report.scenarios[0].differences[0].startswith("the scenario is wrong: ")
    assert said in report.scenarios[0].differences[0]


def test_an_engine_that_breaks_is_a_failure_of_that_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(evaluation.engine, "recommend", breaks)
    assert outcome().differences == ["the engine broke: ZeroDivisionError: by zero"]


def test_days_are_counted_from_the_day_of_the_run() -> None:
    trips = [{"id": 1, "on": "+1-02-last"}, {"id": 2, "in_days": 1}]
    made = {
        today: [trip.starts_on for trip in evaluation.Scenario.model_validate(
            row(preferences={"year": "+1"}, trips=trips, expected={"must": [1]})._asdict(), context={"today": today}
        ).made(today)]
        for today in (date(2027, 12, 31), date(2028, 2, 28))
    }  # fmt: skip
    assert made == {
        date(2027, 12, 31): [date(2028, 2, 29), date(2028, 1, 1)],
        date(2028, 2, 28): [date(2029, 2, 28), date(2028, 2, 29)],
    }


def test_each_search_is_timed_and_the_policy_named() -> None:
    report = run(*shipped())
    assert all(one.duration_ms > 0 for one in report.scenarios if one.verdict == "passed")
    assert report.duration_ms >= sum(one.duration_ms for one in report.scenarios)
    assert (report.policy_id, report.policy_version, report.today) == ("rules", 1, TODAY)
