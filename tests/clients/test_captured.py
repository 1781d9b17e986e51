"""Requests of SDKs that the suite does not run. In: what they put on the wire. Out: one event each, however often sent.

A sender that missed the answer sends again, and a browser retries by itself, within milliseconds of the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from schema.settings import Settings
from tests.clients.captured import SEEN, Request
from tests.ingest.serving import Server, Site, add_site, serving

MANY = 20
AT_ONCE = 16


@pytest.fixture
def site(settings: Settings) -> Iterator[Site]:
    with serving(settings) as server:
        key = add_site(settings, "shop")
        server.look()
        yield Site(server, "shop", key)


async def thrice(server: Server, requests: list[Request]) -> set[tuple[str, int]]:
    """Send each twice at the same time, and once more. Which statuses came from which paths."""
    found: set[tuple[str, int]] = set()
    room = asyncio.Semaphore(AT_ONCE)
    async with server.client() as client:

        async def send(one: Request) -> None:
            answer = await client.post(one.path, content=one.body, headers=one.headers)
            assert isinstance(answer.json(), dict)
            found.add((one.path, answer.status_code))

        async def again(one: Request) -> None:
            async with room:
                await asyncio.gather(send(one), send(one))
                await send(one)

        await asyncio.gather(*map(again, requests))
    return found


def test_each_is_answered_with_200_and_is_one_event(site: Site) -> None:
    requests = [make(site.key, number) for number in range(MANY) for make in SEEN]
    assert site.server.run(thrice(site.server, requests)) == {(request.path, 200) for request in requests}
    assert sorted(site.rows("event_type")) == sorted((request.event_type,) for request in requests)
    assert site.figures() == (3 * len(requests), len(requests), 2 * len(requests), 0)
