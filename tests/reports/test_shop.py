"""The demo shop's routes: only with the demo's catalogue, sign-in only where nobody else's tokens count, and of events
only one's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from recommender import seed
from reports.shop import routes
from schema import db, demo
from schema.event import new_id, now
from schema.settings import Settings
from tests.ingest.serving import Server, drain, serving
from tests.make import body, event, uid
from tests.workers.pipeline import ROBOT

SECRET = "s" * 40
AGENT = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0"}
HERE = {"host": "localhost:8000", "sec-fetch-site": "same-origin"}


@pytest.fixture
def own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings under which the demo may sign people in, and a catalogue is looked at each time."""
    monkeypatch.setattr(routes, "_SECONDS", 0.0)
    update = {"jwt_secret": SecretStr(SECRET), "jwt_issuer": demo.ISSUER, "jwt_audience": demo.AUDIENCE}
    return settings.model_copy(update=update)


@pytest.fixture
def shop(own: Settings) -> Iterator[Server]:
    with db.connect(own, "owner") as connection:
        seed.fill(connection, 20, date(2026, 3, 1))
    with serving(own) as server:
        yield server


def sign_in(server: Server, email: str = "Noa@Example.com", **headers: str) -> httpx.Response:
    said = {"email": email, "next": "/trips/7"}
    return server.request("POST", "/shop/sign-in", data=said, headers=HERE | headers)


def test_without_the_demos_catalogue_there_is_a_dashboard_and_no_shop(own: Settings) -> None:
    with serving(own) as server:
        answer = server.request("GET", "/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard")
        assert "no demo shop here" in answer.text
        for path in ("/search", "/search/results", "/trips/1", "/auth/callback"):
            closed = server.request("GET", path)
            assert (closed.status_code, "The dashboard is at /dashboard" in closed.text) == (404, True)
        assert sign_in(server).status_code == 404
        assert server.request("POST", "/shop/events", json={"anonymous_id": str(uid(1))}).status_code == 404


def test_a_company_of_ones_own_closes_the_shop(shop: Server) -> None:
    assert shop.request("GET", "/").status_code == 200
    with db.connect(shop.settings, "owner") as connection:
        connection.execute("INSERT INTO companies (name, is_active) VALUES ('Far Away', true)")
    assert shop.request("GET", "/").status_code == 303


def test_a_page_of_the_shop_runs_nothing_but_its_own_files(shop: Server) -> None:
    answer = shop.request("GET", "/search/results?countries=IT")
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert "$" not in answer.text and "<style" not in answer.text and "style=" not in answer.text
    address = answer.text.split('rel="stylesheet" href="')[1].split('"')[0]
    assert shop.request("GET", address).headers["cache-control"].endswith("immutable")


def test_whoever_signs_in_is_sent_to_the_callback_with_a_token_in_the_fragment(shop: Server) -> None:
    to = urlsplit(sign_in(shop).headers["location"])
    assert (to.path, parse_qs(to.query)) == ("/auth/callback", {"next": ["/trips/7"]})
    token = parse_qs(to.fragment)["access_token"][0]
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience=demo.AUDIENCE, issuer=demo.ISSUER)
    assert claims["email"] == "noa@example.com" and claims["sub"].startswith("demo-")
    taken = shop.request(
        "POST", "/api/user/identify", json={"anonymous_id": str(uid(1))}, headers={"authorization": f"Bearer {token}"}
    )
    assert (taken.status_code, taken.json()["user_id"]) == (202, claims["sub"])


def test_nobody_signs_in_without_an_address_or_from_elsewhere(shop: Server) -> None:
    for email in ("nobody", "a b@example.com", ""):
        assert sign_in(shop, email).status_code == 422
    for wrong in ({"host": "shop.example"}, {"x-forwarded-for": "10.0.0.1"}, {"sec-fetch-site": "cross-site"}):
        assert sign_in(shop, **wrong).status_code == 403


def test_where_another_issuer_is_configured_the_demo_signs_nobody_in(shop: Server) -> None:
    for theirs in ({"jwt_issuer": "https://issuer.example"}, {"jwt_jwks_url": "https://issuer.example/keys"}):
        with serving(shop.settings.model_copy(update=theirs)) as other:
            assert sign_in(other).status_code == 403
            assert 'content="elsewhere"' in other.request("GET", "/").text


def told(server: Server, visitor: int, *asked: int, **more: object) -> list[tuple[int, str, int]]:
    wanted = {"anonymous_id": str(uid(2, visitor)), "event_ids": [str(uid(1, n)) for n in asked]} | more
    answer = server.request("POST", "/shop/events", json=wanted)
    assert answer.status_code == 200, answer.text
    return [(int(one["event_id"][-4:], 16), one["verdict"], one["again"]) for one in answer.json()["events"]]


def test_a_visitor_is_told_of_their_own_events_and_of_nobody_elses(shop: Server) -> None:
    def send(*events: dict[str, object], **headers: str) -> None:
        assert shop.post(body(*events), headers=AGENT | headers).status_code == 202

    mine = {"anonymous_id": str(uid(2, 1))}
    send(event(1, **mine), event(2, **mine), event(3, anonymous_id=str(uid(2, 2))))
    send(event(2, **mine))
    send(event(5, **mine), **{"user-agent": ROBOT})
    drain(shop.settings)
    died = [{"index": 0, "event_id": str(uid(1, 4)), "event_type": "click", "verdict": "dead", "reason": "22003: no"}]
    with db.connect(shop.settings) as connection:
        connection.execute(
            "INSERT INTO batches (batch_id, site_id, received_at, accepted, stored, dead, verdicts)"
            " VALUES (%s, 'default', now(), 1, 0, 1, %s)",
            (new_id(now()), Jsonb(died)),
        )
    found = told(shop, 1, 4, 6)
    assert sorted(found) == [(1, "stored", 0), (2, "stored", 1), (4, "dead", 0), (5, "bot", 0)]
    assert told(shop, 3) == []
