"""The rules for Prometheus: each is PromQL over figures that there are, and the README says what to do about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client.metrics_core import Metric

from ingest import metrics as of_ingest
from recommender import request_log
from reports.metrics import Pipeline as Figures
from tests.workers.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "docs/alarms.yml").read_text())["groups"][0]["rules"]


def names(rule: dict[str, Any]) -> set[str]:
    """The figures that a rule asks for."""
    found: set[str] = set()

    def note(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.add(str(node.name))

    promql_parser.walk(promql_parser.parse(rule["expr"]), note)
    return found


def of_processes() -> list[Metric]:
    """What each process counts by itself."""
    counted = (of_ingest.REQUESTS, of_ingest.REJECTED, of_ingest.MEMORY, request_log.LOST)
    return [family for one in counted for family in one.collect()]


def test_every_rule_asks_for_figures_that_there_are(pipe: Pipeline) -> None:
    pipe.send()
    pipe.roll_up()
    with_replica = pipe.settings.model_copy(update={"database_read_url": pipe.settings.database_url})
    families = [*Figures(with_replica).collect(), *of_processes()]
    there = {family.name + ("_total" if family.type == "counter" else "") for family in families} | {"up"}
    asked = {rule["alert"]: names(rule) for rule in RULES}
    assert all(asked.values())
    assert {alert: missing for alert, found in asked.items() if (missing := found - there)} == {}


def test_every_rule_has_its_meaning_and_remedy_in_the_readme() -> None:
    told = re.findall(r"^\| (Tripstream\w+) \| [^|]{10,} \| [^|]{10,} \|$", (ROOT / "README.md").read_text(), re.M)
    assert told == [rule["alert"] for rule in RULES]


def test_every_rule_says_in_words_what_it_found_and_how_urgent_it_is() -> None:
    assert {rule["labels"]["severity"] for rule in RULES} == {"page", "warning"}
    assert all(rule["annotations"]["summary"].endswith(".") for rule in RULES)
