"""Which session is going on: begun by session/start, kept alive by the drain, forgotten in time."""

from __future__ import annotations

import pytest
from redis import Redis

from schema import live
from tests.make import uid

A, B = uid(2, 1), uid(2, 2)


def begin(valkey: Redis, visitor: int, session: int, at_ms: int, site_id: str = "default", at_most: int = 9999) -> None:
    live.begin(valkey, site_id, uid(3, visitor), uid(2, session), at_ms, at_most=at_most)


def test_a_visitor_is_asked_for_and_so_is_when_a_session_was_seen(valkey: Redis) -> None:
    begin(valkey, 1, 1, at_ms=5)
    begin(valkey, 1, 2, at_ms=7)
    assert live.ask_visitor(valkey, "default", uid(3, 1)) == B.bytes
    assert [live.ask_seen(valkey, "default", session) for session in (A, B, uid(2, 3))] == [5, 7, None]
    assert live.ask_visitor(valkey, "other", uid(3, 1)) is live.ask_seen(valkey, "other", A) is None


def test_a_late_drain_never_shortens_a_session(valkey: Redis) -> None:
    begin(valkey, 1, 1, at_ms=5)
    live.slide(valkey, {"default": {A: 9, B: 9}})
    live.slide(valkey, {"default": {A: 4}})
    begin(valkey, 1, 1, at_ms=3)
    assert live.ask_seen(valkey, "default", A) == 9
    assert live.ask_seen(valkey, "default", B) is None  # unknown sessions stay unknown


def test_sliding_nothing_is_nothing(valkey: Redis) -> None:
    live.slide(valkey, {})
    assert valkey.dbsize() == 0


def test_lapsed_sessions_go_with_the_visitors_that_were_in_them(valkey: Redis) -> None:
    begin(valkey, 1, 1, at_ms=5)
    begin(valkey, 2, 2, at_ms=6)
    begin(valkey, 3, 3, at_ms=5, site_id="other")
    assert live.prune(valkey, ["default"], before_ms=6) == 1
    assert live.ask_visitor(valkey, "default", uid(3, 1)) is None
    assert live.ask_visitor(valkey, "default", uid(3, 2)) == B.bytes
    assert live.ask_visitor(valkey, "other", uid(3, 3)) == uid(2, 3).bytes
    assert live.prune(valkey, ["default"], before_ms=6) == 0


def test_many_visitors_are_pruned_page_by_page(valkey: Redis) -> None:
    pipe = valkey.pipeline()
    for n in range(2500):
        live.begin(pipe, "default", uid(3, n), uid(2, n), at_ms=n, at_most=2500)
    pipe.execute()
    assert live.prune(valkey, ["default"], before_ms=2400) == 2400
    assert valkey.hlen("visitor:default") == valkey.zcard("live:default") == 100


@pytest.mark.parametrize("before", [0, 50])
def test_of_too_many_sessions_the_oldest_are_forgotten_first(valkey: Redis, before: int) -> None:
    """Also where the limit was lowered meanwhile."""
    for n in range(before):
        begin(valkey, n, n, at_ms=n)
    for n in range(before, 200):
        begin(valkey, n, n, at_ms=n, at_most=20)
        assert live.ask_visitor(valkey, "default", uid(3, n)) == uid(2, n).bytes
    assert [live.ask_seen(valkey, "default", uid(2, n)) for n in (179, 180, 199)] == [None, 180, 199]
    assert valkey.zcard("live:default") == 20
    assert 0 < valkey.hlen("visitor:default") <= 20
    begin(valkey, 0, 0, at_ms=1000, site_id="other", at_most=20)
    live.prune(valkey, ["default"], before_ms=0)
    known = valkey.hvals("visitor:default")
    assert all(valkey.zscore("live:default", session) is not None for session in known)


def test_a_visitor_who_comes_back_pushes_nobody_out(valkey: Redis) -> None:
    for n in range(20):
        begin(valkey, n, n, at_ms=n, at_most=20)
    for n in range(100):
        begin(valkey, 7, 7, at_ms=100 + n, at_most=20)
    assert valkey.zcard("live:default") == valkey.hlen("visitor:default") == 20


def test_ids_are_kept_as_their_bytes(valkey: Redis) -> None:
    begin(valkey, 1, 1, at_ms=5)
    assert valkey.zrange("live:default", 0, -1) == [A.bytes]
    assert valkey.hgetall("visitor:default") == {uid(3, 1).bytes: A.bytes}


def test_what_an_older_version_kept_as_text_is_forgotten_in_time(valkey: Redis) -> None:
    valkey.zadd("live:default", {str(A): 5})
    valkey.hset("visitor:default", str(uid(3, 1)), str(A))
    assert live.ask_visitor(valkey, "default", uid(3, 1)) is None
    assert live.prune(valkey, ["default"], before_ms=5) == 0
    assert live.prune(valkey, ["default"], before_ms=6) == 1
    assert valkey.dbsize() == 0
