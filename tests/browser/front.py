"""A site with the tracker on it, and a proxy that fails as told. In: pages by path, an upstream or none. Out: HTTP on a
port of its own, and what browsers posted, as it came.

`fault` says what becomes of a post: None lets it through (without an upstream: answers as Tripstream does), a number is
the status of a refusal, "cut" takes the batch and drops the connection before the answer, "hang" never answers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import httpx

from ingest.tracker import SCRIPT

EVENTS = "/api/events/batch"
RETRY_AFTER = {"retry-after": "1", "access-control-allow-origin": "*", "access-control-expose-headers": "retry-after"}
PAGE = "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><title>{path}</title>{head}<body>{body}"


class Posted(NamedTuple):
    """One request of a browser. `status` is what it was answered, 0 for nothing."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    status: int


class Front(ThreadingHTTPServer):
    """The site. `attributes` go into the tracker's element, `before` stands in front of it, `whole` in place of both;
    `headers` come with each page."""

    daemon_threads = True

    def __init__(self, upstream: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.fault = upstream, None
        self.script, self.attributes = "/tracker.js", 'data-site="shop" data-manual="true"'
        self.before, self.bodies = "", dict[str, str]()
        self.whole, self.headers = "", dict[str, str]()
        self.retry_after = "1"
        self.posted: list[Posted] = []
        self.ended = threading.Event()

    fault: int | str | None

    def handle_error(self, *_: object) -> None:
        """A browser that went away takes its connection along."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def page(self, path: str) -> str:
        head = self.whole or f"{self.before}<script defer src='{self.script}' {self.attributes}></script>"
        return PAGE.format(path=path, head=head, body=self.bodies.get(path.split("?")[0], ""))

    def events(self, event_type: str | None = None, *, answered: bool = False) -> list[dict[str, Any]]:
        """Every event that came, as often as it came; `answered`: for which its page was told so."""
        batches = [one for one in self.posted if one.path == EVENTS and (one.status == 202 or not answered)]
        found = [event for batch in batches for event in batch.body["events"]]
        return [event for event in found if event_type in (None, event["event_type"])]


class _Handler(BaseHTTPRequestHandler):
    server: Front
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        if self.path == "/tracker.js":
            self._answer(200, SCRIPT.body, {"content-type": "text/javascript", "cache-control": "max-age=60"})
        else:
            html = {"content-type": "text/html; charset=utf-8", **self.server.headers}
            self._answer(200, self.server.page(self.path).encode(), html)

    def do_POST(self) -> None:
        site, raw = self.server, self.rfile.read(int(self.headers.get("content-length", 0)))
        fault = site.fault
        status, answer = (fault, b"{}") if isinstance(fault, int) else self._pass_on(raw)
        told = 0 if isinstance(fault, str) else status
        headers = {name.lower(): value for name, value in self.headers.items()}
        site.posted.append(Posted(self.path, headers, json.loads(raw), told))
        if fault == "hang":
            site.ended.wait(60)
        if isinstance(fault, str):
            self.close_connection = True
            return
        refused = RETRY_AFTER | {"retry-after": site.retry_after}
        self._answer(status, answer, refused if status in (429, 503) else {"access-control-allow-origin": "*"})

    def _pass_on(self, raw: bytes) -> tuple[int, bytes]:
        if self.server.upstream is None:
            return (202 if self.path != "/api/session/start" else 200), b'{"accepted": 1}'
        headers = {name: self.headers[name] for name in ("content-type", "user-agent") if name in self.headers}
        try:
            came = httpx.post(self.server.upstream + self.path, content=raw, headers=headers, timeout=30)
        except httpx.HTTPError:
            return 502, b"{}"
        return came.status_code, came.content

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def fronting(upstream: str | None = None) -> Iterator[Front]:
    """The site, while it is open."""
    site = Front(upstream)
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.ended.set()
        site.shutdown()
        site.server_close()
        thread.join()
