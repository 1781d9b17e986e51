"""An issuer's keys: fetched seldom and in time, kept while it is away, read without trust."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import suppress

import pytest

from ingest import jwks as fetching
from ingest.jwks import FRESH_SECONDS, THROTTLE_SECONDS, Keys, download, read
from schema.errors import Busy
from tests.ingest.issuer import JWKS_URL, ec_key, jwk, jwks, rsa_key


class Provider:
    """What a provider is asked, and answers."""

    def __init__(self) -> None:
        self.now, self.asked, self.document = 1000.0, 0, jwks()
        self.keys = Keys(JWKS_URL, self.answer, lambda: self.now)

    def answer(self, _url: str) -> bytes:
        self.asked += 1
        if not self.document:
            raise OSError("away")
        return self.document

    async def has(self, kid: str | None = "r1", algorithm: str = "RS256") -> bool:
        return await self.keys.find(kid, algorithm) is not None


def test_keys_are_fetched_once_however_many_ask() -> None:
    async def check() -> None:
        provider = Provider()
        assert all(await asyncio.gather(*(provider.has() for _ in range(20))))
        assert await provider.has(None) and not await provider.has("e1")
        assert provider.asked == 1

    asyncio.run(check())


def test_an_unknown_key_is_looked_for_again_but_not_often() -> None:
    async def check() -> None:
        provider = Provider()
        assert not await provider.has("new") and not await provider.has("new")
        assert provider.asked == 1
        provider.now += THROTTLE_SECONDS + 1
        provider.document = jwks().replace(b'"r1"', b'"new"')
        assert await provider.has("new") and not await provider.has("r1")
        assert provider.asked == 2

    asyncio.run(check())


def test_keys_that_get_old_are_fetched_while_they_still_serve() -> None:
    async def check() -> None:
        provider = Provider()
        assert await provider.has()
        provider.now += FRESH_SECONDS + 1
        assert await provider.has()
        if provider.keys._fetching is not None:
            await provider.keys._fetching
        assert provider.asked == 2

    asyncio.run(check())


def test_the_last_good_keys_stay_when_the_provider_is_away_or_mad() -> None:
    async def check() -> None:
        provider = Provider()
        assert await provider.has()
        for document in (b"", b"<html>", b'{"keys": []}', b'{"keys": [{"kty": "RSA"}]}'):
            provider.document = document
            provider.now += FRESH_SECONDS + 1
            assert not await provider.has("new")
            assert await provider.has()
        assert provider.asked == 5

    asyncio.run(check())


def test_without_any_keys_nobody_is_refused_for_ever() -> None:
    async def check() -> None:
        provider = Provider()
        provider.document = b""
        for _ in range(3):
            with pytest.raises(Busy):
                await provider.has()
        assert provider.asked == 1
        provider.document = jwks()
        provider.now += THROTTLE_SECONDS + 1
        assert await provider.has()

    asyncio.run(check())


def test_only_public_keys_that_sign_are_read() -> None:
    document = json.dumps(
        {
            "keys": [
                jwk(rsa_key("ours"), kid="enc", use="enc"),
                jwk(rsa_key("ours"), kid="rs512", alg="RS512"),
                jwk(ec_key("ours"), kid="private", d="AQAB"),
                {"kty": "oct", "kid": "oct", "k": "AAAA"},
                jwk(ec_key("ours"), kid="good"),
            ]
        }
    )
    assert read(document.encode()).keys() == {("good", "ES256")}


def test_one_mad_key_spoils_no_other_and_two_of_one_id_are_told_apart() -> None:
    keys = [7, None, "x", {"kty": []}, jwk(rsa_key("ours"), kid="1"), jwk(ec_key("ours"), kid="1")]
    keys.append(jwk(rsa_key("ours"), kid="n", n=5))
    assert read(json.dumps({"keys": keys}).encode()).keys() == {("1", "RS256"), ("1", "ES256")}


def test_keys_are_read_in_a_thread() -> None:
    async def check() -> None:
        provider = Provider()
        threads: list[threading.Thread] = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(fetching, "read", lambda _: {("r1", "RS256"): threads.append(threading.current_thread())})
            await provider.has()
        assert threads[0] is not threading.main_thread()

    asyncio.run(check())


def test_a_provider_that_drips_is_given_up() -> None:
    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not over.wait(0.01):
                connection.sendall(b" ")

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: drip(server.accept()[0]))
        thread.start()
        try:
            with pytest.raises(ValueError, match="does not end"):
                download(f"http://127.0.0.1:{server.getsockname()[1]}/", seconds_max=0.2)
        finally:
            over.set()
            thread.join()


def test_a_fetch_that_never_ends_is_not_waited_for() -> None:
    over = threading.Event()

    async def check() -> None:
        keys = Keys(JWKS_URL, lambda _: b"x" * over.wait(30), seconds_max=-0.9)
        with pytest.raises(Busy):
            await keys.find("r1", "RS256")
        over.set()

    asyncio.run(check())
