"""Embedded Valkey, from a wheel's program.

In: the state directory and a memory limit. Out: a server on a Unix socket whose every reply follows an fsync of what
it answers for. After a crash the append-only file is read back; a torn last command in it was never answered.
"""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from urllib.parse import quote

from tripstream import binaries
from tripstream.embedded import Server
from tripstream.state import own_dir

OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "set-proc-title": "no",  # the command line is how an orphan is told from a stranger
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "aof-load-truncated": "yes",
    "auto-aof-rewrite-percentage": "100",
    "auto-aof-rewrite-min-size": "128mb",  # the drained part of a stream leaves the file here
    "save": "",
    "stop-writes-on-bgsave-error": "no",
    "maxmemory-policy": "noeviction",
    "maxclients": "2000",
}


class Valkey(Server):
    name = "valkey"
    program = "-server"  # valkey-server, or redis-server
    stop_signal = signal.SIGTERM
    hurry_signal = signal.SIGKILL  # nothing acknowledged is unsynced

    def __init__(self, state: Path, bytes_max: int = 512 << 20) -> None:
        super().__init__(state)
        self.bytes_max = bytes_max

    @property
    def socket(self) -> Path:
        return self.sockets / "valkey.sock"

    def url(self) -> str:
        return f"unix://{quote(str(self.socket), safe='/')}"

    def argv(self) -> list[str]:
        data = self.state / "valkey"
        self.pid_file = data / "valkey.pid"
        program = binaries.valkey(self.state)
        own_dir(data)
        options = OPTIONS | {
            "unixsocket": str(self.socket),
            "dir": str(data),
            "pidfile": str(self.pid_file),
            "maxmemory": str(self.bytes_max),
        }
        return [str(program), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")  # -LOADING while it reads the file
        except OSError:
            return False
