"""docs/figures.md: its curls are answered, and it says of every route what it takes and what it answers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from tests.reports.asking import Get, key_of
from tests.reports.visits import visit_twice
from tests.workers.pipeline import Pipeline

PAGE = (Path(__file__).parents[2] / "docs/figures.md").read_text()
ORIGIN = "http://127.0.0.1:8000"
EVERYWHERE = {"start", "end", "days", "site_id", "format", "order", "limit", "offset"}  # said once, of all


def curls() -> list[tuple[str, dict[str, str]]]:
    """Each curl's path and headers."""
    found = []
    for line in re.findall(r"^curl .*$", PAGE, re.MULTILINE):
        _, silent, url, *more = shlex.split(line)
        assert silent == "-s" and url.startswith(ORIGIN) and more[::2] == ["-H"] * (len(more) // 2), line
        found.append((url.removeprefix(ORIGIN), dict(header.split(": ", 1) for header in more[1::2])))
    return found


def test_every_curl_of_the_page_is_answered_with_figures(pipe: Pipeline, get: Get) -> None:
    visit_twice(pipe)
    key = key_of(pipe, "default")
    for path, headers in curls():
        sent = {name.lower(): value.replace("$READ_KEY", key) for name, value in headers.items()}
        found = get(path, **sent)
        assert found.status_code == 200, (path, found.text)
        if "text/csv" in headers.values():
            assert len(found.text.splitlines()) > 1, path
        elif "rows" in found.json():
            assert any(row.get("events", 1) for row in found.json()["rows"]), path


def test_every_route_has_a_section_with_a_curl_that_names_its_parameters_and_figures(get: Get) -> None:
    document = get("/openapi.json").json()
    for path, route in document["paths"].items():
        section = re.search(rf"^## GET {re.escape(path)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
        if path.startswith(("/api/stats", "/get-stats")) or path == "/api/metrics":
            assert section and f"curl -s '{ORIGIN}{path}" in section[1], path
            taken = {one["name"] for one in route["get"]["parameters"]} - EVERYWHERE
            assert {name for name in taken if not re.search(rf"\b{name}\b", section[1])} == set(), path
            assert fields(document, route) <= set(re.findall(r"\w+", PAGE)), path


def fields(document: dict[str, Any], route: dict[str, Any]) -> set[str]:
    """The names of a list's rows."""
    schemas = document["components"]["schemas"]
    answer = route["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    rows = schemas[answer]["properties"].get("rows", {}).get("items", {}).get("$ref")
    return set(schemas[rows.rpartition("/")[2]]["properties"]) if rows else set()
