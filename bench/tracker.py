"""What a call of the tracker costs a page: `python -m bench.tracker`. In: Chromium, a server that answers at once. Out:
microseconds a call, on stdout.

A page's clock ticks in steps of 100 µs, so that calls are timed in runs of ten, in each of which a batch goes out.
"""

from __future__ import annotations

import shutil
import statistics
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import Browser, sync_playwright

from ingest.tracker import SCRIPT

RUNS, CALLS = 300, 10
PAGE = b"<!doctype html><meta charset=utf-8><script src=/tracker.js data-site=default data-manual=true></script>"
TIME = """async ([runs, calls, filled]) => {
    const fields = {trip_id: 7, position: 1, score: 91, source: 'search_results', metadata: {filters: {budget: 900}}};
    if (filled) for (let n = 0; n < 1500; n++) localStorage['theirs' + n] = 'x'.repeat(1000);
    const found = [];
    for (let run = 0; run < runs; run++) {
        const began = performance.now();
        for (let n = 0; n < calls; n++) tripstream.track('click_trip', fields);
        found.push((performance.now() - began) * 1000 / calls);
        await new Promise((wake) => setTimeout(wake, 5));
    }
    return found;
}"""


class Answering(BaseHTTPRequestHandler):
    """The page, the tracker, and 202 for whatever comes."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._answer(200, SCRIPT.body if self.path == "/tracker.js" else PAGE)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(202, b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def measure(browser: Browser, url: str, *, filled: bool) -> list[float]:
    """Microseconds a call, one figure a run. `filled`: with 1,500 entries of the site's own in storage."""
    page = browser.new_page()
    page.goto(url)
    found: list[float] = page.evaluate(TIME, [RUNS, CALLS, filled])
    page.close()
    return sorted(found)


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        print(f"Chromium {browser.version}, {RUNS} runs of {CALLS} calls of track(), µs a call")
        for filled in (False, True):
            found = measure(browser, f"http://127.0.0.1:{server.server_port}/", filled=filled)
            place = "1,500 entries of the site's in storage" if filled else "an empty storage"
            at = [f"{name} {found[int(len(found) * share)]:.0f}" for name, share in (("p95", 0.95), ("p99", 0.99))]
            print(f"  {place}: median {statistics.median(found):.0f}, {', '.join(at)}, most {found[-1]:.0f}")
        browser.close()


if __name__ == "__main__":
    main()
