"""Scenarios over HTTP and from the command line: who may run them, which, and what comes out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from schema.settings import Settings
from tests.ingest.serving import Server, serving
from tests.recommender.test_evaluation import shipped
from tests.tripstream.waiting import until
from tripstream import cli

RUN = "/api/evaluation/run"
KEY = {"Authorization": "Bearer secret"}
WRONG = {"preferences": {}, "trips": [{"id": 1}], "expected": {"scores": {"1": 31}}}
TRIP = """
    INSERT INTO companies (company_id, name) VALUES (1, 'x');
    INSERT INTO trip_types (type_id, code, name_en, name_he) VALUES (1, 'x', 'x', 'x');
    INSERT INTO trip_templates (template_id, company_id, title_en, title_he, type_id, primary_country, difficulty,
        base_price, duration_days) VALUES (1, 1, 'x', 'x', 1, 'IT', 1, 1, 1);
    INSERT INTO trip_occurrences (template_id, starts_on, ends_on, price, seats, seats_left)
    SELECT 1, day, day, 1, 1, 1 FROM (SELECT current_date + 300) AS t (day)"""


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    with serving(settings.model_copy(update={"admin_key": SecretStr("secret")})) as running:
        yield running


def add(settings: Settings, name: str = "mine", category: str = "own", **more: Any) -> int:
    """A scenario of one's own; its id."""
    columns = [json.dumps((WRONG | more)[column]) for column in ("preferences", "trips", "expected")]
    insert = (
        "INSERT INTO evaluation_scenarios (name, category, preferences, trips, expected)"
        " VALUES (%s, %s, %s, %s, %s) RETURNING scenario_id"
    )
    with psycopg.connect(settings.database_url) as connection:
        return connection.execute(insert, [name, category, *columns]).fetchall()[0][0]


def posted(server: Server, **chosen: Any) -> httpx.Response:
    return server.request("POST", RUN, json=chosen, headers=KEY)


def test_scenarios_are_listed_as_they_are_stored_in_camel_case(server: Server) -> None:
    found = server.request("GET", "/api/evaluation/scenarios").json()
    assert found["count"] == len(found["scenarios"]) == len(shipped())
    assert [one["name"] for one in found["scenarios"]] == [one.name for one in shipped()]
    (price,) = (one for one in found["scenarios"] if one["name"].startswith("A budget with cents"))
    assert price["preferences"] == {"budget": 999.99}
    assert price["trips"][1] == {"id": 2, "price": 1000}
    assert price["expected"] == {"order": [1, 2, 3, 4], "scores": {"1": 42, "2": 38, "3": 38, "4": 35}}
    (early,) = (one for one in found["scenarios"] if one["name"].startswith("Leaving within"))
    assert early["trips"][0] == {"id": 1, "inDays": 31}
    assert found["scenarios"][-1]["trips"] is None


