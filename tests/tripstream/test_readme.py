"""What the README has a new user paste works against what the first start loads, and is answered as it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recommender import seed
from schema import db
from schema.settings import Settings
from tests.ingest.serving import Server, serving

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CLIENTS = (ROOT / "docs/clients.md").read_text()
FIGURES = (ROOT / "docs/figures.md").read_text()
PATH = "/api/v2/recommendations"


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Iterator[Server]:
    with db.connect(settings, "owner") as connection:
        seed.fill(connection, settings.demo_occurrences, datetime.now(UTC).date())
    with serving(settings.model_copy(update={"state": tmp_path})) as running:
        yield running


def names(shown: Any) -> Any:
    """Every name in an answer, of lists those in their first item."""
    if isinstance(shown, dict):
        return {name: names(inner) for name, inner in shown.items()}
    return names(shown[0]) if isinstance(shown, list) and shown else None


def holds(answer: Any, shown: Any) -> bool:
    """Whether every name that is shown is there."""
    if shown is None:
        return True
    return all(name in answer and holds(answer[name], inner) for name, inner in shown.items())


def test_the_request_in_the_readme_brings_ten_trips_of_the_demo_catalogue(server: Server) -> None:
    found = re.search(rf"{PATH} -d '(.*?)'\n```.*?shortened:\n\n```\n(.*?)```", README, re.DOTALL)
    assert found
    answer = server.request(
        "POST", PATH, content=found[1], headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json()["primaryCount"], len(answer.json()["results"])) == (10, 10)
    assert holds(names(answer.json()), names(json.loads(found[2])))


def test_the_routes_that_the_readme_names_are_there(server: Server) -> None:
    routes = server.request("GET", "/openapi.json").json()["paths"]
    paths = {path.partition("{")[0] for path in routes} | {"/docs"}
    pattern = r"(?<![A-Za-z_.])/(?:api|rpc|ingest-event|get-stats|healthz|readyz|metrics|process-events|docs)[\w/-]*"
    named = set(re.findall(pattern, README + CLIENTS + FIGURES))
    assert PATH in named
    assert {path for path in named if path not in paths} == set()


def test_as_many_scenarios_come_with_it_as_the_readme_says(settings: Settings) -> None:
    said = re.search(r"\((\d+) come with it\)", README)
    with db.connect(settings) as connection:
        there = connection.execute("SELECT count(*) FROM evaluation_scenarios WHERE is_active").fetchall()
    assert said and there == [(int(said[1]),)]
