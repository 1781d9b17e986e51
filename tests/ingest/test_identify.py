"""POST /api/user/identify, and tokens on the routes that take events: from the header to the row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
import redis

from schema import db
from tests import make
from tests.conftest import Servers
from tests.ingest.issuer import HS, hs
from tests.ingest.serving import BATCH, Server, drain, select, serving
from tripstream.embedded_postgres import DATABASE
from workers import mover

IDENTIFY = "/api/user/identify"


@pytest.fixture(scope="module")
def known(servers: Servers) -> Iterator[Server]:
    """The application of a site with tokens."""
    with redis.Redis.from_url(servers.valkey.url()) as client:
        client.flushall()
    with psycopg.connect(servers.postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE identifying TEMPLATE {DATABASE}")
        with serving(servers.settings("identifying", **HS)) as running:
            yield running
        connection.execute("DROP DATABASE identifying WITH (FORCE)")


def post(server: Server, body: Any, token: str | None = None, path: str = IDENTIFY) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return server.post(body if isinstance(body, bytes) else json.dumps(body).encode(), path, headers=headers)


def visitor(n: int) -> str:
    return str(make.uid(3, n))


def test_a_visitor_who_signs_in_is_one_user_with_what_it_did_before(known: Server) -> None:
    view = make.event(1, anonymous_id=visitor(1))
    assert post(known, {"events": [view]}, path=BATCH).status_code == 202
    answer = post(known, {"anonymous_id": visitor(1), "traits": {"plan": "pro"}}, hs())
    assert answer.status_code == 202, answer.text
    assert answer.json().keys() == {"accepted", "rejected", "batch_id", "durability", "user_id"}
    assert answer.json()["user_id"] == "ann"
    drain(known.settings)
    with db.connect(known.settings) as connection:
        mover.run_once(connection)
    rows = select(
        known.settings,
        "SELECT event_type, user_id, auth_user_id, metadata FROM readable_events WHERE anonymous_id = %s ORDER BY 1",
        visitor(1),
    )
    assert [(row[0], *row[2:]) for row in rows] == [
        ("page_view", None, None),
        ("user_identify", "ann", {"plan": "pro"}),
    ]
    assert rows[0][1] == rows[1][1]
    assert select(known.settings, "SELECT value FROM identities WHERE kind = 'email'") == [("ann@example.com",)]


@pytest.mark.parametrize("token", [None, "ts_write_abc", "a.b.c", "expired"])
def test_nobody_is_identified_without_a_good_token(known: Server, token: str | None) -> None:
    answer = post(known, {"anonymous_id": visitor(2)}, hs(exp=1) if token == "expired" else token)
    assert answer.status_code == 401
    assert answer.json().keys() == {"code", "message"}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"anonymous_id": "x"}', b'{"anonymous_id": 1}', b"{"])
def test_a_body_without_a_visitor_is_refused(known: Server, body: bytes) -> None:
    assert post(known, body, hs()).status_code == 400


def test_events_of_a_bad_token_are_anonymous_and_those_of_a_good_one_its_users(known: Server) -> None:
    for n, token in ((11, hs(sub="bob")), (12, "a.b.c"), (13, hs(exp=1)), (14, None)):
        events = [make.event(n, anonymous_id=visitor(n))]
        assert post(known, {"events": events}, token, BATCH).status_code == 202
    drain(known.settings)
    query = "SELECT auth_user_id FROM events WHERE anonymous_id = ANY(%s::uuid[]) ORDER BY event_id"
    assert select(known.settings, query, [visitor(n) for n in (11, 12, 13, 14)]) == [
        ("bob",),
        (None,),
        (None,),
        (None,),
    ]


def test_the_body_says_nothing_of_who_is_verified(known: Server) -> None:
    event = make.event(21, anonymous_id=visitor(21), auth_user_id="eve", user_id="eve")
    assert post(known, {"events": [event]}, path=BATCH).status_code == 202
    drain(known.settings)
    query = "SELECT auth_user_id, claimed_user FROM events WHERE anonymous_id = %s"
    assert select(known.settings, query, visitor(21)) == [(None, "eve")]


def test_an_identification_sent_twice_is_one_event(known: Server) -> None:
    body = {"anonymous_id": visitor(31), "client_timestamp": make.T0 // 1000}
    for _ in range(2):
        assert post(known, body, hs()).status_code == 202
    drain(known.settings)
    query = "SELECT count(*) FROM events WHERE anonymous_id = %s"
    assert select(known.settings, query, visitor(31)) == [(1,)]
