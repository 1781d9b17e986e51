"""An identity provider. In: what is wrong with a token. Out: the token, signed; and the provider's JWKS."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

SECRET = "a-secret-of-the-provider-of-more-than-32-bytes"
ISSUER, AUDIENCE = "https://x.supabase.co/auth/v1", "authenticated"
JWKS_URL = "https://x.supabase.co/auth/v1/.well-known/jwks.json"
HS = {"jwt_secret": SECRET, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
ALL = HS | {"jwt_jwks_url": JWKS_URL}


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: Any, **more: Any) -> dict[str, Any]:
    made = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return made.to_jwk(key.public_key(), as_dict=True) | {"use": "sig"} | more


@cache
def jwks() -> bytes:
    return json.dumps(
        {
            "keys": [
                jwk(rsa_key("ours"), kid="r1", alg="RS256"),
                jwk(ec_key("ours"), kid="e1", alg="ES256"),
                {"kty": "oct", "kid": "o1", "k": "c2VjcmV0", "alg": "HS256"},
            ]
        }
    ).encode()


def claims(**overrides: Any) -> dict[str, Any]:
    now = int(time.time())
    ordinary = {
        "sub": "ann",
        "email": "Ann@Example.com",
        "role": "authenticated",
        "aud": AUDIENCE,
        "iss": ISSUER,
        "iat": now,
        "exp": now + 3600,
    }
    return {name: value for name, value in (ordinary | overrides).items() if value is not ...}


def hs(secret: str = SECRET, headers: dict[str, Any] | None = None, **overrides: Any) -> str:
    return jwt.encode(claims(**overrides), secret, "HS256", headers=headers)


def rs(name: str = "ours", headers: dict[str, Any] | None = None, **overrides: Any) -> str:
    return jwt.encode(claims(**overrides), rsa_key(name), "RS256", headers={"kid": "r1"} | (headers or {}))


def es(name: str = "ours", headers: dict[str, Any] | None = None, **overrides: Any) -> str:
    return jwt.encode(claims(**overrides), ec_key(name), "ES256", headers={"kid": "e1"} | (headers or {}))


def encoded(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw(header: Any, body: Any, key: bytes = SECRET.encode()) -> str:
    """Signed with HMAC as no library would: whatever the header, whatever the key."""
    text = f"{encoded(header)}.{encoded(body)}"
    return f"{text}.{encoded(hmac.new(key, text.encode(), hashlib.sha256).digest())}"
