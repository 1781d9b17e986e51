"""The embedded servers on real processes: start, crash, recovery, locks, odd pid files, odd directories."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis

from schema.errors import ConfigError, StorageError
from schema.settings import Settings
from tests.conftest import Servers
from tests.tripstream.waiting import gone, until
from tripstream import embedded_postgres
from tripstream import state as state_module
from tripstream.embedded import Server
from tripstream.embedded_postgres import Postgres
from tripstream.embedded_valkey import Valkey


@pytest.fixture(scope="module")
def cluster(own_state: Callable[[], Path]) -> Iterator[Postgres]:
    server = Postgres(own_state())
    yield server
    server.stop(immediate=True)


@pytest.fixture
def postgres(cluster: Postgres) -> Postgres:
    """Running, whatever the test before did to it: initdb takes most of a test's second."""
    if cluster.poll() is not None:
        cluster.start()
    return cluster


@pytest.fixture
def valkey(state: Path) -> Iterator[Valkey]:
    server = Valkey(state).start()
    yield server
    server.stop(immediate=True)


def query(server: Postgres, sql: str) -> object:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        cursor = connection.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def test_both_listen_on_a_private_socket_and_on_no_port(postgres: Postgres, valkey: Valkey) -> None:
    assert query(postgres, "SHOW listen_addresses") == ""
    with redis.Redis.from_url(valkey.url()) as client:
        assert client.config_get("port") == {"port": "0"}
    assert postgres.sockets.stat().st_mode & 0o777 == 0o700


def test_an_acknowledged_write_is_synced_in_both(postgres: Postgres, valkey: Valkey) -> None:
    assert [query(postgres, f"SHOW {name}") for name in ("fsync", "synchronous_commit")] == ["on", "on"]
    with redis.Redis.from_url(valkey.url()) as client:
        found = client.config_get("append*", "maxmemory*")
    assert (found["appendonly"], found["appendfsync"]) == ("yes", "always")
    assert (found["maxmemory"], found["maxmemory-policy"]) == (str(512 << 20), "noeviction")


def test_kill_9_of_postgres_loses_no_commit(postgres: Postgres) -> None:
    query(postgres, "CREATE TABLE killed AS SELECT 42 AS answer")
    postgres.kill()
    postgres.start()
    assert query(postgres, "SELECT answer FROM killed") == 42


def test_an_immediate_stop_loses_no_commit(postgres: Postgres) -> None:
    query(postgres, "CREATE TABLE stopped AS SELECT 42 AS answer")
    postgres.stop(immediate=True)
    postgres.start()
    assert query(postgres, "SELECT answer FROM stopped") == 42


def test_a_busy_client_does_not_hold_up_an_ordered_stop(postgres: Postgres) -> None:
    with closing(psycopg.connect(postgres.url())) as connection:
        connection.execute("SELECT 1")
        began = time.monotonic()
        postgres.stop()
        assert time.monotonic() - began < 10


def test_kill_9_of_valkey_keeps_its_keys(valkey: Valkey) -> None:
    with redis.Redis.from_url(valkey.url()) as client:
        client.set("kept", "42")
    valkey.kill()
    valkey.start()
    with redis.Redis.from_url(valkey.url()) as client:
        assert client.get("kept") == b"42"


@pytest.mark.parametrize("kind", [Postgres, Valkey])
def test_a_second_start_on_the_same_data_is_refused(state: Path, kind: Callable[[Path], Server]) -> None:
    first = kind(state).start()
    try:
        with pytest.raises(ConfigError, match=rf"already running on {state}, pid {os.getpid()}; .*TRIPSTREAM_STATE"):
            kind(state).start()
        assert first.poll() is None
    finally:
        first.stop()
    kind(state).start().stop()


@pytest.mark.parametrize("content", ["", "12", "not a pid\n", "{other}\n/somewhere\n"])
def test_a_stale_or_torn_pid_file_does_not_stop_postgres(postgres: Postgres, content: str) -> None:
    postgres.kill()
    postgres.pid_file.write_text(content.format(other=os.getppid()))
    postgres.start()
    assert query(postgres, "SELECT 1") == 1


def _own(script: str, state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, str(state)], stdout=subprocess.PIPE, text=True)


