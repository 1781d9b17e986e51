"""What an erasure writes in place of a person's ids, and the other parts that have something of theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schema.event import Verified
from schema.settings import Settings
from tests.conftest import Servers
from tests.make import batch, canonical, uid
from tests.workers.people import arrive
from tests.workers.pipeline import Pipeline
from tests.workers.test_erasure import (
    AUTH,
    EMAIL,
    SESSION,
    VISITOR,
    erase,
    figures,
    hers,
    in_postgres,
    in_redis,
    planted,
)
from tests.workers.test_umami import bring, export, row
from workers import erasure, imported_events, people
from workers.people import named


def test_paths_that_differ_by_an_id_only_differ_still(pipe: Pipeline) -> None:
    spelt = (EMAIL, EMAIL.lower(), AUTH, str(VISITOR))
    arrive(
        pipe,
        hers(planted(1), n=1, verified=True),
        *(batch(canonical(10 + n, path=f"/people/{one}", metadata=json.dumps({one: n, "other": 1}),
                          anonymous_id=uid(3, n), session_id=uid(2, n)), n=10 + n)
          for n, one in enumerate(spelt)),
    )  # fmt: skip
    pipe.roll_up()
    before = figures(pipe)
    paths = "SELECT count(*), sum(events) FROM daily_dimensions WHERE dimension = 'path'"
    counted = pipe.row(paths)
    views = "SELECT sum(n::int) FROM daily_stats, jsonb_each_text(path_stats) AS p (path, n)"
    seen = pipe.value(views)
    receipt = erase(pipe, email=EMAIL)
    assert (receipt["state"], receipt["remaining"]) == ("done", {})
    assert list(in_postgres(pipe)) == []
    assert pipe.value("SELECT count(DISTINCT text) FROM texts WHERE text LIKE '/people/erased-%%'") == len(spelt)
    assert (pipe.row(paths), pipe.value(views)) == (counted, seen)
    assert figures(pipe) == before
    assert pipe.problems() == []


def test_what_comes_between_two_tries_is_found_by_the_second(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive(pipe, hers(planted(1), n=1, verified=True), batch(canonical(2, path=f"/people/{EMAIL}"), n=2))
    with monkeypatch.context() as failing:
        failing.setattr("schema.persistence.rewrite", lambda *_: ["not now"])
        receipt = erase(pipe, user=AUTH)
    assert receipt["state"] == "incomplete"
    arrive(pipe, batch(canonical(3, path=f"/people/{EMAIL}"), n=3))
    assert erasure.advance(pipe.settings, receipt["erasure_id"])["state"] == "done"
    assert pipe.value("SELECT count(*) FROM texts WHERE text LIKE '/people/erased-%%'") == 2
    assert list(in_postgres(pipe)) == []
    assert pipe.problems() == []


def test_an_import_can_be_taken_back_after_somebody_in_it_was_erased(pipe: Pipeline, tmp_path: Path) -> None:
    done = bring(pipe, export(tmp_path / "u.csv", *(row(n) for n in range(9))))
    visitor = pipe.value("SELECT anonymous_id FROM events ORDER BY occurred_at LIMIT 1")
    assert erase(pipe, anonymous_id=str(visitor))["counts"]["events"] == 3
    assert pipe.problems() == []
    assert imported_events.take_back(pipe.settings, done.import_id, lambda *_: None) == 9
    assert pipe.value("SELECT count(*) FROM events") == 0
    assert pipe.problems() == []


def test_a_receipt_of_a_refusal_names_nobody(pipe: Pipeline) -> None:
    one = {"anonymous_id": VISITOR, "session_id": SESSION}
    arrive(pipe, hers(planted(1), n=1, verified=True))
    erasure_id = people.request(pipe.connection, "default", named(anonymous_id=str(VISITOR)), by="a test")
    other = canonical(2, **one, auth_user_id="auth|other-9")
    arrive(pipe, batch(other, n=2, verified=Verified("auth|other-9", "other@example.com")))
    receipt = erasure.advance(pipe.settings, erasure_id)
    assert receipt["state"] == "refused"
    assert AUTH not in receipt["note"] and "auth|other-9" not in receipt["note"]
    assert pipe.value("SELECT count(*) FROM events WHERE anonymous_id = %s", one["anonymous_id"]) == 2


def test_one_turn_of_the_chore_ends_when_others_wait(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive(pipe, *(batch(canonical(n, anonymous_id=uid(3, n), session_id=uid(2, n)), n=n) for n in range(3)))
    for n in range(3):
        people.request(pipe.connection, "default", named(anonymous_id=str(uid(3, n))), by="a test")
    monkeypatch.setattr(erasure, "_CHORE_SECONDS_MAX", 0)
    for done in (1, 2, 3):
        erasure.run_due(pipe.settings)
        assert pipe.value("SELECT count(*) FROM erasures WHERE state = 'done'") == done


def test_a_queue_that_is_never_empty_delays_nothing(
    pipe: Pipeline, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(pipe, hers(planted(1), n=1, verified=True))
    pipe.accept(hers(planted(2), n=2, verified=True), lane=1)
    numbers = iter(range(100, 100_000))

    def others() -> None:
        for n in (next(numbers) for _ in range(30)):
            pipe.accept(batch(canonical(n, anonymous_id=uid(3, n), session_id=uid(2, n)), n=n), lane=1)

    def drain_and_go_on(settings: Settings, seconds_max: float, lanes: list[int]) -> None:
        pipe.drain(1)
        others()

    others()
    monkeypatch.setattr(erasure, "_QUEUE_SECONDS_MAX", 5)
    monkeypatch.setattr("workers.jobs.drain_plainly", drain_and_go_on)
    receipt = erase(pipe, user=AUTH)
    assert (receipt["state"], receipt["note"]) == ("done", None)
    assert pipe.redis.xlen("ev:1") == 30
    assert list(in_redis(pipe, servers)) == []
    pipe.drain(1)
    assert pipe.problems() == []
