"""Pooled readers: two tenants on one pool at once, what a borrower leaves behind, and a Postgres that was away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from schema import db, pools
from schema.db import Scope
from schema.errors import Busy, ConfigError
from schema.settings import Settings
from tests.schema.test_row_security import fill

SITES = "SELECT DISTINCT site_id FROM daily_stats"
READERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def filled(settings: Settings) -> None:
    with psycopg.connect(settings.database_url) as owner:
        fill(owner)


def sites(settings: Settings, scope: Scope, **more: bool) -> list[str]:
    with db.reading(settings, scope, **more) as connection:
        return [site for (site,) in connection.execute(SITES)]


def test_a_hundred_threads_of_two_tenants_on_one_pool_see_their_own_rows(settings: Settings) -> None:
    filled(settings)
    small = settings.model_copy(update={"read_connections_max": 4})

    def work(n: int) -> set[str]:
        scopes = (Scope("ab"[n % 2]), Scope("ab"[n % 2], ("ann", "bob")[n % 4 // 2]))
        found = set()
        for turn in range(20):
            with db.reading(small, scopes[turn % 2], fresh=turn % 3 == 0) as connection:
                rows = connection.execute("SELECT site_id, owner_code FROM daily_user_stats").fetchall()
                sees_all = scopes[turn % 2].auth_user_id is None
                assert len(rows) == (2 if sees_all else 1), (scopes[turn % 2], rows)
                found |= {site for site, _ in rows}
                if turn % 5 == 0:
                    connection.execute("SELECT set_config('app.site_id', 'b', false)")
                if turn % 7 == 0:
                    with pytest.raises(psycopg.Error):
                        connection.execute("SELECT 1 / 0")
        return found

    with ThreadPoolExecutor(100) as threads:
        found = list(threads.map(work, range(100)))
    assert found == [{"ab"[n % 2]} for n in range(100)]
    with psycopg.connect(settings.database_url) as owner:
        assert 1 <= owner.execute(READERS).fetchall()[0][0] <= 4


def test_what_each_question_begins_with_is_parsed_once(settings: Settings) -> None:
    one = settings.model_copy(update={"read_connections_max": 1})
    for _ in range(3):
        with db.reading(one, Scope("a")) as connection:
            prepared = "SELECT count(*), max(generic_plans + custom_plans) FROM pg_prepared_statements"
            ((statements, times),) = connection.execute(prepared).fetchall()
            assert connection.execute("SHOW max_parallel_workers_per_gather").fetchall() == [("0",)]
    assert (statements, times) == (1, 3)


def test_nothing_that_a_borrower_sets_reaches_the_next(settings: Settings) -> None:
    filled(settings)
    one = settings.model_copy(update={"read_connections_max": 1})
    for spoil in (
        "SELECT set_config('app.site_id', 'b', false)",
        "SET SESSION statement_timeout = 1; SET app.auth_user_id = 'ann'",
        "RESET ROLE",
        "SET TimeZone = 'Asia/Kathmandu'; COMMIT",
        "SET app.site_id = 'b'; SET ROLE tripstream_writer; COMMIT",
    ):
        with db.reading(one, Scope("a")) as connection:
            pid = connection.info.backend_pid
            connection.execute(spoil)
        with db.reading(one, Scope("a")) as connection:
            assert connection.info.backend_pid == pid
            assert connection.execute(SITES).fetchall() == [("a",)], spoil
            shown = "SELECT current_user, current_setting('statement_timeout'), current_setting('TimeZone')"
            assert connection.execute(shown).fetchall() == [("tripstream_reader", "20s", "UTC")], spoil
        assert sites(one, Scope("")) == [], spoil


def test_after_its_transaction_a_reader_sees_nothing(settings: Settings) -> None:
    filled(settings)
    with db.reading(settings, Scope("a")) as connection:
        connection.commit()
        assert connection.execute(SITES).fetchall() == []
        assert connection.execute("SELECT current_user").fetchall() == [("tripstream_reader",)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TEMP TABLE mine ()")


def test_a_reader_sees_one_moment_unless_it_asks_to_see_each(settings: Settings) -> None:
    filled(settings)
    for fresh, expected in ((False, 1), (True, 0)):
        with db.reading(settings, Scope("a"), fresh=fresh) as connection, db.connect(settings) as writer:
            count = "SELECT count(*) FROM daily_stats"
            assert connection.execute(count).fetchall() == [(1,)]
            writer.execute("DELETE FROM daily_stats WHERE site_id = 'a'")
            assert connection.execute(count).fetchall() == [(expected,)]
            writer.execute("INSERT INTO daily_stats VALUES ('a', '2026-01-02', 1, 1, '{}', '')")


def test_when_all_connections_are_in_use_it_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    one = settings.model_copy(update={"read_connections_max": 1})
    monkeypatch.setattr(pools, "_SECONDS_MAX", 0.1)
    with db.reading(one, Scope("a")), pytest.raises(Busy, match="All 1 connections"), db.reading(one, Scope("a")):
        pass
    assert sites(one, Scope("a")) == []


def test_connections_that_were_killed_cost_nobody_an_answer(settings: Settings) -> None:
    filled(settings)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: sites(settings, Scope("a")), range(40))) == [["a"]] * 40
        with psycopg.connect(settings.database_url, autocommit=True) as owner:
            killed = owner.execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                                   " WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip
            assert killed.fetchall()[0][0] >= 1
        assert list(threads.map(lambda _: sites(settings, Scope("b")), range(40))) == [["b"]] * 40


def test_what_is_missing_is_told(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="make up"):
        sites(Settings(database_url=""), Scope("a"))
    wrong = settings.model_copy(update={"database_read_url": "postgresql://u:pa@s3cret@h/x"})
    with pytest.raises(ConfigError, match="DATABASE_READ_URL is no URL like") as caught:
        sites(wrong, Scope("a"))
    assert "s3cret" not in caught.value.message
