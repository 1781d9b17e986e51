"""Tokens: the forged ones count for nothing, whatever they ask for; the settings alone say what is good."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import jwt
import pytest

from ingest import tokens
from ingest.jwks import FRESH_SECONDS, Keys
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
