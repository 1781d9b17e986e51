"""Signing in to the dashboard. In: forms and cookies, also those of other pages and of nobody. Out: a key's own right,
no more, for as long as the key has it; and never a way to somewhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from reports.dashboard.sign_in_routes import inside
from reports.dashboard.signing_in import COOKIE, Sealed
from schema import db, sites
from schema.settings import Settings
from tests.ingest.serving import Server, add_site, serving
from tests.make import body, event

INSTALLATIONS = "of the installation, which is long enough"
HERE = {"sec-fetch-site": "same-origin"}
FAR = "203.0.113.7"


@pytest.fixture
def server(settings: Settings) -> Iterator[Server]:
    known = settings.model_copy(update={"admin_key": SecretStr(INSTALLATIONS)})
    for site_id in ("one", "other"):
        add_site(known, site_id)
    with serving(known) as server:
        yield server


def key_of(server: Server, role: str, site_id: str = "one") -> str:
    with db.connect(server.settings) as connection:
        return sites.add_key(connection, site_id, role)


def sign_in(server: Server, key: str, after: str = "", **headers: str) -> httpx.Response:
    said = {"key": key, "next": after}
    return server.request("POST", "/dashboard/sign-in", host=FAR, data=said, headers=HERE | headers)


def cookie_of(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["set-cookie"].split(";")[0]


def ask(server: Server, path: str, cookie: str, method: str = "GET", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()} | {"cookie": cookie}
    return server.request(method, path, host=FAR, headers=named)


def test_the_cookie_is_closed_to_scripts_and_other_sites_and_is_not_the_key_itself(server: Server) -> None:
    key = key_of(server, "read")
    answer = sign_in(server, key, "/dashboard/live")
    assert answer.headers["location"] == "/dashboard/live"
    said = answer.headers["set-cookie"]
    assert {"HttpOnly", "Path=/"} <= set(said.split("; "))
    assert "samesite=strict" in said.lower()
    assert "secure" not in said.lower()
    assert key not in said
    assert "secure" in sign_in(server, key, **{"x-forwarded-proto": "https"}).headers["set-cookie"].lower()
    cookie = cookie_of(answer)
    assert ask(server, "/dashboard/health", cookie).status_code == 200
    assert ask(server, "/api/stats/overview", cookie).json()["siteId"] == "one"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {},
    ],
)
def test_a_form_that_no_page_of_ours_sent_does_nothing(server: Server, headers: dict[str, str]) -> None:
    key = key_of(server, "admin")
    cookie = cookie_of(sign_in(server, key))
    for path in ("/dashboard/sign-in", "/dashboard/sign-out", "/dashboard/site", "/dashboard/dead-letters/1"):
        answer = server.request("POST", path, host=FAR, data={"key": key}, headers=headers | {"cookie": cookie})
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False), path
    assert server.request("POST", "/process-events", host=FAR, headers=headers | {"cookie": cookie}).status_code == 401


def test_what_a_page_of_ours_sends_counts_also_where_only_its_origin_says_so(server: Server) -> None:
    cookie = cookie_of(sign_in(server, key_of(server, "admin")))
    ours = {"origin": "http://tripstream.test", "cookie": cookie}
    assert server.request("POST", "/process-events", host=FAR, headers=ours).status_code == 200


@pytest.mark.parametrize(
    "after",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/dashboard/\\evil.example",
        "/dashboard@evil.example",
        "/dashboardx",
        "javascript:alert(1)",
        "/dashboard/\r\nset-cookie: a=b",
        "",
        None,
    ],
)
def test_signing_in_leads_nowhere_else(after: str | None) -> None:
    assert inside(after) == "/dashboard"


def test_signing_in_leads_back_to_the_page_with_its_filters(server: Server) -> None:
    asked = server.request("GET", "/dashboard/dead-letters?state=all&type=a%26b", host=FAR)
    assert asked.status_code == 303
    (after,) = parse_qs(urlsplit(asked.headers["location"]).query)["next"]
    assert sign_in(server, key_of(server, "read"), after).headers["location"] == after
    assert after == "/dashboard/dead-letters?state=all&type=a%26b"


def test_a_wrong_key_is_told_why_and_gets_no_cookie(server: Server) -> None:
    for key, why in (
        ("", "Type or paste the key"),
        ("ts_read_nobody", "There is no such key, or it has ended"),
        ("é\x00", "There is no such key, or it has ended"),
        (key_of(server, "write"), "A write key can read nothing"),
    ):
        answer = sign_in(server, key)
        assert answer.status_code in (401, 403)
        assert why in answer.text
        assert "set-cookie" not in answer.headers


def test_a_key_that_was_revoked_leads_back_to_signing_in_and_its_cookie_is_gone(server: Server) -> None:
    cookie = cookie_of(sign_in(server, key_of(server, "read")))
    with db.connect(server.settings) as connection:
        sites.rotate(connection, "one", "read", 0)
    answer = ask(server, "/dashboard/live?x=1", cookie)
    assert (answer.status_code, "Max-Age=0" in answer.headers["set-cookie"]) == (303, True)
    said = parse_qs(urlsplit(answer.headers["location"]).query)
    assert said == {"next": ["/dashboard/live?x=1"], "ended": ["1"]}
    assert "it was revoked" in server.request("GET", answer.headers["location"], host=FAR).text
    assert ask(server, "/api/stats/overview", cookie).status_code == 401


def test_a_cookie_that_was_tampered_with_or_sealed_elsewhere_is_none(server: Server) -> None:
    name, _, value = cookie_of(sign_in(server, key_of(server, "read"))).partition("=")
    elsewhere = Sealed(server.settings.model_copy(update={"admin_key": SecretStr("another")}))
    wrong = [value[:-8] + "AAAAAAA=", value[:40], "x", "", "\x7f", elsewhere.seal(INSTALLATIONS, "one")]
    for forged in wrong:
        assert ask(server, "/api/stats/overview", f"{name}={forged}").status_code == 401
        assert ask(server, "/dashboard/health", f"{name}={forged}").status_code == 303


def test_the_cookie_counts_for_pages_and_what_they_ask_and_for_nothing_else(server: Server) -> None:
    cookie = cookie_of(sign_in(server, INSTALLATIONS))
    assert ask(server, "/api/stats/overview", cookie).status_code == 200
    sent = server.post(body(event(1), site_id="one"), host=FAR, headers=HERE | {"cookie": cookie})
    assert sent.status_code == 401
    for method, path in (("POST", "/api/evaluation/run"), ("POST", "/api/privacy/export"), ("GET", "/get-stats")):
        answer = ask(server, path, cookie, method)
        assert answer.status_code in (401, 403, 422), path
    key = ask(server, "/api/stats/overview", cookie, x_read_key="ts_read_nobody")
    assert key.status_code == 401  # a key that is sent decides alone


def test_signing_out_takes_the_cookie_away(server: Server) -> None:
    cookie = cookie_of(sign_in(server, key_of(server, "read")))
    answer = ask(server, "/dashboard/sign-out", cookie, "POST", sec_fetch_site="same-origin")
    assert answer.headers["location"] == "/dashboard/sign-in"
    assert f'{COOKIE}=""' in answer.headers["set-cookie"]


def test_the_installations_key_looks_at_the_site_it_chose_and_a_sites_key_chooses_none(server: Server) -> None:
    def site_of(cookie: str) -> Any:
        return ask(server, "/api/stats/overview", cookie).json()["siteId"]

    answer = sign_in(server, INSTALLATIONS)
    assert answer.headers["location"] == "/dashboard/site?next=%2Fdashboard"
    cookie = cookie_of(answer)
    assert site_of(cookie) == "default"
    chooser = ask(server, "/dashboard/site", cookie).text
    assert all(f'value="{site}"' in chooser for site in ("default", "one", "other"))
    for site_id, status in (("other", 303), ("nowhere", 404), ("", 404)):
        headers = HERE | {"cookie": cookie}
        chosen = server.request("POST", "/dashboard/site", host=FAR, data={"site": site_id}, headers=headers)
        assert chosen.status_code == status
        if status == 303:
            assert site_of(cookie_of(chosen)) == "other"
            assert "Site: other" in ask(server, "/dashboard/live", cookie_of(chosen)).text
    asked = {"site": "one", "next": "/dashboard/trips?days=7"}
    onward = server.request("POST", "/dashboard/site", host=FAR, data=asked, headers=HERE | {"cookie": cookie})
    assert onward.headers["location"] == "/dashboard/trips?days=7"
    own = cookie_of(sign_in(server, key_of(server, "admin")))
    assert ask(server, "/dashboard/site", own).status_code == 403
    assert ask(server, "/api/stats/overview", own, x_site_id="other").json()["siteId"] == "one"


def test_a_key_in_letters_that_no_header_holds_is_a_wrong_key(server: Server) -> None:
    answer = sign_in(server, "מפתח")
    assert (answer.status_code, "There is no such key" in answer.text) == (401, True)
