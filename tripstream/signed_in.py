"""Whom a request's token is of, for the routes that answer with figures. In: `Authorization: Bearer <JWT>`. Out: its
verified claims in the request's scope, or why there are none; schema/rights.py decides what they open.

Ingest's own routes verify for themselves, and never come here.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ingest.app import answer_error
from ingest.tokens import Tokens
from schema.errors import Busy
from schema.settings import Settings


class SignedIn:
    """Looks at tokens before any route does. The issuer's keys are fetched when the first token comes."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._tokens = Tokens(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"authorization" in (header := dict(scope["headers"])):
            try:
                await self._tokens.look(scope, header)
            except Busy as error:
                await (await answer_error(Request(scope), error))(scope, receive, send)
                return
        await self._app(scope, receive, send)
