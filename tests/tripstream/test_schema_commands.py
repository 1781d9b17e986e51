"""`tripstream schema …` and `tripstream tail`, as they are typed: the commands call the application in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from schema import schemas
from schema.errors import ConfigError
from schema.event import Refused, new_id, now
from schema.registry import KEY, decode
from schema.settings import Settings
from tests.make import canonical, uid
from tests.workers.pipeline import ROBOT, Pipeline, pipeline
from tripstream import tail_commands
from tripstream.cli import app

PHONE = {
    "properties": {
        "trip_id": {"type": "integer"},
        "metadata": {"required": ["phone"], "properties": {"phone": {"type": "string"}}},
    },
    "required": ["metadata"],
}
Run = Callable[..., Result]


@pytest.fixture
def pipe(settings: Settings) -> Iterator[Pipeline]:
    with pipeline(settings) as found:
        yield found


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, arguments)


def written(path: Path, *lines: Any) -> str:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return str(path)


def test_schemas_are_added_listed_and_printed_as_types(run: Run, pipe: Pipeline, tmp_path: Path) -> None:
    first = written(tmp_path / "1.json", json.dumps(PHONE))
    added = run("schema", "add", "visa.asked", first, "--category", "transaction", "--personal", "metadata.phone")
    assert added.exit_code == 0, added.output
    assert "visa.asked has version 1" in added.output
    assert "visa.asked" in decode(pipe.redis.get(KEY)).event_types  # strict sites take it from now on
    second = written(tmp_path / "2.json", json.dumps(PHONE | {"required": ["metadata", "trip_id"]}))
    assert "  trip_id: is required now" in run("schema", "add", "visa.asked", second).output
    assert "it takes whatever the former version took" in run("schema", "add", "visa.asked", first).output
    listed = run("schema", "list").output
    assert [word for word in ("visa.asked", "transaction", "1 year") if word not in listed] == [], listed
    both = run("schema", "types").output
    assert 'export type VisaAsked = {\n  "event_type": "visa.asked";' in both
    assert "VisaAsked = VisaAsked" in both
    compile(run("schema", "types", "python").output, "types.py", "exec")
    assert run("schema", "types", "typescript").output.startswith("// Made by")


def test_what_is_wrong_with_a_schema_is_said_in_one_line(run: Run, pipe: Pipeline, tmp_path: Path) -> None:
    for text in ('{"type": "strin"}', "{", '{"$ref": "http://127.0.0.1:9/x"}'):
        refused = run("schema", "add", "click", written(tmp_path / "x", text))
        assert isinstance(refused.exception, ConfigError)
    assert schemas.versions(pipe.connection) == []
    assert isinstance(run("schema", "types", "cobol").exception, ConfigError)


def test_a_file_of_events_is_held_to_the_schemas_line_by_line(run: Run, pipe: Pipeline, tmp_path: Path) -> None:
    schemas.add(pipe.connection, "contact_phone", json.dumps(PHONE), schemas.Marks())
    call = {"event_type": "contact_phone", "metadata": {"phone": "+972"}}
    unfit = call | {"metadata": {"phone": 972}}
    events = written(tmp_path / "e.jsonl", call, unfit, "", {"event_type": "click"}, call | {"position": -1}, "{")
    checked = run("schema", "check", events)
    assert checked.exit_code == 1
    lines = checked.output.splitlines()
    assert lines[0] == (
        'line 2: schema_mismatch: metadata.phone: the value is not of type "string" (contact_phone, version 1)'
    )
    assert lines[1].startswith("line 5: position: ")
    assert lines[2].startswith("line 6: not JSON: ")
    assert lines[3] == "2 fit, 1 of them without a schema; 3 do not"
    untyped = written(tmp_path / "u.jsonl", {"metadata": {"phone": "1"}, "trip_id": 5})
    assert run("schema", "check", "--type", "contact_phone", untyped).exit_code == 0
    assert isinstance(run("schema", "check", "--type", "nothing", untyped).exception, ConfigError)


def test_tail_shows_the_last_batches_and_what_became_of_each_event(run: Run, pipe: Pipeline) -> None:
    refused = [Refused(3, "invalid_field", "position: \x1b[2J", "click")]
    at = now()
    events = [canonical(1, path="/trips/japan"), canonical(2, trip_id=0), canonical(3, user_agent=ROBOT)]
    pipe.send(*events, batch_id=new_id(at), received_at=at, refused=refused)
    shown = run("tail", "--no-follow")
    assert shown.exit_code == 0, shown.output
    dead, refusal, stored, bot = shown.output.splitlines()
    assert "default  stored     page_view             00000003  /trips/japan" in stored
    assert "  dead " in dead and "trip_id" in dead
    assert "  refused " in refusal and "invalid_field: position: ?[2J" in refusal
    assert "  bot " in bot
    (*_, last) = [json.loads(line) for line in run("tail", "--no-follow", "--json").output.splitlines()]
    assert (last["event_id"], last["verdict"], last["site_id"]) == (str(uid(1, 3)), "bot", "default")
    assert run("tail", "--no-follow", "--site", "other").output == ""


def test_tail_goes_on_with_what_is_drained_meanwhile_each_batch_once(
    pipe: Pipeline, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def send(n: int, ago_ms: int = 0) -> None:
        at = now() - ago_ms * 1000
        pipe.send(canonical(n), batch_id=new_id(at), received_at=at)

    send(1)
    moves = iter([lambda: send(2), lambda: send(3, 5_000), lambda: None])
    monkeypatch.setattr(tail_commands.time, "sleep", lambda _: next(moves)())
    going = tail_commands._batches(pipe.connection, settings, None, 10, True)
    shown = [next(going).events[0].event_id for _ in range(3)]
    with pytest.raises(RuntimeError):  # of the generator, when there are no more moves
        next(going)
    assert shown == [str(uid(1, n)) for n in (1, 2, 3)]
    stale = f"{now() // 1000 - 60_000}-0"
    pipe.redis.delete("ev:1")
    pipe.redis.xadd("ev:1", {"x": "y"}, id=stale)
    assert tail_commands._oldest(settings) < now() // 1000 - 65_000
    assert "1 batches wait, the oldest for 60 s" in capsys.readouterr().err


RECEIPTS = """
    INSERT INTO batches (batch_id, site_id, received_at, accepted, stored, verdicts)
    SELECT unnest(%s::uuid[]), 'default', now(), 0, 0, '[{"index": 0, "verdict": "refused", "event_type": "click"}]'"""


def test_tail_shows_every_batch_in_order_however_many_came_since_it_looked(
    pipe: Pipeline, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [new_id(now() + n * 1000) for n in range(2100)]
    moves = iter([ids[:1200], ids[1200:], []])
    monkeypatch.setattr(tail_commands.time, "sleep", lambda _: pipe.connection.execute(RECEIPTS, (next(moves),)))
    monkeypatch.setattr(tail_commands, "_SEEN_MAX", 1000)
    going = tail_commands._batches(pipe.connection, settings, None, 10, True)
    assert [next(going).batch_id for _ in ids] == ids
    with pytest.raises(RuntimeError):  # of the generator, when there are no more moves
        next(going)
    assert "more than 1000 batches came since the oldest that waits" in capsys.readouterr().err
    seen = set(ids)
    assert (tail_commands._forget(seen, 0), len(seen)) == ((ids[1100].int >> 80) + 1, 1000)
