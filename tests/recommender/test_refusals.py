"""POST /api/v2/recommendations: what is refused and how, what may be left out, and who may ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from recommender import route
from recommender.documented import Recommendations
from schema import db
from tests.conftest import Servers
from tests.ingest.serving import Server, serving
from tests.recommender.marketplace import opened

PATH = "/api/v2/recommendations"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"limit": 11}, "limit"),
        ({"min_duration": 0}, "minDuration"),
        ({"minDuration": 5, "maxDuration": 4}, "maxDuration"),
        ({"selectedCountries": ["IT", "ITA"]}, "selectedCountries.1"),
        ({"selectedCountries": ["QQ"]}, "selectedCountries"),
        ({"selected_continents": ["XX"]}, "selectedContinents"),
        ({"preferredTypeId": 99}, "preferredTypeId"),
        ({"preferredThemeIds": [60]}, "preferredThemeIds"),
        ({"preferredThemeIds": [1, 1, 2, 2]}, "preferredThemeIds"),
        ({"year": "soon"}, "year"),
        ({"month": 13}, "month"),
        ({"budget": -1}, "budget"),
        ({"difficulty": 2.5}, "difficulty"),
        ({"session_id": "me"}, "sessionId"),
        ({"difficulty": True}, "difficulty"),
        ({"limit": True}, "limit"),
        ({"month": True}, "month"),
        ({"budget": True}, "budget"),
        ({"minDuration": True, "maxDuration": 4}, "minDuration"),
        ({"preferredTypeId": True}, "preferredTypeId"),
        ({"preferredThemeIds": [2, True]}, "preferredThemeIds.1"),
    ],
)
def test_a_wrong_value_is_refused_and_its_field_named(module: Server, body: dict[str, Any], field: str) -> None:
    answer = module.request("POST", PATH, json=body, headers={"origin": "https://shop.test"})
    assert answer.status_code == 422
    said = answer.json()
    assert (said["code"], [one["field"] for one in said["fields"]]) == ("invalid_request", [field])
    assert said["message"].startswith(f"{field}: ")
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [(b"{", 400, "invalid_body"), (b"[1]", 400, "invalid_body"), (b"{" + b" " * 70_000 + b"}", 413, "too_large"),
     (b'{"site_id": "nowhere"}', 401, "unauthorized"), (b'{"writeKey": "guess"}', 401, "unauthorized")],
)  # fmt: skip
def test_a_body_that_cannot_be_answered_is_refused(module: Server, raw: bytes, status: int, code: str) -> None:
    answer = module.request("POST", PATH, content=raw)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_encoded_body_is_refused_as_such(module: Server) -> None:
    for encoding, status in (("gzip", 415), ("br", 415), ("identity", 200)):
        answer = module.request("POST", PATH, content=b"{}", headers={"content-encoding": encoding})
        assert (answer.status_code, "Content-Encoding" in answer.text) == (status, status == 415)


def test_more_requests_than_can_wait_are_refused_and_may_come_again(
    module: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "_UNDER_WAY_MAX", 0)
    answer = module.request("POST", PATH, json={}, headers={"origin": "https://shop.test"})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "busy", "1")
    assert answer.headers["access-control-allow-origin"] == "*"
    monkeypatch.setattr(route, "_UNDER_WAY_MAX", 1)
    for body in ({}, {"limit": 11}, {}):  # each leaves its place, also one that is refused
        assert module.request("POST", PATH, json=body).status_code in (200, 422)


@pytest.mark.parametrize(
    "raw", [b"", b" ", b"{}", b'{"year": null, "limit": null, "tags": 1}', b'{"selectedCountries": null}']
)
def test_nothing_asked_is_everything_wanted(module: Server, raw: bytes) -> None:
    answer = module.request("POST", PATH, content=raw)
    assert answer.status_code == 200
    assert answer.json()["searchType"] == "exploration"


def test_any_page_may_ask(module: Server) -> None:
    headers = {"origin": "https://shop.test", "access-control-request-method": "POST",
               "access-control-request-headers": "content-type,x-write-key"}  # fmt: skip
    preflight = module.request("OPTIONS", PATH, headers=headers)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    answer = module.request("POST", PATH, json={}, headers={"origin": "https://shop.test"})
    assert answer.headers["access-control-allow-origin"] == "*"


def test_it_is_documented(module: Server) -> None:
    operation = module.request("GET", "/openapi.json").json()["paths"][PATH]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert {"selectedCountries", "budget", "limit", "sessionId"} <= body["properties"].keys()
    told = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert told == {"$ref": "#/components/schemas/Recommendations"}


def test_an_answer_is_as_documented(module: Server) -> None:
    answer = module.request("POST", PATH, json={}).content
    found = Recommendations.model_validate_json(answer)
    assert found.results and found.results[0].match_details


@pytest.fixture(scope="module")
def module(servers: Servers, own_state: Any) -> Iterator[Server]:
    """An application that the tests which change nothing share."""
    with psycopg.connect(servers.postgres.url("postgres"), autocommit=True) as owner:
        owner.execute("CREATE DATABASE route_shared TEMPLATE tripstream")
        settings = servers.settings("route_shared", state=own_state())
        with db.connect(settings) as connection:
            opened(settings, connection).trips(2)
        with serving(settings) as running:
            yield running
        owner.execute("DROP DATABASE route_shared WITH (FORCE)")
