"""Answers kept for a moment: made once, few at once, and the last ones while Postgres is away."""

from __future__ import annotations

import asyncio

import pytest

from recommender import answers
from recommender.answers import Answers
from schema.errors import Busy, StorageError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_is_made_once_a_second_and_never_twice_at_once() -> None:
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        return b"%d" % len(made)

    async def several() -> list[bytes]:
        clock = Clock()
        answers = Answers(1.0, clock)
        found = [one.body for one in await asyncio.gather(*(answers.get("a", make) for _ in range(9)))]
        found.append((await answers.get("b", make)).body)
        clock.now = 1.01
        return [*found, (await answers.get("a", make)).body]

    assert asyncio.run(several()) == [b"1"] * 9 + [b"2", b"3"]


def test_where_too_many_answers_are_being_made_another_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_UNDER_WAY_MAX", 2)

    async def crowd() -> list[bytes]:
        made = Answers()
        waiting = [asyncio.ensure_future(made.get(key, lambda: b"made")) for key in "aab"]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await made.get("c", lambda: b"made")
        found = [one.body for one in await asyncio.gather(*waiting)]
        await asyncio.sleep(0)
        return [*found, (await made.get("c", lambda: b"made")).body]

    assert asyncio.run(crowd()) == [b"made"] * 4


def test_the_last_answer_is_given_while_postgres_is_away_and_an_error_where_there_is_none() -> None:
    def fail() -> bytes:
        raise StorageError

    async def away() -> bytes:
        clock = Clock()
        answers = Answers(1.0, clock)
        await answers.get("a", lambda: b"old")
        clock.now = 9
        with pytest.raises(StorageError):
            await answers.get("b", fail)
        return (await answers.get("a", fail)).body

    assert asyncio.run(away()) == b"old"
