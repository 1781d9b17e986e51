"""A supervisor in a process of its own, for tests to signal and kill. In: what to run, as JSON. Out: its log."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tripstream import embedded, starting
from tripstream.embedded import Server
from tripstream.embedded_postgres import Postgres
from tripstream.embedded_valkey import Valkey
from tripstream.nursery import Nursery
from tripstream.starting import App
from tripstream.supervisor import Patience, Supervisor


def app(
    name: str,
    code: str,
    ready_file: str = "",
    stop_seconds: float = 20,
    program: str = sys.executable,
    inherits: Sequence[int] = (),
) -> App:
    async def ready() -> bool:
        return await asyncio.to_thread(Path(ready_file).exists)

    return App(
        name, [program, "-m", "tests.tripstream.program", code], ready if ready_file else None, stop_seconds, inherits
    )


def without_kernel_signals() -> None:
    """As on macOS, where the kernel does not tell children of our death."""
    for module in (starting, embedded):
        module.die_with_parent = lambda *_: None  # type: ignore[attr-defined]


def main(plan: dict[str, Any]) -> int:
    if plan.get("without_kernel_signals"):
        without_kernel_signals()
    servers: list[Server] = [
        {"postgres": Postgres, "valkey": Valkey}[name](Path(plan["state"])).start() for name in plan.get("servers", ())
    ]
    layers = [[app(**entry) for entry in layer] for layer in plan["layers"]]
    nursery = Nursery() if plan.get("forked") else None
    running = Supervisor(servers, layers, os.environ, Patience(**plan.get("patience", {})), nursery)

    def started() -> None:
        running.say("test", f"all up {' '.join(str(server.pid) for server in servers)}")
        running.say("test", f"nursery {nursery and nursery.pid}")

    return asyncio.run(running.run(started, stopping=lambda: running.say("stopping", "bye")))


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
