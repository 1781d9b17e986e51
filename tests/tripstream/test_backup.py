"""Backup and restore as the README says it, line by line, from one Postgres to another."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from schema.event import new_id, now
from schema.settings import Settings
from tests.conftest import Servers
from tests.make import canonical
from tests.workers.pipeline import pipeline, visit
from workers import upkeep

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    """The README's, of backup and restore."""
    shown = re.search(r"\*\*Backup\.\*\*.*?```\n(.*?)```.*?```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown
    return (shown[1] + shown[2]).strip().splitlines()


def test_a_backup_restored_on_new_servers_adds_up_and_takes_events(
    settings: Settings, own_servers: Callable[[], Servers], tmp_path: Path
) -> None:
    backup, *restore = commands()
    assert "pg_dump" in backup and "psql" in restore[0] and len(restore) == 4
    new = own_servers().settings()
    with pipeline(settings) as pipe:
        pipe.send(canonical(1), visit(2, 1), canonical(3, trip_id=0))
        upkeep.mirror(settings)
        run(backup, settings, tmp_path)
        pipe.send(canonical(4))
    for command in [*restore, backup, *restore]:  # what was restored can be backed up and restored
        run(command, new, tmp_path)
    with pipeline(new) as pipe:
        assert pipe.value("SELECT count(*) FROM events") == 2
        pipe.send(canonical(1), canonical(5), batch_id=new_id(now()))
        upkeep.mirror(new)
        assert pipe.value("SELECT count(*) FROM events") == 3
        assert pipe.problems() == []


def run(command: str, settings: Settings, place: Path) -> None:
    """As pasted; the script is this Python's."""
    ours = command.replace(".venv/bin/tripstream", f"{shlex.quote(sys.executable)} -m tripstream")
    assert ours != command
    environment = os.environ | {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        ["/bin/sh", "-c", ours], env=environment, cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
