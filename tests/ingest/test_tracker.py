"""The tracker's file: what is served is what `make tracker` makes of its source, small, and with its types."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from ingest import app as ingest
from ingest import tracker
from schema.settings import Settings
from tests.ingest.serving import Server, serving
from tests.test_tidy import ROOT, generated

BYTES_MAX = 3_000
MODULES = ROOT / "tests/clients/node/node_modules"
PAGE = """
import type { Answer, Call, Tripstream } from "./tracker";
const tripstream: Tripstream = window.tripstream as Tripstream;
tripstream.init({ site: "shop", key: "k", batch: 20, consent: false, fields: { owner_code: "guide-7" } });
tripstream.track("click_trip", { trip_id: 7, position: 1, score: 90.5, source: "email", metadata: { a: [1] } });
tripstream.page("trip", { trip_id: 7 });
const taken: Promise<boolean | undefined> | undefined = tripstream.identify("eyJ");
const answer: Answer = { requestId: "r", results: [{ matchScore: 91 }], primaryCount: 1 };
tripstream.results(answer);
tripstream.list(document.body, { recommendation_request_id: answer.requestId });
tripstream.search({ selectedCountries: ["IT"], budget: 900 });
tripstream.filter("budget", 900);
const call: Call = ["dwell", 7, { source: "trip_detail" }];
window.tripstream.push(call);
tripstream.flush()?.then(() => tripstream.consent(false));
"""
WRONG = ("tripstream.track(7)", "tripstream.filter()", 'window.tripstream.push(["dwel", 7])', 'tripstream.dwell("7")')


def test_it_is_small() -> None:
    assert len(gzip.compress(tracker.SCRIPT.body, 9, mtime=0)) < BYTES_MAX
    assert len(tracker.SCRIPT.packed) < BYTES_MAX


def test_it_is_what_its_source_makes(tmp_path: Path) -> None:
    said = re.search(r"^MINIFIED := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert said
    command = [_node("terser/bin/terser"), str(ROOT / "ingest/tracker.js"), *shlex.split(said[1])]
    made = subprocess.run([_program(), *command], capture_output=True, check=True).stdout
    assert made.strip() == tracker.SCRIPT.body.strip(), "run `make tracker`"


def test_its_types_are_those_of_its_calls(tmp_path: Path) -> None:
    shutil.copy(ROOT / "ingest/tracker.d.ts", tmp_path)
    assert _compiled(tmp_path, PAGE + "".join(f"// @ts-expect-error\n{line};\n" for line in WRONG)) == ""
    calls = re.search(r"const api = \{\n(.*?)\n  \};", (ROOT / "ingest/tracker.js").read_text(), re.DOTALL)
    assert calls
    names = set(re.findall(r"^    (?:async )?(\w+)[(,:]", calls[1], re.MULTILINE))
    typed = re.search(r"interface Tripstream \{\n(.*?)\n\}", (ROOT / "ingest/tracker.d.ts").read_text(), re.DOTALL)
    assert typed
    assert names == set(re.findall(r"^  (\w+)\(", typed[1], re.MULTILINE))


def test_the_readme_shows_its_version_and_its_hash() -> None:
    assert generated("tracker") == f"```html\n{tracker.snippet()}\n```"


def test_both_applications_serve_it_to_every_origin(settings: Settings) -> None:
    for app in (None, ingest.create(settings)):
        with serving(settings, app) as server:
            _is_served(server)


def _is_served(server: Server) -> None:
    newest = server.request("GET", "/tracker.js")
    pinned = server.request("GET", f"/tracker.{tracker.SCRIPT.version}.js")
    assert newest.content == pinned.content == tracker.SCRIPT.body
    assert pinned.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert newest.headers["cache-control"] == "public, max-age=3600"
    for answer in (newest, pinned, server.request("GET", "/tracker.d.ts")):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["content-encoding"] == "gzip"
    assert newest.headers["content-type"] == "text/javascript; charset=utf-8"
    again = server.request("GET", "/tracker.js", headers={"if-none-match": newest.headers["etag"]})
    assert (again.status_code, again.content, again.headers["access-control-allow-origin"]) == (304, b"", "*")
    old = server.request("GET", "/tracker.000000000000.js")
    assert (old.status_code, old.headers["location"], old.headers["cache-control"]) == (307, "tracker.js", "no-store")


def _program() -> str:
    node = shutil.which("node")
    if node is None:
        assert os.environ.get("CI") != "true", "Node is not installed"
        pytest.skip("Node is not installed")
    return node


def _node(script: str) -> str:
    path = MODULES / script
    if not path.exists():
        assert os.environ.get("CI") != "true", f"{script} is not installed"
        pytest.skip(f"{script} is not installed: `make test` does it")
    return str(path)


def _compiled(folder: Path, text: str) -> str:
    """What the compiler has to say of it."""
    (folder / "page.ts").write_text(text)
    command = [
        _program(),
        _node("typescript/bin/tsc"),
        "--strict",
        "--noEmit",
        "--target",
        "es2020",
        "--lib",
        "es2020,dom",
    ]
    return subprocess.run([*command, "page.ts"], cwd=folder, capture_output=True, text=True, check=False).stdout
