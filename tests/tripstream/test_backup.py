"""Backup and restore as the README says it, line by line, from one Postgres to another; and what may go wrong."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from schema.errors import InvalidRequest, StorageError
from schema.event import new_id, now
from schema.settings import Settings
from tests.conftest import Servers
from tests.make import batch, canonical
from tests.workers.pipeline import Pipeline, pipeline, visit
from tripstream.backup import backup, restore
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
    save, load = commands()
    assert " backup " in save and " restore " in load
    new = own_servers().settings()
    with pipeline(settings) as pipe:
        pipe.send(canonical(1), visit(2, 1), canonical(3, trip_id=0))
        assert "2 events" in run(save, settings, tmp_path)
        pipe.send(canonical(4))
    assert "everything agrees" in run(load, new, tmp_path)
    with pipeline(new) as pipe:
        assert stored(pipe) == 2
        pipe.send(canonical(1), canonical(5), batch_id=new_id(now()))
        upkeep.mirror(new)
        assert stored(pipe) == 3
        assert pipe.problems() == []


def test_a_database_that_holds_events_is_replaced_only_when_that_is_said(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "one.backup"
    with pipeline(settings) as pipe:
        pipe.send(canonical(1))
        backup(settings, file)
        pipe.send(canonical(2))
        with pytest.raises(InvalidRequest, match=r"2 events.*--replace"):
            restore(settings, file, quiet)
        assert stored(pipe) == 2
    report = restore(settings, file, quiet, replace=True)
    assert report.problems == ["site default: 1 accepted events are nowhere"]  # this Redis outlived what it promised
    with pipeline(settings) as pipe:
        assert stored(pipe) == 1


@pytest.mark.parametrize("keep", [0, 20, 0.9])
def test_a_broken_file_leaves_what_was_there(settings: Settings, tmp_path: Path, keep: float) -> None:
    file, broken = tmp_path / "whole.backup", tmp_path / "broken.backup"
    with pipeline(settings) as pipe:
        pipe.send(canonical(1), canonical(2))
        whole = backup(settings, file)
        broken.write_bytes(file.read_bytes()[: int(keep * whole.size) if keep < 1 else int(keep)])
        with pytest.raises(StorageError, match=r"pg_restore|psql"):
            restore(settings, broken, quiet, replace=True)
        assert stored(pipe) == 2
        assert pipe.problems() == []


def test_a_backup_is_private_and_never_written_over_another_file(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "one.backup"
    backup(settings, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(InvalidRequest, match="is there already"):
        backup(settings, file)
    assert [path.name for path in tmp_path.iterdir()] == ["one.backup"]


def test_a_backup_says_what_is_still_queued(settings: Settings, tmp_path: Path) -> None:
    with pipeline(settings) as pipe:
        pipe.accept(batch(canonical(1)))
        assert backup(settings, tmp_path / "one.backup").queued == 1


def quiet(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def stored(pipe: Pipeline) -> int:
    return int(pipe.value("SELECT count(*) FROM events"))


def run(command: str, settings: Settings, place: Path) -> str:
    """As pasted; the script is this Python's. Returns what it said."""
    ours = command.replace(".venv/bin/tripstream", f"{shlex.quote(sys.executable)} -m tripstream")
    assert ours != command
    environment = os.environ | {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        ["/bin/sh", "-c", ours], env=environment, cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
