"""`tripstream up` and the commands that find what it started; stand-ins take the place of the app processes."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
from pydantic import SecretStr

from schema import demo
from schema.errors import ConfigError
from schema.registry import KEY
from schema.settings import Settings
from tests import make
from tests.conftest import Servers
from tests.tripstream.starting import Up, descendants, free_port
from tests.tripstream.waiting import gone, until
from tripstream import running, serve
from tripstream.state import claim
from tripstream.up import _demo_issuer, environment, layers, signals_interrupt


def test_up_migrates_announces_and_says_where_it_is(up: Callable[..., Up]) -> None:
    one = up().is_up()
    known = running.connect(Settings(state=one.state))
    with psycopg.connect(known.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM sites").fetchone() is not None
    with redis.Redis.from_url(known.redis_url) as client:
        assert client.exists(KEY)
    address = f"http://127.0.0.1:{one.environment['TRIPSTREAM_PORT']}"
    last = f"to see it work, open {address}/ and {address}/dashboard"
    until(lambda: last in one.log(), "it says where to look")
    own = [line for line in one.log().splitlines() if line.startswith("tripstream ")]
    assert own[-1].endswith(last)
    assert str(one.state) in one.log()
    shown = re.search(r"look inside: (.*? psql);", one.log())
    assert shown
    asked = f"{shown[1]} -Atc 'SELECT site_id FROM sites'"
    done = subprocess.run(["/bin/sh", "-c", asked], env=one.environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("default\n", "")


def test_other_commands_find_the_servers_while_up_runs(up: Callable[..., Up]) -> None:
    one = up().is_up()
    shown = subprocess.run(
        [sys.executable, "-m", "tripstream", "dsn"], env=one.environment, capture_output=True, text=True, check=True
    )
    with psycopg.connect(shown.stdout.strip()) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("tripstream",)


def test_the_admin_key_is_private_given_to_children_and_kept(up: Callable[..., Up]) -> None:
    one = up().is_up()
    path = one.state / "admin.key"
    key = path.read_text().strip()
    assert len(key) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert (one.state / "running.json").stat().st_mode & 0o777 == 0o600
    until(lambda: f"TRIPSTREAM_ADMIN_KEY = {key}" in one.log(), "a child has the key")
    one.process.terminate()
    assert one.ends() == 0
    assert running_key(up().is_up()) == key


def running_key(one: Up) -> str:
    return running.connect(Settings(state=one.state)).admin_key.get_secret_value()


def test_a_second_up_on_the_same_state_is_refused(up: Callable[..., Up]) -> None:
    one = up().is_up()
    second = up()
    assert second.ends() == 2
    assert re.search(
        rf"^tripstream: another tripstream is already running on {one.state}, pid {one.process.pid}; stop it or set "
        r"TRIPSTREAM_STATE$",
        second.log(),
    )
    assert running_key(one)  # it did not take the first one's file away


def test_a_taken_port_is_told_before_anything_starts(up: Callable[..., Up]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one = up(TRIPSTREAM_PORT=str(port))
        assert one.ends() == 2
    assert one.log() == (
        f"tripstream: port {port} on 127.0.0.1 is taken: "
        "stop what listens there, or set TRIPSTREAM_PORT to another port\n"
    )
    assert not list(one.state.glob("pg*"))


def test_an_event_posted_to_the_whole_stack_is_stored_and_nothing_is_left_after_kill_9(up: Callable[..., Up]) -> None:
    one = up(module="tripstream").is_up()
    answer = httpx.post(
        f"http://127.0.0.1:{one.environment['TRIPSTREAM_PORT']}/api/events/batch", content=make.body(make.event())
    )
    assert answer.status_code == 202, answer.text
    with psycopg.connect(running.connect(Settings(state=one.state)).database_url, autocommit=True) as connection:
        receipts = connection.cursor()
        until(lambda: receipts.execute("SELECT 1 FROM batches WHERE stored = 1").fetchone(), "the batch is drained")
        assert connection.execute("SELECT event_id FROM events").fetchall() == [(make.uid(1),)]
    pids = descendants(one.process.pid)
    assert len(pids) >= 2 + 5  # servers; web, two drains, chores, clock
    one.process.kill()
    until(lambda: all(map(gone, pids)), "everything ends")


def test_an_address_that_is_not_ours_is_told() -> None:
    with pytest.raises(ConfigError, match="TRIPSTREAM_HOST"):
        serve.listen(Settings(host="192.0.2.1", port=free_port()))


def test_a_wrong_setting_is_one_line_and_exit_code_2(up: Callable[..., Up]) -> None:
    one = up(TRIPSTREAM_PORT="99999")
    assert one.ends() == 2
    assert one.log().startswith("tripstream: TRIPSTREAM_PORT: ")
    assert one.log().count("\n") == 1


def test_sigterm_stops_everything_and_forgets_the_urls(up: Callable[..., Up]) -> None:
    one = up().is_up()
    pids = one.server_pids()
    assert len(pids) == 2
    one.process.terminate()
    assert one.ends() == 0
    assert all(map(gone, pids))
    assert not (one.state / "running.json").exists()


def test_a_signal_while_starting_leaves_nothing(up: Callable[..., Up]) -> None:
    one = up()
    until(lambda: list(one.state.glob("pg*/postmaster.pid")), "Postgres starts")
    pid = int(next(iter(one.state.glob("pg*/postmaster.pid"))).read_text().split()[0])
    one.process.terminate()
    assert one.ends() in (0, 130)
    until(lambda: gone(pid), "Postgres, which was still starting, is gone")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # which is what the test is about
def test_a_signal_that_python_lost_is_not_lost_on_the_start() -> None:
    class Lost:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)  # whatever is raised here is ignored, as it is in what follows a fork

    steps = []
    with signals_interrupt() as interrupt_if_lost:
        interrupt_if_lost()
        Lost()
        steps.append("it goes on")
        interrupt_if_lost()
        steps.append("never")
    assert steps == ["it goes on"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_after_kill_9_the_file_is_not_believed_and_up_starts_again(up: Callable[..., Up]) -> None:
    one = up().is_up()
    one.process.kill()
    one.process.wait()
    with pytest.raises(ConfigError, match="not running"):
        running.connect(Settings(state=one.state))
    again = up().is_up()
    assert running.connect(Settings(state=again.state)).database_url


def test_the_first_start_loads_demo_trips_and_says_how_to_remove_them(up: Callable[..., Up]) -> None:
    one = up(TRIPSTREAM_DEMO_OCCURRENCES="40").is_up()
    assert departures(running.connect(Settings(state=one.state)).database_url) == 40
    shown = re.search(r"loaded a demo catalogue of 40 departures; to remove it: (.*)", one.log())
    assert shown
    done = subprocess.run(["/bin/sh", "-c", shown[1]], env=one.environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    one.process.terminate()
    assert one.ends() == 0
    again = up(TRIPSTREAM_DEMO_OCCURRENCES="40").is_up()
    assert departures(running.connect(Settings(state=again.state)).database_url) == 0
    assert "demo" not in again.log()


def departures(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT count(*) FROM trip_occurrences").fetchall()[0][0]


def test_given_urls_are_used_and_nothing_embedded_starts(
    up: Callable[..., Up], servers: Servers, settings: Settings
) -> None:
    given = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    one = up(**given, TRIPSTREAM_DEMO_OCCURRENCES="40").is_up()
    assert departures(settings.database_url) == 0
    assert not list(one.state.glob("pg*"))
    assert not (one.state / "valkey").exists()
    until(lambda: all(f"{name} = {url}" in one.log() for name, url in given.items()), "the child has the URLs")
    one.process.send_signal(signal.SIGINT)
    assert one.ends() == 0
    assert servers.postgres.poll() is None


def test_commands_without_a_running_up_say_what_to_do(state: Path) -> None:
    with pytest.raises(ConfigError, match=r"Tripstream is not running and DATABASE_URL is not set: run `make up`, or"):
        running.connect(Settings(state=state), "database_url")
    with pytest.raises(ConfigError, match="DATABASE_URL and REDIS_URL are not set"):
        running.connect(Settings(state=state))


def test_what_the_environment_sets_wins_over_the_running_file(state: Path) -> None:
    lock = claim(state, running.LOCK)
    try:
        running.announce(Settings(state=state, database_url="a", redis_url="redis://b", admin_key=SecretStr("c")))
        known = running.connect(Settings(state=state, redis_url="redis://mine"))
        assert (known.database_url, known.redis_url, known.admin_key.get_secret_value()) == ("a", "redis://mine", "c")
    finally:
        lock.release()


def test_children_get_every_setting_through_the_environment(state: Path) -> None:
    settings = Settings(state=state, database_url="a", port=1234, lanes=3, admin_key=SecretStr("k"))
    found = environment(settings)
    assert (found["DATABASE_URL"], found["TRIPSTREAM_PORT"], found["TRIPSTREAM_ADMIN_KEY"]) == ("a", "1234", "k")
    json.dumps(found)  # strings only


def test_the_procfile_starts_what_up_starts_and_ingest(state: Path) -> None:
    commands = re.findall(r"tripstream (.*)", (Path(__file__).parents[2] / "Procfile").read_text())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        apps = [app for layer in layers(Settings(state=state), listener) for app in layer]
    started = [" ".join(word for word in app.argv[3:] if not word.startswith("--")) for app in apps]
    assert sorted(commands) == sorted([*started, "ingest"])


def test_the_settings_say_how_many_processes_there_are(state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        web, others = layers(Settings(state=state, lanes=3), listener)
        assert [app.name for app in web] == ["web"]
        assert [app.name for app in others] == ["drain-0", "drain-1", "drain-2", "chores", "clock"]
        web, _ = layers(Settings(state=state, web_processes=2), listener)
        assert [app.name for app in web] == ["web.1", "web.2"]


def test_the_demo_signs_people_in_only_where_nobody_elses_tokens_count(tmp_path: Path) -> None:
    plain = Settings(state=tmp_path)
    drawn = _demo_issuer(plain)
    assert demo.signs_in(plain.model_copy(update=drawn)) and not demo.signs_in(plain)
    assert _demo_issuer(plain) == drawn, "whoever signed in stays so after the next start"
    assert (tmp_path / "demo-jwt.key").stat().st_mode & 0o777 == 0o600
    theirs = {"jwt_issuer": "https://x.example/auth/v1", "jwt_audience": "authenticated"}
    for way in ({"jwt_secret": SecretStr("s" * 32)}, {"jwt_jwks_url": "https://x.example/keys"}):
        assert _demo_issuer(Settings(state=tmp_path, **theirs, **way)) == {}
