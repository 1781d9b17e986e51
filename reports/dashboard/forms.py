"""What a form of the dashboard says. In: a request's body. Out: its fields; TooLarge beyond 4 MiB (an event's text
grows threefold in a form), and Forbidden where no page of ours sent it.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request

from reports.dashboard.signing_in import is_from_here
from schema.errors import Forbidden, TooLarge

_BYTES_MAX = 4 << 20
_ELSEWHERE = "This has to be sent by a page of ours."


async def form(request: Request) -> dict[str, str]:
    """The fields, for `Depends`."""
    if not is_from_here(request):
        raise Forbidden(_ELSEWHERE)
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _BYTES_MAX:
            raise TooLarge()
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
