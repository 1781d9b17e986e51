"""`tripstream up` with stand-ins for its app processes, in a process of its own. In: environment. Out: its log."""

from __future__ import annotations

import socket
import sys

from schema.settings import Settings
from tripstream import up
from tripstream.starting import App

SHOW = (
    "import os, time\n"
    "for name in ('DATABASE_URL', 'REDIS_URL', 'TRIPSTREAM_ADMIN_KEY', 'TRIPSTREAM_PORT'):\n"
    "    print(name, '=', os.environ[name])\n"
    "time.sleep(600)"
)


def layers(settings: Settings, listener: socket.socket) -> list[list[App]]:
    return [[App("show", [sys.executable, "-c", SHOW])]]


if __name__ == "__main__":
    up.layers = layers
    from tripstream.cli import app

    app()
