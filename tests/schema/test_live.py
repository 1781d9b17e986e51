"""Which session is going on: begun by session/start, kept alive by the drain, forgotten in time."""

from __future__ import annotations

from redis import Redis

from schema import live
from tests.make import uid

A, B = uid(2, 1), uid(2, 2)


def begin(valkey: Redis, visitor: int, session: int, at_ms: int, site_id: str = "default") -> None:
    pipe = valkey.pipeline()
    live.begin(pipe, site_id, uid(3, visitor), uid(2, session), at_ms)
    pipe.execute()


def test_a_visitor_is_asked_for_and_so_is_when_a_session_was_seen(valkey: Redis) -> None:
    begin(valkey, 1, 1, at_ms=5)
    begin(valkey, 1, 2, at_ms=7)
    assert live.ask_visitor(valkey, "default", uid(3, 1)) == str(B).encode()
    assert [live.ask_seen(valkey, "default", session) for session in (A, B, uid(2, 3))] == [5, 7, None]
    assert live.ask_visitor(valkey, "other", uid(3, 1)) is live.ask_seen(valkey, "other", A) is None


def test_a_late_drain_never_shortens_a_session(valkey: Redis) -> None:
    begin(valkey, 1, 1, at_ms=5)
    live.slide(valkey, {"default": {str(A): 9, str(B): 9}})
    live.slide(valkey, {"default": {str(A): 4}})
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
    assert live.ask_visitor(valkey, "default", uid(3, 2)) == str(B).encode()
    assert live.ask_visitor(valkey, "other", uid(3, 3)) == str(uid(2, 3)).encode()
    assert live.prune(valkey, ["default"], before_ms=6) == 0


def test_many_visitors_are_pruned_page_by_page(valkey: Redis) -> None:
    pipe = valkey.pipeline()
    for n in range(2500):
        live.begin(pipe, "default", uid(3, n), uid(2, n), at_ms=n)
    pipe.execute()
    assert live.prune(valkey, ["default"], before_ms=2400) == 2400
    assert valkey.hlen("visitor:default") == valkey.zcard("live:default") == 100