def test_the_list_may_be_of_one_category_and_leaves_out_what_is_not_active(server: Server) -> None:
    path = "/api/evaluation/scenarios?category=price"
    assert server.request("GET", path).json()["count"] == 3
    with psycopg.connect(server.settings.database_url) as connection:
        connection.execute("UPDATE evaluation_scenarios SET is_active = category = 'price' AND name NOT LIKE 'A bud%'")
    assert server.request("GET", path).json()["count"] == 2
    assert server.request("GET", "/api/evaluation/scenarios").json()["count"] == 2
    assert posted(server).json()["passed"] == 2
    assert server.request("GET", "/api/evaluation/scenarios?category=none").json() == {"scenarios": [], "count": 0}
    assert server.request("GET", "/api/evaluation/scenarios?category=%00").status_code == 422


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}])
def test_a_run_needs_the_admin_key_whatever_is_sent(server: Server, headers: dict[str, str]) -> None:
    for body in ({}, {"scenarioIds": "nonsense"}):
        answer = server.request("POST", RUN, json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_a_run_of_all_reports_each(server: Server) -> None:
    for answer in (posted(server), server.request("POST", RUN, headers=KEY)):
        report = answer.json()
        assert (answer.status_code, report["failed"]) == (200, 0)
        assert report["passed"] + report["skipped"] == len(report["scenarios"]) == len(shipped())
        assert report["policyId"] == "rules" and report["durationMs"] > 0
        first = report["scenarios"][0]
        assert first["results"][0] == {"tripId": 2, "score": 30, "isRelaxed": False}
        assert (first["verdict"], first["differences"], first["reason"]) == ("passed", [], None)


def test_a_run_is_against_the_catalogue_that_is_being_answered_from(server: Server) -> None:
    with psycopg.connect(server.settings.database_url) as connection:
        connection.execute(TRIP)

    def verdicts() -> set[str]:
        return {one["verdict"] for one in posted(server, category="live catalogue").json()["scenarios"]}

    until(lambda: verdicts() == {"passed"}, "the trip is seen")


def test_a_run_may_be_of_some(server: Server) -> None:
    mine = add(server.settings)
    report = posted(server, scenarioIds=[1, mine]).json()
    assert [(one["scenarioId"], one["verdict"]) for one in report["scenarios"]] == [(1, "passed"), (mine, "failed")]
    assert report["scenarios"][1]["differences"] == ["trip 1 has 30 points (base +30), expected 31 (-1)"]
    assert {one["category"] for one in posted(server, category="own").json()["scenarios"]} == {"own"}
    assert posted(server, scenarioIds=[]).json()["scenarios"] == []


def test_what_is_not_there_is_named(server: Server) -> None:
    for chosen, named in (
        ({"scenarioIds": [1, 9001, 9000]}, "scenarioIds: there is no active scenario 9000, 9001"),
        ({"scenarioIds": [1], "category": "price"}, "scenarioIds: there is no active scenario 1"),
        ({"category": "colour"}, "category: there is no active scenario of 'colour'"),
        ({"scenarioIds": ["x"]}, "scenarioIds"),
        ({"ids": [1]}, "ids"),
    ):
        answer = posted(server, **chosen)
        assert answer.status_code == 422
        assert answer.json()["message"].startswith(named)


@pytest.fixture
def evaluate(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `tripstream evaluate`; its exit code, and what it printed."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url)

    def command(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli.app, ["evaluate", *arguments])
        return done.exit_code, done.output

    return command


def test_the_command_ends_with_0_when_nothing_failed(evaluate: Any) -> None:
    code, said = evaluate()
    assert code == 0
    assert "passed, 0 failed, 4 skipped in" in said
    assert "A relaxed search stays within the limit" in said
    assert "Live: nothing that is over: there is no trip in the live catalogue" in said


def test_it_reads_the_live_catalogue(evaluate: Any, settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(TRIP)
    code, said = evaluate("--category", "live catalogue")
    assert (code, "4 passed, 0 failed, 0 skipped" in said) == (0, True)


def test_it_ends_with_1_and_says_the_difference_when_one_failed(evaluate: Any, settings: Settings) -> None:
    add(settings, "[mine]")
    add(settings, "senseless", expected={"count_minimum": 1})
    code, said = evaluate("--category", "own")
    assert code == 1
    assert "[mine]: trip 1 has 30 points (base +30), expected 31 (-1)" in said
    assert "senseless: the scenario is wrong: expected.count_minimum: Extra inputs are not permitted" in said
    assert "0 passed, 2 failed, 0 skipped" in said
    assert "2 passed, 0 failed" in evaluate("--name", shipped()[0].name, "--name", shipped()[1].name)[1]


@pytest.mark.parametrize("arguments", [("--category", "colour"), ("--name", "nobody's"), ("--colour",)])
def test_it_ends_with_2_for_what_is_not_there(evaluate: Any, arguments: tuple[str, ...]) -> None:
    assert evaluate(*arguments)[0] == 2
