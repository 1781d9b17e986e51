"""The demo's own issuer of tokens, where no other is configured: `tripstream up` draws its secret, the demo shop signs
with it. In: settings. Out: whether tokens are the demo's.
"""

from __future__ import annotations

from typing import Final

from schema.settings import Settings

ISSUER: Final = "https://demo-shop.tripstream.invalid"
AUDIENCE: Final = "tripstream-demo-shop"


def signs_in(settings: Settings) -> bool:
    """Whether the demo may say who somebody is: only where nobody else is asked."""
    is_ours = (settings.jwt_issuer, settings.jwt_audience) == (ISSUER, AUDIENCE)
    return is_ours and not settings.jwt_jwks_url and settings.jwt_secret.get_secret_value() != ""
