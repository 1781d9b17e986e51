"""Many slow questions at once wait for each other. They hold up neither quick ones nor who asks whether all is well."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reports import events_routes, funnels
from schema.settings import Settings
from tests.ingest.serving import Server, serving
from tests.reports.listening import bearer, key_of

FUNNEL = "/api/stats/funnel?steps=page_view,click_trip"
SLOW_SECONDS = 2


@pytest.fixture
def server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Funnels take two seconds each, and two are answered at once."""

    def slow(connection: Any, *more: Any, of: Any = funnels.funnel) -> Any:
        connection.execute("SELECT pg_sleep(%s)", [SLOW_SECONDS])
        return of(connection, *more)

    monkeypatch.setattr(events_routes, "funnel", slow)
    monkeypatch.setattr(events_routes, "_WAIT_SECONDS_MAX", 0.5)
    with serving(settings.model_copy(update={"read_connections_max": 4})) as running:
        yield running


def test_a_burst_of_slow_questions_holds_up_nobody_else(server: Server) -> None:
    key = bearer(key_of(server.settings, "shop"))

    async def asked() -> tuple[list[int], float]:
        async with server.client() as client:
            slow = [asyncio.create_task(client.get(FUNNEL, headers=key, timeout=60)) for _ in range(60)]
            await asyncio.sleep(0.2)  # all of them are on their way
            began = time.monotonic()
            for path in ("/api/stats/overview", "/readyz", "/metrics", "/api/stats/realtime"):
                assert (await client.get(path, headers=key)).status_code == 200, path
            took = time.monotonic() - began
            return [answer.status_code for answer in await asyncio.gather(*slow)], took

    found, took = server.run(asked())
    assert (found.count(200), found.count(503), len(found)) == (2, 58, 60)
    assert took < SLOW_SECONDS


def test_who_had_to_wait_for_long_is_told_when_to_come_back(server: Server) -> None:
    async def asked() -> Any:
        async with server.client() as client:
            headers = bearer(key_of(server.settings, "shop"))
            answers = await asyncio.gather(*(client.get(FUNNEL, headers=headers, timeout=60) for _ in range(3)))
            again = await client.get(FUNNEL, headers=headers, timeout=60)
            return [one for one in answers if one.status_code == 503], again

    (refused,), again = server.run(asked())
    assert (refused.json()["code"], refused.headers["retry-after"]) == ("busy", "5")
    assert again.status_code == 200  # turns are given back
