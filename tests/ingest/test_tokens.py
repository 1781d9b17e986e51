"""Tokens: the forged ones count for nothing, whatever they ask for; the settings alone say what is good."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import jwt
import pytest

from ingest import jwks as fetching
from ingest import tokens
from ingest.jwks import FRESH_SECONDS, THROTTLE_SECONDS, Keys, download, read
from ingest.tokens import Tokens
from schema import settings as config
from schema.errors import Busy, ConfigError, Unauthorized
from schema.event import Verified
from schema.settings import Settings
from tests.ingest.issuer import (
    ALL,
    AUDIENCE,
    HS,
    ISSUER,
    JWKS_URL,
    SECRET,
    claims,
    ec_key,
    encoded,
    es,
    hs,
    jwk,
    jwks,
    public,
    raw,
    rs,
    rsa_key,
)

ANN = Verified("ann", "ann@example.com", "authenticated")


def verify(token: str, **settings: Any) -> Verified:
    wanted = Settings(**(settings or ALL))
    keys = Keys(JWKS_URL, lambda _: jwks()) if wanted.jwt_jwks_url else None
    return asyncio.run(Tokens(wanted, keys).verify(token))


@pytest.mark.parametrize("make", [hs, rs, es])
def test_a_good_token_says_who_it_is(make: Any) -> None:
    assert verify(make()) == ANN
    assert verify(make(aud=["other", AUDIENCE], headers={"typ": "at+jwt"})) == ANN
    assert verify(make(nbf=_now() + 30)) == ANN  # its issuer's clock is a little ahead
    assert verify(make(email=..., role=...)) == Verified("ann")
    assert verify(raw({"alg": "HS256"}, claims())) == ANN  # so what is forged with `raw` is refused for what is wrong


def _now() -> int:
    return int(time.time())


FORGED = {
    "alg none": lambda: raw({"alg": "none", "typ": "JWT"}, claims(), b"").rsplit(".", 1)[0] + ".",
    "alg none with a signature": lambda: raw({"alg": "none"}, claims()),
    "alg None": lambda: raw({"alg": "None"}, claims()),
    "alg missing": lambda: raw({"typ": "JWT"}, claims()),
    "alg no text": lambda: raw({"alg": 5}, claims()),
    "alg of a list": lambda: raw({"alg": ["HS256"]}, claims()),
    "alg HS384": lambda: jwt.encode(claims(), SECRET, "HS384"),
    "alg PS256": lambda: jwt.encode(claims(), rsa_key("ours"), "PS256", headers={"kid": "r1"}),
    "another secret": lambda: hs("x" * 40),
    "an empty secret": lambda: raw({"alg": "HS256"}, claims(), b""),
    "HS256 with the RSA public key": lambda: raw({"alg": "HS256", "kid": "r1"}, claims(), public(rsa_key("ours"))),
    "HS256 with the EC public key": lambda: raw({"alg": "HS256", "kid": "e1"}, claims(), public(ec_key("ours"))),
    "HS256 with the JWKS' secret": lambda: raw({"alg": "HS256", "kid": "o1"}, claims(), b"secret"),
    "RS256 header, HMAC of the public key": lambda: raw(
        {"alg": "RS256", "kid": "r1"}, claims(), public(rsa_key("ours"))
    ),
    "another RSA key": lambda: rs("theirs"),
    "another EC key": lambda: es("theirs"),
    "RS256 with the EC key's id": lambda: rs(headers={"kid": "e1"}),
    "unknown kid": lambda: rs(headers={"kid": "r2"}),
    "kid of a path": lambda: rs("theirs", headers={"kid": "../../dev/null"}),
    "kid no text": lambda: raw({"alg": "HS256", "kid": 1}, claims()),
    "unknown crit": lambda: hs(headers={"crit": ["x"], "x": 1}),
    "empty crit": lambda: hs(headers={"crit": []}),
    "crit b64": lambda: raw({"alg": "HS256", "crit": ["b64"], "b64": False}, claims()),
    "own key as jwk": lambda: rs("theirs", headers={"jwk": jwk(rsa_key("theirs"))}),
    "own keys at jku": lambda: rs("theirs", headers={"jku": "https://evil.example/jwks.json"}),
    "own keys at x5u": lambda: rs("theirs", headers={"x5u": "https://evil.example/cert.pem"}),
    "own certificate": lambda: rs("theirs", headers={"x5c": ["MIIB"]}),
    "good signature, but a jku": lambda: rs(headers={"jku": JWKS_URL}),
    "encrypted": lambda: raw({"alg": "HS256", "enc": "A256GCM"}, claims()),
    "of another type": lambda: hs(headers={"typ": "logout+jwt"}),
    "expired": lambda: hs(exp=_now() - 1),
    "not yet": lambda: hs(nbf=_now() + 400),
    "issued in the future": lambda: hs(iat=_now() + 4000),
    "no exp": lambda: hs(exp=...),
    "no aud": lambda: hs(aud=...),
    "no iss": lambda: hs(iss=...),
    "no sub": lambda: hs(sub=...),
    "null exp": lambda: raw({"alg": "HS256"}, claims(exp=None)),
    "exp of text": lambda: raw({"alg": "HS256"}, claims(exp="never")),
    "endless exp": lambda: raw({"alg": "HS256"}, json.dumps(claims(exp=9**9)).encode().replace(b"387420489", b"1e999")),
    "exp beyond floats": lambda: hs(exp=10**400),
    "exp of digits": lambda: raw({"alg": "HS256"}, claims(exp=str(_now() + 600))),
    "nbf of text": lambda: raw({"alg": "HS256"}, claims(nbf="0")),
    "iat beyond floats": lambda: hs(iat=-(10**400)),
    "wrong aud": lambda: hs(aud="anon"),
    "wrong auds": lambda: hs(aud=["anon", "service_role"]),
    "aud of a part": lambda: hs(aud="auth"),
    "wrong iss": lambda: hs(iss="https://evil.example/auth/v1"),
    "iss with more": lambda: hs(iss=ISSUER + "/"),
    "iss of a list": lambda: raw({"alg": "HS256"}, claims(iss=[ISSUER])),
    "sub a number": lambda: raw({"alg": "HS256"}, claims(sub=7)),
    "sub a list": lambda: raw({"alg": "HS256"}, claims(sub=["ann"])),
    "sub empty": lambda: hs(sub=""),
    "sub with U+0000": lambda: hs(sub="ann\0"),
    "sub with spaces": lambda: hs(sub=" ann"),
    "sub too long": lambda: hs(sub="a" * 201),
    "claims a list": lambda: raw({"alg": "HS256"}, ["ann"]),
    "claims no JSON": lambda: raw({"alg": "HS256"}, b"{"),
    "header no JSON": lambda: raw(b"{", claims()),
    "header a list": lambda: raw(["HS256"], claims()),
    "header nested deeply": lambda: raw(b"[" * 5000, claims()),
    "changed claims": lambda: swapped(hs(), claims(sub="bob")),
    "claims without exp under a good signature": lambda: swapped(hs(), claims(exp=...)),
    "truncated": lambda: hs()[:-8],
    "empty signature": lambda: hs().rsplit(".", 1)[0] + ".",
    "no signature": lambda: hs().rsplit(".", 1)[0],
    "two signatures": lambda: hs() + "." + hs().rsplit(".", 1)[1],
    "ES256 of zeros": lambda: es().rsplit(".", 1)[0] + "." + encoded(bytes(64)),
    "ES256 in DER": lambda: es().rsplit(".", 1)[0] + "." + encoded(b"0\x06\x02\x01\x00\x02\x01\x00"),
    "huge": lambda: hs(extra="x" * 9000),
    "dots": lambda: "..",
    "not ASCII": lambda: "é." + hs().split(".", 1)[1],
}


def swapped(token: str, body: dict[str, Any]) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{encoded(body)}.{signature}"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("what", FORGED)
def test_a_forged_token_is_refused(what: str) -> None:
    with pytest.raises(Unauthorized):
        verify(FORGED[what]())


def test_a_way_of_signing_that_is_not_set_is_refused() -> None:
    with pytest.raises(Unauthorized):
        verify(rs(), **HS)
    with pytest.raises(Unauthorized):
        verify(hs(), **(ALL | {"jwt_secret": ""}))
    with pytest.raises(Unauthorized, match="TRIPSTREAM_JWT_SECRET"):
        verify(hs(), lanes=1)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"email": "A@B.c", "email_verified": True}, "a@b.c"),
        ({"email": "a@b.c", "email_verified": False}, None),
        ({"email": "a@b.c", "email_verified": "false"}, None),
        ({"email": "nobody"}, None),
        ({"email": 7}, None),
        ({"email": "a@b.c\0"}, None),
    ],
)
def test_only_an_email_that_may_have_been_proved_is_kept(said: dict[str, Any], kept: str | None) -> None:
    assert tokens.read_claims(claims(**said), "role").email == kept


@pytest.mark.parametrize(
    ("where", "role"), [("role", "authenticated"), ("app.role", "guide"), ("role.x", None), ("app", None)]
)
def test_the_role_is_where_the_setting_says(where: str, role: str | None) -> None:
    assert tokens.read_claims(claims(app={"role": "guide"}), where).role == role


def test_a_token_is_verified_once_and_not_after_it_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier, token, then = Tokens(Settings(**HS)), hs(), time.time()
    assert asyncio.run(verifier.verify(token)) == ANN
    monkeypatch.setattr(verifier, "_secret", "x" * 40)
    assert asyncio.run(verifier.verify(token)) == ANN
    monkeypatch.setattr(tokens.time, "time", lambda: then + FRESH_SECONDS + 1)
    with pytest.raises(Unauthorized):
        asyncio.run(verifier.verify(token))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"jwt_secret": SECRET, "jwt_issuer": ISSUER}, "TRIPSTREAM_JWT_AUDIENCE"),
        ({"jwt_secret": SECRET, "jwt_audience": AUDIENCE}, "TRIPSTREAM_JWT_ISSUER"),
        ({"jwt_jwks_url": JWKS_URL}, "TRIPSTREAM_JWT_ISSUER and TRIPSTREAM_JWT_AUDIENCE"),
        (HS | {"jwt_secret": "short"}, "32 bytes"),
        (ALL | {"jwt_jwks_url": "http://x.example/jwks"}, "https"),
        (ALL | {"jwt_jwks_url": "file:///etc/passwd"}, "https"),
    ],
)
def test_settings_that_would_accept_too_much_are_refused(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.load(**wrong)
    config.load(**(ALL | {"jwt_jwks_url": "http://127.0.0.1:9/jwks"}))


class Provider:
    """What a provider is asked, and answers."""

    def __init__(self) -> None:
        self.now, self.asked, self.document = 1000.0, 0, jwks()
        self.keys = Keys(JWKS_URL, self.answer, lambda: self.now)

    def answer(self, _url: str) -> bytes:
        self.asked += 1
        if not self.document:
            raise OSError("away")
        return self.document

    async def has(self, kid: str | None = "r1", algorithm: str = "RS256") -> bool:
        return await self.keys.find(kid, algorithm) is not None


def test_keys_are_fetched_once_however_many_ask() -> None:
    async def check() -> None:
        provider = Provider()
        assert all(await asyncio.gather(*(provider.has() for _ in range(20))))
        assert await provider.has(None) and not await provider.has("e1")
        assert provider.asked == 1

    asyncio.run(check())


def test_an_unknown_key_is_looked_for_again_but_not_often() -> None:
    async def check() -> None:
        provider = Provider()
        assert not await provider.has("new") and not await provider.has("new")
        assert provider.asked == 1
        provider.now += THROTTLE_SECONDS + 1
        provider.document = jwks().replace(b'"r1"', b'"new"')
        assert await provider.has("new") and not await provider.has("r1")
        assert provider.asked == 2

    asyncio.run(check())


def test_keys_that_get_old_are_fetched_while_they_still_serve() -> None:
    async def check() -> None:
        provider = Provider()
        assert await provider.has()
        provider.now += FRESH_SECONDS + 1
        assert await provider.has()
        if provider.keys._fetching is not None:
            await provider.keys._fetching
        assert provider.asked == 2

    asyncio.run(check())


def test_the_last_good_keys_stay_when_the_provider_is_away_or_mad() -> None:
    async def check() -> None:
        provider = Provider()
        assert await provider.has()
        for document in (b"", b"<html>", b'{"keys": []}', b'{"keys": [{"kty": "RSA"}]}'):
            provider.document = document
            provider.now += FRESH_SECONDS + 1
            assert not await provider.has("new")
            assert await provider.has()
        assert provider.asked == 5

    asyncio.run(check())


def test_without_any_keys_nobody_is_refused_for_ever() -> None:
    async def check() -> None:
        provider = Provider()
        provider.document = b""
        for _ in range(3):
            with pytest.raises(Busy):
                await provider.has()
        assert provider.asked == 1
        provider.document = jwks()
        provider.now += THROTTLE_SECONDS + 1
        assert await provider.has()

    asyncio.run(check())


def test_only_public_keys_that_sign_are_read() -> None:
    document = json.dumps(
        {
            "keys": [
                jwk(rsa_key("ours"), kid="enc", use="enc"),
                jwk(rsa_key("ours"), kid="rs512", alg="RS512"),
                jwk(ec_key("ours"), kid="private", d="AQAB"),
                {"kty": "oct", "kid": "oct", "k": "AAAA"},
                jwk(ec_key("ours"), kid="good"),
            ]
        }
    )
    assert read(document.encode()).keys() == {("good", "ES256")}


def test_one_mad_key_spoils_no_other_and_two_of_one_id_are_told_apart() -> None:
    keys = [7, None, "x", {"kty": []}, jwk(rsa_key("ours"), kid="1"), jwk(ec_key("ours"), kid="1")]
    keys.append(jwk(rsa_key("ours"), kid="n", n=5))
    assert read(json.dumps({"keys": keys}).encode()).keys() == {("1", "RS256"), ("1", "ES256")}


def test_keys_are_read_in_a_thread() -> None:
    async def check() -> None:
        provider = Provider()
        threads: list[threading.Thread] = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(fetching, "read", lambda _: threads.append(threading.current_thread()) or {})
            await provider.has()
        assert threads[0] is not threading.main_thread()

    asyncio.run(check())


def test_a_provider_that_drips_is_given_up() -> None:
    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not over.wait(0.01):
                connection.sendall(b" ")

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: drip(server.accept()[0]))
        thread.start()
        try:
            with pytest.raises(TimeoutError):
                download(f"http://127.0.0.1:{server.getsockname()[1]}/", seconds_max=0.2)
        finally:
            over.set()
            thread.join()


def test_a_fetch_that_never_ends_is_not_waited_for() -> None:
    over = threading.Event()

    async def check() -> None:
        keys = Keys(JWKS_URL, lambda _: b"x" * over.wait(30), seconds_max=-0.9)
        with pytest.raises(Busy):
            await keys.find("r1", "RS256")
        over.set()

    asyncio.run(check())


def test_events_with_a_token_wait_for_the_first_keys_and_are_not_taken_as_nobodys() -> None:
    def away(_: str) -> bytes:
        raise OSError("away")

    async def check(token: str) -> dict[str, Any]:
        scope: dict[str, Any] = {}
        await Tokens(Settings(**ALL), Keys(JWKS_URL, away)).look(scope, {b"authorization": b"Bearer " + token.encode()})
        return scope

    with pytest.raises(Busy) as busy:
        asyncio.run(check(rs()))
    assert (busy.value.status, busy.value.retry_after_seconds) == (503, 5)
    assert asyncio.run(check(hs())).keys() == {"tripstream.verified"}
    assert asyncio.run(check(hs(exp=1))).keys() == {"tripstream.unverified"}
