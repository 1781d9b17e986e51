"""Sign-in for the demo only. In: an email, typed into a page of ours on this machine. Out: a token of the demo's
issuer, good for an hour, as an issuer hands it over: in the fragment of the callback's address, which no server sees.

Nobody proves that the email is theirs, so this answers where no other issuer's tokens count, and only this machine.
"""

from __future__ import annotations

import re
import time
from hashlib import sha256
from urllib.parse import urlencode

from schema import demo
from schema.errors import InvalidRequest
from schema.settings import Settings

CALLBACK = "/auth/callback"
_SECONDS = 3600
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@]{1,190}\.[^\s@.]{2,60}")


def token(settings: Settings, email: str, now: float) -> str:
    """Whose user id is drawn from the email. Raises InvalidRequest for what is no address."""
    import jwt  # a tenth of a second, which only those pay who sign in

    said = email.strip().lower()
    if not _EMAIL.fullmatch(said) or not said.isprintable():
        raise InvalidRequest(fields=[("email", "is no address like noa@example.com")])
    claims = {
        "iss": demo.ISSUER,
        "aud": demo.AUDIENCE,
        "sub": f"demo-{sha256(said.encode()).hexdigest()[:24]}",
        "email": said,
        "iat": int(now),
        "exp": int(now) + _SECONDS,
    }
    return jwt.encode(claims, settings.jwt_secret.get_secret_value(), algorithm="HS256")


def back(settings: Settings, email: str, after: str) -> str:
    """Where the browser goes on. Raises InvalidRequest."""
    asked = urlencode({"next": after})
    return f"{CALLBACK}?{asked}#{urlencode({'access_token': token(settings, email, time.time())})}"
