"""Who really sends, where proxies stand in front. In: peers and headers, forged ones too. Out: what is stored of the
address, who is limited, and who counts as this machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ingest.peers import COUNTRY, Proxies
from schema import settings as config
from schema.errors import ConfigError
from schema.settings import Settings
from tests import make
from tests.ingest.serving import BATCH, LOCAL, Server, add_site, drain, select, serving

EDGE, INNER, SENDER, FORGED = "198.51.100.7", "10.1.2.3", "203.0.113.77", "192.0.2.66"


@pytest.fixture(scope="module")
def behind(shared: Server) -> Iterator[Server]:
    """The application behind an edge and a network of inner proxies, and one on this machine."""
    trusted = f"{EDGE}, 10.0.0.0/8, 127.0.0.1,2001:db8:ffff::/48"
    named = {"trusted_proxies": trusted, "country_header": "CF-IPCountry"}
    add_site(shared.settings, "behind", open_to="everyone", address_rate=1, address_burst=1)
    add_site(shared.settings, "open", open_to="everyone")
    with serving(shared.settings.model_copy(update=named)) as server:
        yield server


def sender(peer: str, *said: str, trusted: str = f"{EDGE},10.0.0.0/8,127.0.0.1") -> str:
    """What the scope says after it."""
    headers = [(b"x-forwarded-for", value.encode()) for value in said]
    scope: dict[str, Any] = {"client": (peer, 1), "headers": headers}
    Proxies(Settings(trusted_proxies=trusted)).reveal(scope)
    return scope["client"][0]


@pytest.mark.parametrize(
    ("peer", "said", "found"),
    [
        (EDGE, [SENDER], SENDER),
        (EDGE, [f"{FORGED}, {SENDER}"], SENDER),
        (EDGE, [f"127.0.0.1,{SENDER}"], SENDER),
        (EDGE, [f"{EDGE}, {SENDER}"], SENDER),
        (EDGE, [FORGED, SENDER], SENDER),
        (EDGE, [f"{FORGED}, {SENDER}", INNER], SENDER),
        (INNER, [f"{FORGED}, {SENDER}, {EDGE} ,10.9.9.9"], SENDER),
        (EDGE, [f"garbage, {SENDER}"], SENDER),
        (EDGE, [f"{FORGED}, garbage"], EDGE),
        (EDGE, [f"{FORGED}, garbage, {INNER}"], INNER),
        (EDGE, [f"{FORGED}, "], EDGE),
        (EDGE, [""], EDGE),
        (EDGE, [], EDGE),
        (EDGE, [f"{INNER}, {EDGE}"], INNER),
        (EDGE, [f"{SENDER}:4711"], SENDER),
        (EDGE, ["[2001:db8::9]:4711"], "2001:db8::9"),
        (EDGE, ["[2001:db8::9]"], "2001:db8::9"),
        (EDGE, [f"::ffff:{SENDER}"], SENDER),
        (f"::ffff:{EDGE}", [SENDER], SENDER),
        (EDGE, ["é\udcff".encode("utf-8", "surrogateescape").decode("latin-1")], EDGE),
        (SENDER, [FORGED], SENDER),
        ("198.51.100.8", ["127.0.0.1"], "198.51.100.8"),
        ("", [FORGED], ""),
        ("testclient", [FORGED], "testclient"),
    ],
)
def test_the_sender_is_the_rightmost_hop_that_is_no_proxy_of_ours(peer: str, said: list[str], found: str) -> None:
    assert sender(peer, *said) == found


def test_a_list_of_thousands_of_hops_is_read_and_not_remembered() -> None:
    proxies = Proxies(Settings(trusted_proxies=EDGE))
    for n in range(10):
        scope: dict[str, Any] = {
            "client": (EDGE, 1),
            "headers": [(b"x-forwarded-for", b"%d, " % n * 9000 + b"203.0.113.77")],
        }
        proxies.reveal(scope)
        assert scope["client"][0] == SENDER
    assert proxies._remembered.cache_info().currsize == 0


@pytest.mark.parametrize("name", ["forwarded", "x-real-ip", "x-client-ip", "cf-connecting-ip", "true-client-ip"])
def test_other_headers_say_nothing(name: str) -> None:
    scope: dict[str, Any] = {"client": (EDGE, 1), "headers": [(name.encode(), b"192.0.2.66")]}
    Proxies(Settings(trusted_proxies=EDGE)).reveal(scope)
    assert scope["client"][0] == EDGE


def stored(server: Server, column: str, n: int) -> Any:
    drain(server.settings)
    return select(server.settings, f"SELECT {column}::text FROM events WHERE event_id = %s", make.uid(1, n))[0][0]


def post(server: Server, n: int, peer: str, *headers: tuple[str, str], site_id: str = "open") -> httpx.Response:
    content = make.body(make.event(n), site_id=site_id)
    return server.request("POST", BATCH, host=peer, content=content, headers=list(headers))


def test_nobody_is_believed_unless_named(shared: Server, behind: Server) -> None:
    assert sender(EDGE, SENDER, trusted=" , ") == EDGE
    shared.look()
    assert post(shared, 40, EDGE, ("x-forwarded-for", SENDER), ("cf-ipcountry", "IL")).status_code == 202
    assert (stored(shared, "ip_prefix", 40), stored(shared, "country", 40)) == ("198.51.100.0/24", None)


@pytest.mark.parametrize(
    ("n", "peer", "prefix"), [(1, EDGE, "203.0.113.0/24"), (2, LOCAL, "203.0.113.0/24"), (3, FORGED, "192.0.2.0/24")]
)
def test_the_senders_address_is_stored_cut(behind: Server, n: int, peer: str, prefix: str) -> None:
    assert post(behind, n, peer, ("x-forwarded-for", f"8.8.8.8, {SENDER}")).status_code == 202
    assert stored(behind, "ip_prefix", n) == prefix


def test_the_sender_is_limited_and_not_its_proxy(behind: Server) -> None:
    said = [("x-forwarded-for", f"192.0.2.{n}, 203.0.113.{n // 2}") for n in range(4)]
    assert [post(behind, 10, EDGE, one, site_id="behind").status_code for one in said] == [202, 429, 202, 429]


def test_a_sender_cannot_choose_whom_it_is_limited_as(behind: Server) -> None:
    said = [("x-forwarded-for", f"127.0.0.1, 192.0.2.{n}") for n in range(3)]
    statuses = [post(behind, 11, "203.0.113.99", one, site_id="behind").status_code for one in said]
    assert statuses == [202, 429, 429]


@pytest.mark.parametrize("said", ["127.0.0.1", f"127.0.0.1, {SENDER}", "", "::1", f"{SENDER}, 127.0.0.1"])
@pytest.mark.parametrize("peer", [LOCAL, EDGE])
def test_what_came_through_a_proxy_is_never_this_machine(behind: Server, peer: str, said: str) -> None:
    assert post(behind, 12, peer, ("x-forwarded-for", said), site_id="default").status_code == 401


def test_without_a_word_of_a_proxy_this_machine_is_itself(behind: Server) -> None:
    assert post(behind, 13, LOCAL, site_id="default").status_code == 202


def test_figures_are_not_for_senders_behind_a_proxy_on_this_machine(behind: Server) -> None:
    for headers, status in (({}, 200), ({"x-forwarded-for": "127.0.0.1"}, 401)):
        answer = behind.request("GET", "/api/metrics", headers={"host": "localhost", **headers})
        assert answer.status_code == status


def test_requests_under_way_count_for_the_sender(behind: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    entered = []
    monkeypatch.setattr(behind.gate, "enter", lambda host: entered.append(host))
    post(behind, 14, EDGE, ("x-forwarded-for", SENDER))
    assert entered == [SENDER]


@pytest.mark.parametrize(
    ("n", "peer", "said", "country"),
    [
        (20, EDGE, ["il"], "IL"),
        (21, EDGE, ["US", "IL"], "IL"),
        (22, SENDER, ["IL"], None),
        *((30 + n, EDGE, [said], None) for n, said in enumerate(("XX", "T1", "", "ISR", "I\u00e9", "IL, US"))),
    ],
)
def test_the_country_is_believed_from_the_edge_only(
    behind: Server, n: int, peer: str, said: list[str], country: str | None
) -> None:
    headers = [(b"cf-ipcountry", one.encode("latin-1")) for one in said]
    scope: dict[str, Any] = {"client": (peer, 1), "headers": headers}
    Proxies(behind.settings).reveal(scope)
    assert scope.get(COUNTRY) == country


def test_the_country_of_the_edge_is_stored(behind: Server) -> None:
    post(behind, 23, EDGE, ("x-forwarded-for", SENDER), ("cf-ipcountry", "IL"))
    post(behind, 24, SENDER, ("cf-ipcountry", "IL"))
    assert (stored(behind, "country", 23), stored(behind, "country", 24)) == ("IL", None)


@pytest.mark.parametrize("said", ["nginx", "10.0.0.1/8", "10.0.0.0/8;10.1.0.0/16", "*"])
def test_what_is_no_network_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("TRIPSTREAM_TRUSTED_PROXIES", said)
    with pytest.raises(ConfigError, match=r"^TRIPSTREAM_TRUSTED_PROXIES: "):
        config.load()
