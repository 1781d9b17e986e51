"""The doctor calls sick what is, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from schema.settings import Settings
from tripstream.doctor import examine
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
