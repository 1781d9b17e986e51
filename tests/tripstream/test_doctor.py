"""The doctor calls sick what is, and nothing else."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from schema.settings import Settings
from tripstream.doctor import examine
from workers import upkeep
from workers.clock import CHORES, Chore


def chores(settings: Settings) -> dict[str, bool | None]:
    return {found.what.split()[1]: found.good for found in examine(settings) if found.what.startswith("chore ")}


def tick(settings: Settings, chore: str, ago: timedelta, *, done: bool) -> None:
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "INSERT INTO clock_ticks (chore, slot, enqueued_at, finished_at)"
            " SELECT %s, at, at, CASE WHEN %s THEN at END FROM (SELECT now() - %s) AS t (at)",
            (chore, done, ago),
        )


def test_straight_after_the_first_start_no_chore_fails(settings: Settings) -> None:
    assert chores(settings) == {chore.name: None for chore in CHORES}
    for chore in CHORES:
        tick(settings, chore.name, timedelta(seconds=1), done=False)
    assert chores(settings) == {chore.name: None for chore in CHORES}


@pytest.mark.parametrize("chore", CHORES, ids=lambda chore: chore.name)
def test_a_chore_is_late_after_its_own_period_and_five_minutes(settings: Settings, chore: Chore) -> None:
    tick(settings, chore.name, 2 * chore.every + timedelta(minutes=10), done=True)
    for ago in (timedelta(seconds=1), chore.every, chore.every + timedelta(seconds=290)):
        tick(settings, chore.name, ago, done=False)
    assert chores(settings)[chore.name] is True
    tick(settings, chore.name, chore.every + timedelta(seconds=301), done=False)
    assert chores(settings)[chore.name] is False


def found(settings: Settings, what: str) -> bool | None:
    return next(one.good for one in examine(settings) if one.what == what)


def test_a_snapshot_that_is_missing_or_of_another_day_is_a_warning(settings: Settings, tmp_path: Path) -> None:
    here = settings.model_copy(update={"state": tmp_path})
    assert found(here, "catalogue snapshot") is None
    file = tmp_path / "catalogue.snapshot"
    file.write_bytes(b"")
    assert found(here, "catalogue snapshot") is True
    os.utime(file, (time.time() - 26 * 3600,) * 2)
    assert found(here, "catalogue snapshot") is None


def test_a_missing_partition_of_requests_is_a_warning(settings: Settings) -> None:
    upkeep.partitions(settings)
    assert found(settings, "next month's requests") is True
    with psycopg.connect(settings.database_url) as connection:
        query = (
            "SELECT format('DROP TABLE %I', 'recommendation_requests_'"
            " || to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYY_MM'))"
        )
        connection.execute(connection.execute(query).fetchall()[0][0])
    assert found(settings, "next month's requests") is None
