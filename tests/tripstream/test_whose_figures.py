"""Every route that answers with figures, times everybody who is not to see them: a route of a later version is in the
matrix as soon as the application has it. In: two sites, and two people who own pages of one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel, SecretStr
from starlette.requests import HTTPConnection

from schema import db, owners, rights, sites
from schema.errors import Forbidden, InvalidRequest, NotFound
from schema.event import Verified
from schema.settings import Settings
from tests.ingest.issuer import HS, hs
from tests.ingest.serving import Server, add_site, drain, serving
from tests.make import canonical, uid
from tests.workers.pipeline import Pipeline, pipeline

FAR = "203.0.113.7"
EVERY = "of the installation, which is long enough"
# What anybody may ask, and what never ends. Everything else answers to a key.
PUBLIC = ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/api/v2/", "/api/evaluation/scenarios")
PUBLIC += ("/api/locations", "/api/countries", "/api/guides", "/api/trip-types", "/api/tags", "/v1/projects/")
PUBLIC += ("/sourceConfig", "/array/", "/flags", "/decide", "/api/feature_flag/", "/api/surveys")
PUBLIC += ("/api/early_access_features", "/api/web_experiments", "/dashboard")
PUBLIC += ("/shop/", "/search", "/trips/", "/auth/callback")
NAMED = ("/api/privacy/receipts/",)  # one by its id: tests/tripstream/test_privacy.py
ENDLESS = ("/api/live",)
WANTED: dict[str, Any] = {"steps": "page_view,click_trip", "by": "share", "limit": 50}
VOLATILE = ("asOf", "as_of", "isMoving", "is_moving", "generatedAt")


class Two(NamedTuple):
    """The application, the sites' keys by site and role, and the batch that each site sent."""

    server: Server
    keys: dict[tuple[str, str], str]
    batches: dict[str, str]


def traffic(pipe: Pipeline, site_id: str) -> str:
    """What a site has of everything that can be read, all of it marked with the site's name."""
    code = f"secret-{site_id}"
    mark = {"path": f"/{code}", "page_url": f"https://{code}.example/", "share_code": code}
    kinds = ("page_view", "impression", "click_trip", "save_trip", "contact_whatsapp", "trip_dwell", "search_submit")
    events = [
        canonical(
            10 * n + at, event_type=kind, trip_id=7, owner_code=f"{site_id}{n}", click_target=f"{code}{n}", **mark
        )
        for n in (1, 2)
        for at, kind in enumerate(kinds)
    ]
    sent = pipe.send(*events, site_id=site_id, batch_id=uid(4, len(site_id)))
    pipe.roll_up()
    return str(sent)


@pytest.fixture
def two(settings: Settings) -> Iterator[Two]:
    known = settings.model_copy(update=Settings(**HS).model_dump(include=set(HS)) | {"admin_key": SecretStr(EVERY)})
    keys = {(site_id, "write"): add_site(known, site_id) for site_id in ("one", "other")}
    with db.connect(known, "owner") as owner:
        for site_id in ("one", "other"):
            keys |= {(site_id, role): sites.add_key(owner, site_id, role) for role in ("read", "admin")}
        owners.add(owner, "one", "one1", "ann")
        owners.add(owner, "one", "one2", "bob")
    with serving(known) as server:
        yield Two(server, keys, {})


def routes(server: Server) -> dict[str, dict[str, Any]]:
    """Every GET route that is not public, with the parameters that it cannot do without."""
    found = {}
    for route in server.app.routes:
        if (
            isinstance(route, APIRoute)
            and "GET" in (route.methods or ())
            and route.path != "/"
            and not route.path.startswith((*PUBLIC, *NAMED, *ENDLESS))
        ):
            needed = {alias for p in route.dependant.query_params for alias in _required(p.alias, p.field_info)}
            found[route.path] = {name: WANTED.get(name) for name in needed}
    return found