def test_servers_do_not_outlive_a_killed_parent(state: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from tripstream.embedded_postgres import Postgres; from tripstream.embedded_valkey import Valkey\n"
        "s = Path(sys.argv[1]); print(Postgres(s).start().pid, Valkey(s).start().pid, flush=True); time.sleep(600)"
    )
    with _own(script, state) as parent:
        assert parent.stdout
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    until(lambda: all(gone(pid) for pid in pids), "both servers end")


@pytest.mark.parametrize("kind", [Postgres, Valkey])
def test_an_orphan_is_stopped_before_a_new_start(state: Path, kind: Callable[[Path], Server]) -> None:
    orphan = kind(state).start()
    orphan._release()  # as after kill -9 of its parent where the kernel sends no signal
    new = kind(state)
    try:
        new.start()
        assert orphan.poll() is not None
        assert new.poll() is None
    finally:
        new.stop(immediate=True)
        orphan.stop(immediate=True)


def test_a_deep_state_directory_gets_a_short_socket_path(state: Path) -> None:
    deep = state / ("with spaces and é " * 6).strip()
    server, other = Postgres(deep), Valkey(deep)
    try:
        assert query(server.start(), "SELECT 1") == 1
        with redis.Redis.from_url(other.start().url()) as client:
            assert client.ping()
        assert deep not in server.sockets.parents
    finally:
        server.stop(immediate=True)
        other.stop(immediate=True)
        shutil.rmtree(server.sockets)


def test_a_name_with_spaces_and_accents_works(state: Path) -> None:
    server, other = Postgres(state / "é %40 x"), Valkey(state / "é %40 x")
    try:
        assert query(server.start(), "SELECT 1") == 1
        with redis.Redis.from_url(other.start().url()) as client:
            assert client.ping()
    finally:
        server.stop(immediate=True)
        other.stop(immediate=True)


def test_a_strange_environment_does_not_reach_postgres(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "LC_ALL": "xx_YY",
        "LANG": "zz",
        "PGPORT": "1",
        "PGDATA": "/nowhere",
        "PGOPTIONS": "-x",
    }.items():
        monkeypatch.setenv(name, value)
    server = Postgres(state)
    server.launch()
    try:
        until(server.ready, "Postgres answers")
    finally:
        server.stop()


def test_a_small_dev_shm_is_worked_around(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_postgres, "SHARED_MEMORY_BYTES_MIN", 1 << 60)
    server = Postgres(state).start()
    try:
        if sys.platform == "linux":
            assert query(server, "SHOW dynamic_shared_memory_type") == "mmap"
    finally:
        server.stop(immediate=True)


def test_a_failed_start_says_why_and_leaves_nothing(state: Path) -> None:
    server = Postgres(state, {"shared_buffers": "nonsense"})
    with pytest.raises(StorageError, match="nonsense"):
        server.start()
    Postgres(state).start().stop()


def test_data_of_another_major_version_is_not_passed_over(state: Path) -> None:
    (state / "pg11").mkdir()
    with pytest.raises(ConfigError, match="holds the data of pg11"):
        Postgres(state).start()


def test_somebody_elses_socket_directory_is_refused(state: Path) -> None:
    (state / "elsewhere").mkdir()
    (state / "run").symlink_to(state / "elsewhere")
    with pytest.raises(ConfigError, match="not a directory of ours"):
        Valkey(state).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops privileges")
def test_root_is_told_when_the_servers_cannot_reach_the_state(state: Path) -> None:
    state.chmod(0o700)
    with pytest.raises(ConfigError, match=f"may not pass {state}"):
        Valkey(state / "inside").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops privileges")
def test_root_runs_the_servers_as_someone_else(postgres: Postgres, valkey: Valkey) -> None:
    user = state_module.server_user()
    assert user
    for server in (postgres, valkey):
        assert Path(f"/proc/{server.pid}").stat().st_uid == user.pw_uid != 0


def test_every_test_gets_a_database_of_its_own(settings: Settings, servers: Servers) -> None:
    with psycopg.connect(settings.database_url) as connection:
        row = connection.execute("SELECT current_database(), to_regclass('schema_version')").fetchone()
    assert row and row[0].startswith("test_") and row[1]


def test_private_servers_recover_from_kill_9(own_servers: Callable[[], Servers]) -> None:
    both = own_servers()
    os.kill(both.postgres.pid, signal.SIGKILL)
    until(lambda: both.postgres.poll() is not None, "it is dead")
    both.postgres.start()
    assert query(both.postgres, "SELECT count(*) FROM schema_version") == 1
