"""Processes forked off the nursery: what they share, what each has of its own, and what holds when the nursery dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tripstream.starting import Up, descendants
from tests.tripstream.test_supervisor import WAIT, Supervised
from tests.tripstream.waiting import gone, until
from tripstream.children import command_line
from tripstream.nursery import Nursery

pytestmark = pytest.mark.skipif(not Nursery.is_possible(), reason="this system cannot fork app processes")

Forks = Callable[..., Supervised]


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    """Starts a supervisor of one layer of apps, given as their code."""
    made: list[Supervised] = []

    def start(*codes: str, **plan: object) -> Supervised:
        layer: list[dict[str, object]] = [{"name": f"app-{n}", "code": code} for n, code in enumerate(codes)]
        made.append(Supervised(tmp_path / f"log{len(made)}", [layer], forked=True, **plan))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def test_a_forked_process_is_the_supervisors_own_child_and_bears_its_name(forks: Forks) -> None:
    one = forks("import os, time; print('parent', os.getppid(), os.getpid(), flush=True); time.sleep(600)")
    ((parent, pid),) = one.sees(r"parent (\d+) (\d+)")
    assert int(parent) == one.process.pid
    assert command_line(int(pid)).rstrip() == "tripstream app-0"


def test_it_shares_what_the_supervisor_had_imported(forks: Forks) -> None:
    one = forks("import sys; print('has', 'tripstream.embedded_postgres' in sys.modules); import time; time.sleep(600)")
    assert one.sees(r"has (\w+)") == ["True"]


def test_two_of_them_draw_different_random_numbers(forks: Forks) -> None:
    code = "import random, time, uuid; print('drew', random.random(), uuid.uuid4(), flush=True); time.sleep(600)"
    one = forks(code, code)
    first, second = one.sees(r"drew (\S+) (\S+)", times=2)
    assert not set(first) & set(second)


def test_it_has_its_own_arguments_streams_and_nothing_else_open(forks: Forks) -> None:
    code = (
        "import os, signal, sys, time\n"
        "print(sys.argv[0].endswith('program.py'), os.isatty(0), sorted(map(int, os.listdir('/proc/self/fd')))[:-1],\n"
        "      signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, os.getsid(0) == os.getpid(), file=sys.stderr)\n"
        "time.sleep(600)"
    )
    assert forks(code).sees(r"app-0 +\| (.*)") == ["True False [0, 1, 2] True True"]


def test_how_it_ends_is_told_as_of_any_python(forks: Forks) -> None:
    codes = (
        "raise SystemExit",
        "raise SystemExit('a word')",
        "1 / 0",
        "import os; os.kill(os.getpid(), 9)",
        "import sys; sys.stdout.write('unfinished'); sys.exit(5)",
    )
    one = forks(*codes, patience={"first_pause_seconds": 30})
    for number, code in enumerate((0, 1, 1, -9, 5)):
        one.sees(rf"app-{number} ended with {code};")
    one.sees(r"app-1 +\| a word\n")
    one.sees(r"app-2 +\| ZeroDivisionError: division by zero\n")
    one.sees(r"app-4 +\| unfinished\n")


def test_it_leads_its_group_before_the_supervisor_knows_it_so_that_killing_the_group_kills_it() -> None:
    code = (
        "import asyncio, os, sys\n"
        "from tripstream.nursery import Nursery\n"
        "async def groups(nursery):\n"
        "    for _ in range(10):\n"
        "        child = await nursery.start('x', [sys.executable, '-m', 'this'], dict(os.environ), 2, ())\n"
        "        print(os.getpgid(child.pid) == child.pid)\n"
        "        await child.wait()\n"
        "with Nursery() as nursery:\n"
        "    asyncio.run(groups(nursery))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["True"] * 10


def test_kill_9_of_the_nursery_ends_nothing_and_the_next_start_does_without_it(forks: Forks) -> None:
    one = forks("import os, time; print('began', os.getpid(), flush=True); time.sleep(600)", WAIT)
    (pid,) = one.sees(r"app-0 +\| began (\d+)")
    (nursery,) = one.sees(r"nursery (\d+)")
    os.kill(int(nursery), signal.SIGKILL)
    os.kill(int(pid), signal.SIGKILL)
    one.sees("app-0 ended with -9; starting it again")
    one.sees("from now on they share no memory")
    _, again = one.sees(r"app-0 +\| began (\d+)", times=2)
    assert one.log().count("app-1      | began") == 1
    assert "tests.tripstream.program" in command_line(int(again))
    one.process.kill()
    until(lambda: gone(int(again)), "it dies with the supervisor all the same")


def test_the_nursery_ends_with_the_supervisor(forks: Forks) -> None:
    one = forks(WAIT)
    (nursery,) = one.sees(r"nursery (\d+)")
    one.process.kill()
    until(lambda: gone(int(nursery)), "the nursery ends")


def test_the_whole_stack_is_forked_and_each_of_it_can_be_told(up: Callable[..., Up]) -> None:
    one = up(module="tripstream").is_up()
    lines = [command_line(pid).strip() for pid in descendants(one.process.pid)]
    ours = sorted(line for line in lines if re.match(r"tripstream \S+$", line))
    assert ours == [f"tripstream {name}" for name in ("chores", "clock", "drain-0", "drain-1", "nursery", "web")]
    assert not [line for line in lines if sys.executable in line]
    one.process.terminate()
    assert one.ends() == 0
