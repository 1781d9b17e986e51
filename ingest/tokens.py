"""Who a request's token says it is. In: `Authorization: Bearer <JWT>`. Out: verified claims, or why there are none.

The settings, never the token, say which key and algorithm count: a secret verifies HS256 only, a JWKS ES256 and RS256
only, each key for its own. Everything else that a token's header asks for is refused.
"""

from __future__ import annotations

import base64
import time
from typing import Any

import msgspec
from starlette.types import Scope

from ingest import metrics
from ingest.jwks import FRESH_SECONDS, Keys
from schema.errors import Busy, TripstreamError, Unauthorized
from schema.event import Verified
from schema.settings import Settings

_TOKEN_MAX = 8192
_CACHED_MAX = 4096
_TEXT_MAX = 200
_FUTURE_SECONDS = 300.0  # an issuer's clock may run so far ahead
_EARLY_SECONDS = 60.0  # and this long before its time a token counts: clocks differ
_TIME_MAX = 1e15
_HEADER_MAY_HOLD = {"alg", "typ", "kid", "x5t", "x5t#S256"}  # no crit, jku, jwk, x5u, x5c, b64, zip, enc
_TYPES = {"JWT", "AT+JWT", "APPLICATION/AT+JWT"}
_FORGED = "The token does not verify."
_REQUIRED = ["exp", "aud", "iss", "sub"]


class Tokens:
    """Verifies tokens as the settings say."""

    def __init__(self, settings: Settings, keys: Keys | None = None) -> None:
        self._settings = settings
        self._secret = settings.jwt_secret.get_secret_value()
        self._keys = keys or (Keys(settings.jwt_jwks_url) if settings.jwt_jwks_url else None)
        self._cached: dict[str, tuple[float, int, Verified]] = {}

    def prepare(self) -> None:
        """Have the issuer's keys, and what verifies, before the first token comes."""
        if self._secret or self._keys:
            import jwt  # noqa: F401 a tenth of a second, in which nobody else would be answered later
        if self._keys is not None:
            self._keys.prepare()

    async def look(self, scope: Scope, header: dict[bytes, bytes]) -> None:
        """Put the claims of the request's token into its scope, or why there are none. A token is no write key, so it
        is taken out of the headers; whatever is no token stays."""
        scheme, _, value = header[b"authorization"].partition(b" ")
        token = value.strip()
        if scheme.lower() != b"bearer" or token.count(b".") < 2:
            return
        del header[b"authorization"]
        try:
            scope["tripstream.verified"] = await self.verify(token.decode("latin-1"))
        except Busy:  # it may be good: what it came with would be kept as nobody's
            metrics.UNVERIFIED.labels("busy").inc()
            raise
        except TripstreamError as refused:
            metrics.UNVERIFIED.labels(refused.code).inc()
            scope["tripstream.unverified"] = refused

    async def verify(self, token: str) -> Verified:
        """A token's claims. Raises Unauthorized, or Busy while the issuer's keys cannot be had."""
        version = self._keys.version if self._keys else 0
        if (cached := self._cached.get(token)) is not None:
            expires, of, verified = cached
            if of == version and time.time() < expires:
                return verified
            del self._cached[token]
        claims = await self._claims(token)
        verified = read_claims(claims, self._settings.jwt_role_claim)
        if len(self._cached) >= _CACHED_MAX:
            self._cached.clear()
        until = min(float(claims["exp"]), time.time() + FRESH_SECONDS)  # then its key is looked up again
        self._cached[token] = (until, self._keys.version if self._keys else 0, verified)
        return verified

    async def _claims(self, token: str) -> dict[str, Any]:
        if not (self._secret or self._keys):
            raise Unauthorized(
                "No tokens are verified here: TRIPSTREAM_JWT_SECRET or TRIPSTREAM_JWT_JWKS_URL is not set."
            )
        algorithm, key_id = read_header(token)
        if algorithm == "HS256" and self._secret:
            key: Any = self._secret
        elif algorithm in ("ES256", "RS256") and self._keys is not None:
            key = await self._keys.find(key_id, algorithm)
            if key is None:
                raise Unauthorized("The token's key is not one of its issuer's.")
        else:
            raise Unauthorized("The token is signed in a way that is not accepted here.")
        return self._decode(token, key, algorithm)

    def _decode(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        import jwt  # a tenth of a second, which only those pay who verify

        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                options={"require": _REQUIRED, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorized("The token has expired.") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthorized(_FORGED) from None
        now = time.time()
        if _moment(claims, "iat") > now + _FUTURE_SECONDS or _moment(claims, "nbf") > now + _EARLY_SECONDS:
            raise Unauthorized("The token is of the future.")
        _moment(claims, "exp")
        return claims


def _moment(claims: dict[str, Any], name: str) -> float:
    """A claim's time, 0 where there is none. Raises Unauthorized for what is no number that a clock could show."""
    value = claims.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _TIME_MAX:
        raise Unauthorized(_FORGED)
    return float(value)


def read_header(token: str) -> tuple[str, str | None]:
    """What a token says of its signature: algorithm and key id, which only looks a key up. Raises Unauthorized."""
    first, _, rest = token.partition(".")
    if len(token) > _TOKEN_MAX or rest.count(".") != 1 or not token.isascii():
        raise Unauthorized(_FORGED)
    try:
        header = msgspec.json.decode(base64.b64decode(first + "=" * (-len(first) % 4), b"-_", validate=True))
    except (ValueError, RecursionError):
        raise Unauthorized(_FORGED) from None
    if not isinstance(header, dict) or header.keys() - _HEADER_MAY_HOLD:
        raise Unauthorized(_FORGED)
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or not isinstance(kind, str) or kind.upper() not in _TYPES:
        raise Unauthorized(_FORGED)
    if key_id is not None and not isinstance(key_id, str):
        raise Unauthorized(_FORGED)
    return algorithm, key_id


def read_claims(claims: dict[str, Any], role_claim: str) -> Verified:
    """Who the token's claims say it is. An email or a role that is none is left out, and so is an email of which the
    issuer says that nobody proved it. Raises Unauthorized without a usable `sub`."""
    user_id = _text(claims.get("sub"))
    if user_id is None:
        raise Unauthorized("The token has no sub that could be a user.")
    email = _text(claims.get("email"), 320)
    if email is not None and ("@" not in email or claims.get("email_verified", True) is not True):
        email = None
    role: Any = claims
    for name in role_claim.split("."):
        role = role.get(name) if isinstance(role, dict) else None
    return Verified(user_id, email.lower() if email else None, _text(role))


def _text(value: Any, longest: int = _TEXT_MAX) -> str | None:
    """Text that a row can hold and a person could read, as it is."""
    fits = isinstance(value, str) and 0 < len(value) <= longest and value.isprintable() and value.strip() == value
    return value if fits else None
