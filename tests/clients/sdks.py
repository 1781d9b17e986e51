"""The official SDKs that tests drive, and whether they are installed. In: what `make test` installed. Out: drivers.

Each SDK runs in a process of its own, with its own defaults, and has a site of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
NODE_MODULES = HERE / "node" / "node_modules"
NODE_MIN = 20


@cache
def node_version() -> int:
    """The first number of it; 0 where there is none."""
    program = shutil.which("node")
    if program is None:
        return 0
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.removeprefix("v").split(".")[0])


class Sdk(NamedTuple):
    """`package` is its name in its registry, `site` the one it reports to."""

    site: str
    package: str
    script: str

    @property
    def is_python(self) -> bool:
        return self.script.endswith(".py")

    def missing(self) -> str:
        """What is not there and keeps it from being driven; empty when all is."""
        if self.is_python:
            return "" if (PYTHON.parents[1] / "stamp").exists() else "its Python package is not installed"
        if node_version() < NODE_MIN:
            return f"Node {NODE_MIN} or newer is not installed"
        return "" if (NODE_MODULES / "stamp").exists() else "its Node package is not installed"

    def drive(self, url: str, key: str, count: int, seconds: float, log: Path) -> Drive:
        """Make it ready to send `count` events, spread over so many seconds, whenever it is told to go on."""
        program = str(PYTHON if self.is_python else shutil.which("node"))
        argv = [program, str(HERE / self.script), url, key, str(count), str(seconds)]
        foreign = {name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("PYTHON")}
        environment = {name: value for name, value in os.environ.items() if name not in foreign}
        with log.open("w") as words:
            child = subprocess.Popen(
                argv, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words
            )
        return Drive(self, child, log)


class Drive(NamedTuple):
    """An SDK that is sending."""

    sdk: Sdk
    child: subprocess.Popen[str]
    log: Path

    def go_on(self) -> None:
        """Send."""
        assert self.child.stdin
        self.child.stdin.write("\n")
        self.child.stdin.flush()

    def report(self, seconds_max: float) -> dict[str, object]:
        """Let it finish. What it sent, and what its failure callback was told."""
        out, _ = self.child.communicate(timeout=seconds_max)
        words = self.log.read_text()[-2000:]
        assert self.child.returncode == 0, f"{self.sdk.package} ended with {self.child.returncode}:\n{words}"
        return dict(json.loads(out.splitlines()[-1]))

    def end(self) -> None:
        """Whatever it does: nothing of it is left."""
        self.child.kill()
        self.child.wait()
        for pipe in filter(None, (self.child.stdin, self.child.stdout)):
            pipe.close()


SDKS = (
    Sdk("segment-python", "segment-analytics-python", "python/drive_segment.py"),
    Sdk("rudder-python", "rudder-sdk-python", "python/drive_rudder.py"),
    Sdk("posthog-python", "posthog", "python/drive_posthog.py"),
    Sdk("segment-node", "@segment/analytics-node", "node/drive_segment.mjs"),
    Sdk("rudder-node", "@rudderstack/rudder-sdk-node", "node/drive_rudder.mjs"),
    Sdk("posthog-node", "posthog-node", "node/drive_posthog.mjs"),
)
