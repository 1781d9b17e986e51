"""The supervisor, with tiny children: order, logs, restarts, stopping, and what is left after kill -9."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.tripstream.waiting import gone, until
from tripstream.embedded_valkey import Valkey
from tripstream.nursery import Nursery

WAIT = "import signal, time; print('began', flush=True); time.sleep(600)"
POLITE = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit()))\n"
    "print('began', flush=True)\n"
    "while True: time.sleep(1)"
)
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('began', flush=True); time.sleep(600)"
)
WITH_GRANDCHILD = (
    "import os, subprocess, sys, time; p = subprocess.Popen(['sleep', '600']); print('pids', os.getpid(), p.pid)\n"
)


class Supervised:
    """A supervisor process and its log so far."""

    def __init__(self, path: Path, layers: list[list[dict[str, object]]], **plan: Any) -> None:
        self.path = path
        with path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.tripstream.supervised", json.dumps({"layers": layers, **plan})],
                stdout=log,
                stderr=log,
                pass_fds=plan.get("inherits", ()),
            )

    def log(self) -> str:
        return self.path.read_text()

    def sees(self, pattern: str, times: int = 1) -> list[Any]:
        """Wait until the log holds the pattern that often; its groups."""
        until(lambda: len(re.findall(pattern, self.log())) >= times, f"{pattern} in {self.log()}")
        found: list[Any] = re.findall(pattern, self.log())
        return found

    def ends(self) -> int:
        until(lambda: self.process.poll() is not None, "the supervisor ends")
        return self.process.wait()


Run = Callable[..., Supervised]


@pytest.fixture(params=["forked", "plain"])
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Run]:
    made: list[Supervised] = []
    forked = request.param == "forked"
    if forked and not Nursery.is_possible():
        pytest.skip("this system cannot fork app processes")

    def start(*layers: list[dict[str, object]], **plan: object) -> Supervised:
        made.append(Supervised(tmp_path / f"log{len(made)}", list(layers), forked=forked, **plan))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def test_a_layer_starts_once_the_one_before_is_ready(run: Run, tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    first = f"import time, pathlib; time.sleep(0.3); pathlib.Path({str(flag)!r}).touch(); time.sleep(600)"
    second = f"import pathlib, time; print('saw', pathlib.Path({str(flag)!r}).exists()); time.sleep(600)"
    one = run([{"name": "a", "code": first, "ready_file": str(flag)}], [{"name": "b", "code": second}])
    assert one.sees(r"b +\| saw (\w+)") == ["True"]
    one.sees("all up")


def test_lines_carry_the_aligned_name_of_their_process(run: Run) -> None:
    odd = "import sys; sys.stdout.buffer.write(b'x' * 200_000 + b'\\nbad \\xff byte\\nno newline'); sys.exit(0)"
    one = run([{"name": "a", "code": odd}, {"name": "longer-name", "code": WAIT}])
    for line in (r"x{200000}", "bad . byte", "no newline"):
        one.sees(rf"(?m)^a           \| {line}$")
    one.sees(r"(?m)^longer-name \| began$")


def test_a_crashed_app_is_started_again_after_growing_pauses(run: Run) -> None:
    one = run(
        [{"name": "a", "code": "import sys; print('began'); sys.exit(3)"}, {"name": "b", "code": WAIT}],
        patience={"first_pause_seconds": 0.1, "failures_max": 3},
    )
    assert one.ends() == 1
    assert re.findall(r"a ended with 3; starting it again in (\S+) s", one.log()) == ["0.1", "0.2", "0.4"]
    assert "stopping, because a ended with 3" in one.log()
    assert one.log().count("a          | began") == 4


def test_pauses_start_over_once_an_app_stayed_up(run: Run) -> None:
    one = run(
        [{"name": "a", "code": "import time; time.sleep(0.2)"}],
        patience={"first_pause_seconds": 0.1, "failures_max": 2, "settled_seconds": 0.1},
    )
    pauses = one.sees(r"starting it again in (\S+) s", times=4)
    assert set(pauses) == {"0.1"}


def test_an_app_that_ends_while_starting_fails_the_start_at_once(run: Run, tmp_path: Path) -> None:
    one = run(
        [{"name": "a", "code": "raise SystemExit(7)", "ready_file": str(tmp_path / "never")}],
        [{"name": "b", "code": WAIT}],
    )
    assert one.ends() == 1
    assert "a ended with 7 while starting" in one.log()
    assert "began" not in one.log()


def test_an_app_that_never_gets_ready_fails_the_start(run: Run, tmp_path: Path) -> None:
    one = run([{"name": "a", "code": WAIT, "ready_file": str(tmp_path / "never")}], patience={"ready_seconds": 0.5})
    assert one.ends() == 1
    assert "a was not ready" in one.log()


def test_a_program_that_does_not_exist_fails_the_start(run: Run) -> None:
    one = run([{"name": "a", "code": "", "program": "/no/such/program"}])
    assert one.ends() == 1
    assert "a cannot be started" in one.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_announced_stops_layers_in_reverse_and_exits_0(run: Run, number: signal.Signals) -> None:
    one = run([{"name": "a", "code": POLITE}], [{"name": "b", "code": POLITE}])
    one.sees("began", times=2)
    one.process.send_signal(number)
    assert one.ends() == 0
    assert re.findall(r"(\w+) +\| bye", one.log()) == ["stopping", "b", "a"]


def test_an_app_inherits_what_it_is_given_each_time_and_no_other_app_does(run: Run) -> None:
    with socket.socket() as ours:
        number = fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 100)  # one that no child opens by itself
    code = (
        "import os, time\n"
        f"try: os.fstat({number}); print('has it', flush=True)\n"
        "except OSError: print('has it not', flush=True); time.sleep(600)"
    )
    given = [{"name": "a", "code": code, "inherits": [number]}, {"name": "b", "code": code}]
    one = run(given, inherits=[number], patience={"first_pause_seconds": 0.1})
    os.close(number)
    one.sees(r"a +\| has it\n", times=2)
    one.sees(r"b +\| has it not\n")


def test_an_app_that_ignores_sigterm_is_killed_after_its_time(run: Run) -> None:
    one = run([{"name": "a", "code": STUBBORN, "stop_seconds": 0.3}])
    one.sees("began")
    one.process.terminate()
    assert one.ends() == 0
    assert "a did not stop in 0 s" in one.log()


def test_a_second_signal_hurries(run: Run, state: Path) -> None:
    one = run([{"name": "a", "code": STUBBORN}], servers=["valkey"], state=str(state))
    one.sees("began")
    (pid,) = one.sees(r"all up (\d+)")
    one.process.send_signal(signal.SIGINT)
    one.sees("once more to hurry")
    one.process.send_signal(signal.SIGINT)
    assert one.ends() == 0
    assert gone(int(pid))


def test_what_a_crashed_app_forked_does_not_live_on(run: Run) -> None:
    one = run([{"name": "a", "code": f"{WITH_GRANDCHILD}sys.exit(1)"}], patience={"first_pause_seconds": 5})
    (pids,) = one.sees(r"pids (\d+) (\d+)")
    one.sees("ended with 1")
    until(lambda: all(gone(int(pid)) for pid in pids), "the grandchild ends")


@pytest.mark.parametrize("kernel_signals", [True, False])
def test_kill_9_of_the_supervisor_leaves_no_orphan(run: Run, state: Path, kernel_signals: bool) -> None:
    code = f"{WITH_GRANDCHILD}time.sleep(600)"
    one = run(
        [{"name": "a", "code": code}],
        [{"name": "b", "code": STUBBORN}],
        servers=["postgres", "valkey"],
        state=str(state),
        without_kernel_signals=not kernel_signals,
    )
    (servers,) = one.sees(r"all up (\d+) (\d+)")
    (apps,) = one.sees(r"pids (\d+) (\d+)")
    one.process.kill()
    one.process.wait()
    until(lambda: all(gone(int(pid)) for pid in (*servers, *apps)), f"{servers} and {apps} end")


def test_a_killed_server_is_started_again_with_its_data(run: Run, state: Path) -> None:
    one = run([{"name": "a", "code": WAIT}], servers=["valkey"], state=str(state))
    (pid,) = one.sees(r"all up (\d+)")
    with redis.Redis.from_url(Valkey(state).url()) as client:
        client.set("kept", 1)
    os.kill(int(pid), signal.SIGKILL)
    one.sees("valkey is back")
    with redis.Redis.from_url(Valkey(state).url()) as client:
        assert client.get("kept") == b"1"
    one.process.terminate()
    assert one.ends() == 0


def test_nobody_reading_the_log_stops_nothing(tmp_path: Path) -> None:
    flag = tmp_path / "after"
    code = f"import pathlib, time\nfor i in range(50): print(i); time.sleep(0.01)\npathlib.Path({str(flag)!r}).touch()"
    plan = json.dumps({"layers": [[{"name": "a", "code": f"{code}\ntime.sleep(600)"}]]})
    argv = [sys.executable, "-m", "tests.tripstream.supervised", plan]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        process.stdout.close()
        until(flag.exists, "the app runs on")
        process.terminate()
        assert process.wait(20) == 0