def _required(alias: str, field: Any) -> Iterator[str]:
    """What a parameter needs; one that is a model stands for its fields."""
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        for name, inner in field.annotation.model_fields.items():
            yield from _required(inner.alias or name, inner)
    elif field.is_required():
        yield alias


def ask(two: Two, path: str, query: dict[str, Any], of: str, **headers: str) -> httpx.Response:
    """Ask from afar for figures of a site, whatever the route calls it."""
    named = query | {"site_id": of} | ({"batch_id": two.batches.get(of)} if "batch_id" in query else {})
    wanted = {
        name: value for name, value in named.items() if value is not None and (name != "site_id" or name in query)
    }
    return two.server.request(
        "GET", path, params=wanted, host=FAR, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def steady(answer: httpx.Response) -> Any:
    """An answer without what changes by itself."""
    found = answer.json()
    return {k: v for k, v in found.items() if k not in VOLATILE} if isinstance(found, dict) else found


def fill(two: Two, *site_ids: str) -> None:
    drain(two.server.settings)
    with pipeline(two.server.settings) as pipe:
        for site_id in site_ids:
            two.batches[site_id] = traffic(pipe, site_id)


def test_what_a_site_does_changes_nothing_that_another_sees(two: Two) -> None:
    fill(two, "other")
    reading = {"x_read_key": two.keys["other", "read"]}
    before = {path: steady(ask(two, path, query, "other", **reading)) for path, query in routes(two.server).items()}
    assert len(before) >= 5
    fill(two, "one")
    for path, query in routes(two.server).items():
        answer = ask(two, path, query, "other", **reading)
        assert answer.status_code == 200, (path, answer.text)
        assert steady(answer) == before[path], path
        assert "secret-one" not in answer.text, path
    own = [
        path
        for path, query in routes(two.server).items()
        if "secret-one" in ask(two, path, query, "one", x_read_key=two.keys["one", "read"]).text
    ]
    assert "/get-stats" in own  # so the mark would have been found


def test_a_site_that_is_named_is_not_found_with_anothers_key(two: Two) -> None:
    fill(two, "one", "other")
    for path, query in routes(two.server).items():
        for role in ("read", "admin"):
            answer = ask(two, path, query, "one", authorization=f"Bearer {two.keys['other', role]}")
            assert answer.status_code == (404 if {"site_id", "batch_id"} & query.keys() else 200), path
            assert "secret-one" not in answer.text, path


def test_with_the_installations_key_the_site_that_is_named_is_read_or_said_to_be_none(two: Two) -> None:
    fill(two, "one", "other")
    two.batches["nowhere"] = str(uid(9))
    for path, query in routes(two.server).items():
        for site_id in ("one", "nowhere"):
            answer = ask(two, path, query, site_id, x_read_key=EVERY, x_site_id=site_id)
            assert answer.status_code in ((200,) if site_id == "one" else (200, 404)), (path, answer.text)
            assert "secret-other" not in answer.text and '"default"' not in answer.text, path


def test_who_has_no_right_is_refused_everywhere(two: Two) -> None:
    fill(two, "one")
    nobodys = {
        401: ({}, {"x_read_key": "ts_read_nobody"}, {"authorization": f"Bearer {hs(secret='x' * 32)}"},
              {"authorization": f"Bearer {hs(exp=1)}"}, {"x_read_key": ""}),
        403: ({"x_read_key": two.keys["one", "write"]}, {"authorization": f"Bearer {hs(sub='eve')}"}),
    }  # fmt: skip
    for path, query in routes(two.server).items():
        for status, attempts in nobodys.items():
            for headers in attempts:
                answer = ask(two, path, query, "one", **headers)
                assert (answer.status_code, "secret" in answer.text) == (status, False), (path, headers)


def test_an_owner_is_told_of_no_other_owners_pages(two: Two) -> None:
    fill(two, "one", "other")
    for path, query in routes(two.server).items():
        for headers in ({}, {"apikey": two.keys["one", "write"]}, {"x_site_id": "one"}):
            answer = ask(two, path, query, "one", authorization=f"Bearer {hs(sub='ann')}", **headers)
            assert answer.status_code in (200, 403, 404), (path, answer.text)
            assert "secret-one2" not in answer.text and "secret-other" not in answer.text, path
        elsewhere = ask(two, path, query, "one", authorization=f"Bearer {hs(sub='ann')}", x_site_id="other")
        assert elsewhere.status_code == (403 if "site_id" in query else 404), path
    assert ask(two, "/api/metrics", {}, "one", authorization=f"Bearer {hs(sub='ann')}").status_code == 403


OWNED: list[tuple[str, dict[str, Any]]] = [("/api/stats/owners", {}), ("/api/stats/groups", {})]
OWNED += [("/api/stats/top", {"by": by}) for by in ("target", "share")]


def test_an_owner_reads_the_own_pages_and_no_others(two: Two) -> None:
    fill(two, "one", "other")
    days = {"start": "2025-12-01", "end": "2026-12-31"}
    for path, query in OWNED:
        answer = ask(two, path, query | days, "one", authorization=f"Bearer {hs(sub='ann')}")
        assert answer.status_code == 200, (path, answer.text)
        (row,) = answer.json()["rows"]
        assert row.get("ownerCode", "one1") == "one1" and "one2" not in answer.text, path


def test_an_owner_in_two_sites_names_one_of_them_and_a_key_only_its_own(two: Two) -> None:
    with db.connect(two.server.settings, "owner") as owner:
        owners.add(owner, "other", "x", "ann")
    token, key = {"authorization": f"Bearer {hs(sub='ann')}"}, {"x_read_key": two.keys["one", "read"]}
    for path, query in OWNED:
        assert ask(two, path, query, "one", **token).status_code == 422, path
        for site_id in ("one", "other"):
            answer = ask(two, path, query | {"site_id": ""}, site_id, **token)
            assert (answer.status_code, answer.json().get("siteId")) == (200, site_id), (path, answer.text)
            assert "x-site-id" in answer.headers["vary"]
            answer = ask(two, path, query | {"site_id": ""}, site_id, **key)
            assert answer.status_code == (200 if site_id == "one" else 404), (path, answer.text)
    for path in ("/api/stats/retention", "/api/stats/overview"):
        answer = ask(two, path, {"site_id": ""}, "one", **token)
        assert answer.status_code == 403, (path, answer.text)


def scope(settings: Settings, person: str | None, query: str = "", **headers: str) -> db.Scope:
    """What schema.rights makes of a request whose token was verified."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    found: dict[str, Any] = {"type": "http", "headers": raw, "client": (FAR, 5), "query_string": query.encode()}
    return rights.scope_of(settings, HTTPConnection(found | ({rights.VERIFIED: Verified(person)} if person else {})))


def test_a_persons_site_is_the_only_one_or_named(two: Two) -> None:
    settings = two.server.settings
    assert scope(settings, "ann") == ("one", "ann")
    with db.connect(settings, "owner") as owner:
        owners.add(owner, "other", "x", "ann")
    with pytest.raises(InvalidRequest, match="site_id: you own pages in one, other: name one"):
        scope(settings, "ann")
    assert scope(settings, "ann", "site_id=other") == scope(settings, "ann", x_site_id="other") == ("other", "ann")
    assert scope(settings, "ann", apikey=two.keys["other", "write"]) == ("other", "ann")
    assert scope(settings, "ann", apikey=two.keys["other", "read"]) == ("other", None)
    for wrong, named in ((NotFound, {"query": "site_id=third"}), (NotFound, {"x_site_id": "default"})):
        with pytest.raises(wrong):
            scope(settings, "ann", **named)
    with pytest.raises(NotFound):
        scope(settings, "bob", apikey=two.keys["other", "write"])
    with db.connect(settings, "owner") as owner:
        assert owners.remove(owner, "one", "bob") == ["one2"]
    with pytest.raises(Forbidden, match="owns no pages here"):
        scope(settings, "bob")
