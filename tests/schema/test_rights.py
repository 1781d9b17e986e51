"""Which key reads, and which one changes things. In: headers and peers. Out: a site; 401 or 403 that say why."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from schema import rights, sites
from schema.errors import Forbidden, Unauthorized
from tests.schema.test_sites import site
from tests.workers.pipeline import Pipeline

JWT = "eyJhbGciOiJIUzI1NiJ9.e30.x"


def reads(pipe: Pipeline, peer: str | None = "203.0.113.77", /, **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return rights.readable_site(pipe.settings, Headers(named), peer)


def test_a_read_key_sees_its_site_and_a_write_key_nothing(pipe: Pipeline) -> None:
    write_key = sites.add_site(pipe.connection, site())
    keys = {role: sites.add_key(pipe.connection, "shop", role) for role in ("read", "admin")}
    for key in keys.values():
        assert reads(pipe, authorization=f"bEaReR {key} ") == "shop"
        assert reads(pipe, x_read_key=key) == reads(pipe, apikey=key) == "shop"
        assert reads(pipe, authorization=f"Bearer {JWT}", apikey=key) == "shop"
    for name in ("authorization", "x_read_key", "apikey"):
        with pytest.raises(Forbidden, match="A write key can read nothing"):
            reads(pipe, "127.0.0.1", **{name: f"Bearer {write_key}" if name == "authorization" else write_key})
    sites.rotate(pipe.connection, "shop", "read", 0)
    for key in (keys["read"], "ts_read_nobody", "é"):
        with pytest.raises(Unauthorized):
            reads(pipe, x_read_key=key)


def test_without_a_key_only_this_machine_reads_and_only_the_default_site(pipe: Pipeline) -> None:
    assert reads(pipe, "127.0.0.1", host="localhost:8000") == "default"
    for peer, headers in (
        ("203.0.113.77", {"host": "localhost"}),
        ("127.0.0.1", {"host": "shop.example"}),
        ("127.0.0.1", {"host": "localhost", "x_forwarded_for": "127.0.0.1"}),
        (None, {"host": "localhost"}),
    ):
        with pytest.raises(Unauthorized):
            reads(pipe, peer, **headers)
    scope = {"type": "http", "headers": [(b"host", b"127.0.0.1:8000")], "client": ("127.0.0.1", 5)}
    assert rights.site_of(pipe.settings, HTTPConnection(scope | {"http_version": "1.1"})) == "default"
    with pytest.raises(Unauthorized):  # so nginx forwards, if it was told nothing else
        rights.site_of(pipe.settings, HTTPConnection(scope | {"http_version": "1.0"}))


def test_the_installations_key_and_a_sites_admin_key_change_things_and_no_other_does(pipe: Pipeline) -> None:
    settings = pipe.settings.model_copy(update={"admin_key": SecretStr("secret")})
    others = [sites.add_site(pipe.connection, site()), sites.add_key(pipe.connection, "shop", "read")]
    admin_key = sites.add_key(pipe.connection, "shop", "admin")
    for key in ("secret", admin_key):
        rights.require_admin(settings, Headers({"authorization": f"Bearer {key}"}))
        rights.require_admin(settings, Headers({"apikey": key}))
    for key in others:
        with pytest.raises(Forbidden):
            rights.require_admin(settings, Headers({"authorization": f"Bearer {key}"}))
    for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Basic secret"}, {"apikey": "Secret"}):
        with pytest.raises(Unauthorized, match="admin key"):
            rights.require_admin(settings, Headers(headers))
        with pytest.raises(Unauthorized, match="admin key"):
            rights.require_admin(pipe.settings, Headers(headers))


def test_the_installations_key_reads_the_site_it_names_and_no_other_key_does(pipe: Pipeline) -> None:
    settings = pipe.settings.model_copy(update={"admin_key": SecretStr("secret")})
    read_key = [sites.add_site(pipe.connection, site()), sites.add_key(pipe.connection, "shop", "read")][1]
    headers = {"authorization": "Bearer secret"}
    assert rights.readable_site(settings, Headers(headers), "203.0.113.77") == "default"
    assert rights.readable_site(settings, Headers(headers | {"x-site-id": "shop"}), "203.0.113.77") == "shop"
    named = Headers({"x-read-key": read_key, "x-site-id": "default"})
    assert rights.readable_site(settings, named, "203.0.113.77") == "shop"
    with pytest.raises(Unauthorized):
        rights.readable_site(pipe.settings, Headers(headers), "203.0.113.77")
