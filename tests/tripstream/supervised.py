"""A supervisor in a process of its own, for tests to signal and kill. In: what to run, as JSON. Out: its log."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tripstream import embedded, supervisor
from tripstream.embedded import Server
from tripstream.embedded_postgres import Postgres
from tripstream.embedded_valkey import Valkey
from tripstream.supervisor import App, Patience, Supervisor


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

    return App(name, [program, "-c", code], ready if ready_file else None, stop_seconds, inherits)


def without_kernel_signals() -> None:
    """As on macOS, where the kernel does not tell children of our death."""
    for module in (supervisor, embedded):
        module.die_with_parent = lambda *_: None  # type: ignore[attr-defined]


def main(plan: dict[str, Any]) -> int:
    if plan.get("without_kernel_signals"):
        without_kernel_signals()
    servers: list[Server] = [
        {"postgres": Postgres, "valkey": Valkey}[name](Path(plan["state"])).start() for name in plan.get("servers", ())
    ]
    layers = [[app(**entry) for entry in layer] for layer in plan["layers"]]
    running = Supervisor(servers, layers, os.environ, Patience(**plan.get("patience", {})))

    def started() -> None:
        running.say("test", f"all up {' '.join(str(server.pid) for server in servers)}")

    return asyncio.run(running.run(started, stopping=lambda: running.say("stopping", "bye")))


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
