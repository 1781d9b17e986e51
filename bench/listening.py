"""Live figures: how far five hundred listeners are behind what happens. In: the whole stack, and batches of one event.
Out: from a 202 to the last listener that knows of its event, p95; and the share of a core that the web process needs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable
from pathlib import Path

import httpx
import msgspec

from bench.measured import Measured
from bench.memory import below, program
from bench.rounds import FULL, Scale
from bench.servers import Servers, free_port, stack
from schema.event import new_id, now

LISTENERS = 500
_GIVEN_UP_SECONDS = 30
_REQUEST = b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def measure(servers: Servers, scale: Scale) -> Measured:
    """Batches of one event, one after the other: each when all have heard of the one before."""
    with servers.fresh(port=free_port()) as settings, stack(settings) as supervisor:
        web = next(pid for pid in below(supervisor.pid) if program(pid) == "web")
        delays, idle, busy = asyncio.run(_listen(settings.port, web, 40 if scale == FULL else 3))
    return Measured(
        delays[int(0.95 * len(delays))],
        f"median {delays[len(delays) // 2]:.2f} s, longest {delays[-1]:.2f} s, of {len(delays)}",
        f"{LISTENERS} listeners, {busy:.1%} of a core while events come, {idle:.1%} while none do",
        {"seconds": delays, "idle_share": idle, "busy_share": busy},
    )


async def _listen(port: int, web: int, batches: int) -> tuple[list[float], float, float]:
    heard: dict[int, tuple[float, int]] = {}
    listeners = [asyncio.create_task(_hear(port, heard, number)) for number in range(LISTENERS)]
    try:
        await _all_know(heard, 0)
        idle = await _share(web, asyncio.sleep(5))
        delays: list[float] = []
        busy = await _share(web, _post(port, heard, delays, batches))
    finally:
        for one in listeners:
            one.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)
    return sorted(delays), idle, busy


async def _post(port: int, heard: dict[int, tuple[float, int]], delays: list[float], batches: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for n in range(batches):
            event = {"event_type": "page_view", "session_id": str(new_id(now())), "anonymous_id": str(new_id(now()))}
            (await client.post("/api/events/batch", json={"events": [event]})).raise_for_status()
            accepted = time.monotonic()
            delays.append(await _all_know(heard, n + 1) - accepted)
            await asyncio.sleep(0.1 * (n % 10))  # whatever beats must not beat with us


async def _hear(port: int, heard: dict[int, tuple[float, int]], number: int) -> None:
    """When the newest figures came, and of how many events they knew."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_REQUEST)
    try:
        while line := await reader.readline():
            if line.startswith(b"data: "):
                heard[number] = (time.monotonic(), msgspec.json.decode(line[6:])["lastHalfHour"]["events"])
    finally:
        writer.close()


async def _all_know(heard: dict[int, tuple[float, int]], events: int) -> float:
    """When the last of them did."""
    until = time.monotonic() + _GIVEN_UP_SECONDS
    while len(heard) < LISTENERS or min(known for _, known in heard.values()) < events:
        if time.monotonic() > until:
            raise RuntimeError("a listener was not told")
        await asyncio.sleep(0.02)
    return max(at for at, _ in heard.values())


async def _share(pid: int, work: Awaitable[object]) -> float:
    """The share of a core that a process needed while something was done."""
    spent, began = _cpu_seconds(pid), time.monotonic()
    await work
    return (_cpu_seconds(pid) - spent) / (time.monotonic() - began)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
