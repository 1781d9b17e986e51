"""What docs/adding.md has people paste does what it says: in Chromium, behind nginx and Caddy, read as Next.js does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page

from ingest.tracker import SCRIPT
from tests.browser.conftest import watched
from tests.browser.front import EVENTS, Front
from tests.tripstream.starting import free_port
from tests.tripstream.waiting import until

DOC = (Path(__file__).parents[2] / "docs/adding.md").read_text()
PATHS = ("/tracker.js", f"/tracker.{SCRIPT.version}.js")
POSTED = (EVENTS, "/api/session/start", "/api/user/identify")
NOT_HERE = (403, 404)  # nginx's workers may not look into a folder of root's
ANSWER = {"requestId": "01a1fe0c-116c-711b-a0ab-7dd05c7dd42b", "results": [{"matchScore": 91}]}


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOC, re.MULTILINE | re.DOTALL)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    yield from watched(chromium.new_context())


def test_the_snippet_the_calls_and_the_attributes_do_what_they_say(page: Page, site: Front) -> None:
    lines, cards, _ = snippets("html")
    site.whole = lines + cards
    page.goto(site.url)
    calls = snippets("js")[1].replace("#results", "main")
    page.evaluate(f"async ([answer, token]) => {{ {calls} }}", [ANSWER, "eyJ"])
    page.evaluate("document.querySelectorAll('a').forEach((a) => a.removeAttribute('href'))")
    page.get_by_text("WhatsApp").click()
    page.goto(site.url + "/next")
    expected = {"page_view", "booking_start", "search_submit", "results_view", "contact_whatsapp"}
    expected |= {"filter_change", "sort_change"}
    until(lambda: page.evaluate("1") and {event["event_type"] for event in site.events()} >= expected, "all came")
    assert {one.body["write_key"] for one in site.posted} == {"WRITE_KEY"}
    assert "/api/user/identify" in {one.path for one in site.posted}


def test_the_consent_snippet_waits_for_the_platform(page: Page, site: Front) -> None:
    site.whole = snippets("html")[2]
    page.goto(site.url)
    page.evaluate("() => tripstream.track('click')")
    page.evaluate("tripstream.flush()")
    assert (site.posted, page.evaluate("localStorage.length")) == ([], 0)
    page.evaluate("dispatchEvent(new CustomEvent('consent-changed', {detail: {statistics: true}}))")
    page.evaluate("tripstream.flush()")
    assert [event["event_type"] for event in site.events()] == ["page_view"]
    page.evaluate("dispatchEvent(new CustomEvent('consent-changed', {detail: {statistics: false}}))")
    assert page.evaluate("localStorage.length") == 0


def test_the_policy_lets_it_work(page: Page, site: Front) -> None:
    (policy,) = re.findall(r"^Content-Security-Policy: (.+)$", DOC, re.MULTILINE)
    site.headers = {"content-security-policy": policy}
    site.attributes = 'data-site="shop"'
    page.goto(site.url)
    page.evaluate("tripstream.flush()")
    page.goto(site.url + "/next")
    page.evaluate("tripstream.flush()")
    assert [event["event_type"] for event in site.events()] == ["page_view", "page_view"]


@pytest.mark.parametrize("server", ["nginx", "caddy"])
def test_a_proxy_as_shown_passes_on_what_the_tracker_needs_and_nothing_else(
    server: str, site: Front, tmp_path: Path
) -> None:
    program = shutil.which(server) or shutil.which(server, path="/usr/sbin")
    if program is None:
        words = f"{server} is not installed: that its lines in docs/adding.md work is left out"
        assert os.environ.get("CI") != "true", words
        pytest.skip(words)
    port = free_port()
    argv = (nginx if server == "nginx" else caddy)(program, port, site, tmp_path)
    with (tmp_path / "log").open("w") as log:
        child = subprocess.Popen(argv, stdout=log, stderr=log, env=os.environ | {"HOME": str(tmp_path)})
    try:
        _passes_on(f"http://127.0.0.1:{port}", site)
    finally:
        child.terminate()
        child.wait(20)


def nginx(program: str, port: int, site: Front, folder: Path) -> list[str]:
    (location,) = snippets("nginx")
    places = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("proxy", "client_body", "fastcgi", "uwsgi", "scgi")
    )
    location = location.replace("http://127.0.0.1:8000", site.url)
    text = f"daemon off; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {places}"
    (folder / "conf").write_text(f"{text}\nserver {{ listen 127.0.0.1:{port}; root {folder};\n{location} }} }}")
    return [program, "-e", "stderr", "-p", str(folder), "-c", str(folder / "conf")]


def caddy(program: str, port: int, site: Front, folder: Path) -> list[str]:
    (text,) = snippets("caddyfile")
    text = text.replace("trips.example", f"http://127.0.0.1:{port}").replace("127.0.0.1:8000", site.url)
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text.replace("/srv/site", str(folder)))
    return [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def _passes_on(url: str, site: Front) -> None:
    with httpx.Client(base_url=url, trust_env=False) as client:

        def is_up() -> bool:
            try:
                return client.get("/nothing").status_code in NOT_HERE
            except httpx.TransportError:
                return False

        until(is_up, "the proxy is up")
        assert client.get("/tracker.js").content == SCRIPT.body
        assert f"<title>{PATHS[1]}</title>" in client.get(PATHS[1]).text
        for path in POSTED:
            assert client.post(path, content=b'{"events": []}').status_code in (200, 202)
        assert client.get("/dashboard").status_code in NOT_HERE
    assert [one.path for one in site.posted] == list(POSTED)
    assert {one.headers["x-forwarded-for"] for one in site.posted} == {"127.0.0.1"}


def test_the_rewrites_of_nextjs_name_what_the_tracker_needs(tmp_path: Path) -> None:
    """Next.js itself is not run: its configuration is, and the patterns are those of its documentation."""
    node = shutil.which("node")
    if node is None:
        assert os.environ.get("CI") != "true", "Node is not installed"
        pytest.skip("Node is not installed: that the lines for Next.js work is left out")
    (tmp_path / "next.config.mjs").write_text(snippets("js")[0])
    show = "import('./next.config.mjs').then(async (m) => console.log(JSON.stringify(await m.default.rewrites())))"
    shown = subprocess.run([node, "-e", show], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    rewrites = {one["source"]: one["destination"] for one in json.loads(shown)}
    assert all(to == "http://127.0.0.1:8000" + path for path, to in rewrites.items())
    patterns = [re.sub(r":\w+", "[^/]+?", re.escape(path).replace(r"\:", ":")) for path in rewrites]
    missed = [path for path in (*PATHS, *POSTED) if not any(re.fullmatch(one, path) for one in patterns)]
    assert missed == []
