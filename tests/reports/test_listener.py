"""One listener holds the newest message, and nothing makes it hold less."""

from __future__ import annotations

import asyncio

from reports.listener import Listener


async def heard(listener: Listener) -> bytes:
    """The next message, of which there is one."""
    return await asyncio.wait_for(anext(listener.messages()), 5)


def test_the_newest_message_takes_the_place_of_the_one_before_and_a_sign_of_life_does_not() -> None:
    async def listening() -> None:
        listener = Listener("default", None)
        listener.put(b"old")
        listener.put(b"new")
        listener.nudge()
        assert await heard(listener) == b"new"
        listener.nudge()
        assert await heard(listener) == b": still here\n\n"

    asyncio.run(listening())


def test_who_is_ended_is_sent_nothing_more() -> None:
    async def listening() -> None:
        listener = Listener("default", None)
        listener.put(b"too late")
        listener.end()
        assert [message async for message in listener.messages()] == []

    asyncio.run(listening())


def test_who_is_cut_off_loses_the_connection_where_the_server_can_do_that() -> None:
    async def listening() -> None:
        cut: list[str] = []
        for abort in (None, lambda: cut.append("cut")):
            listener = Listener("default", None)
            listener.abort = abort
            listener.cut()
            assert listener.ended
        assert cut == ["cut"]

    asyncio.run(listening())
