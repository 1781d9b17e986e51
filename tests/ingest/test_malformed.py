"""JSON that is none, after the n_ files of JSONTestSuite (MIT), and what its i_ files leave open, pinned.

In: bodies. Out: 400 for what is no JSON, and an answer below 500 for everything.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from typing import Any

import httpx
import pytest

from tests import make
from tests.ingest.serving import BATCH, SESSION, SINGLE, Server, Site, queued

# Two spaces apart.
_PLAIN = rb"""
[1 true]  ["": 1]  [""],  [,1]  [1,,2]  ["x",,]  ["x"]]  ["",]  [x  [3[4]]  [1:2]  [,]  [-]  [*]  [1,  [{}  [fals]
[nul]  [tru]  [True]  [FALSE]  [NULL]  [undefined]  [nan]  [None]  [++1234]  [+1]  [+Inf]  [-01]  [-1.0.]  [-2.]
[-NaN]  [.-1]  [.2e-3]  [0.1.2]  [0.3e+]  [0.3e]  [0.e1]  [0_1]  [0E+]  [0E]  [0e+]  [0e]  [1.0e+]  [1.0e-]  [1.0e]
[1 000.0]  [1eE2]  [2.e+3]  [2.e-3]  [2.e3]  [9.e+]  [Inf]  [NaN]  [1+2]  [0x1]  [0x42]  [Infinity]  [0e+-1]
[-123.123foo]  [-Infinity]  [-foo]  [- 1]  [-012]  [-.123]  [-1x]  [1ea]  [1.]  [.123]  [1.2a-3]
[1.8011670033376514H-308]  [012]  ["x", truth]  {[: "x"}  {"x", null}  {"x"::"b"}  {"a":"a" 123}  {key: 'value'}
{"a" b}  {:"b"}  {"a" "b"}  {"a":  {1:1}  {9999E9999:1}  {null:null,null:null}  {"id":0,,,,,}  {'a':0}  {"id":0,}
{"a":"b"}/**/  {"a":"b"}/**//  {"a":"b"}//  {"a":"b"}/  {"a":"b",,"c":"d"}  {a: "b"}  {"a":"a
{ "foo" : "bar", "a" }  {"a":"b"}#  ["\uD800\"]  ["\uD800\u"]  ["\uD800\u1"]  ["\uD800\u1x"]  ["\x00"]  ["\\\"]
["\"]  ["\u00A"]  ["\uD834\uDd"]  ["\uD800\uD800\x"]  ["\a"]  ["\uqqqq"]  [\u0020"asd"]  [\n]  ['single quote']  abc
["\  ""x  <.>  [<null>]  [1]x  [1]]  ["asd]  1]  {"x": true,  [][]  ]  [  2@  {}}  {"":  {"a":/*comment*/"b"}  ['
[,  [{  ["a  {  {]  {,  {[  {"a  {'a'  ["\{["\{["\{["\{  *  {"a":"b"}#{}  [\u000A""]  [1  [ false, nul  [ true, fals
[ false, tru
"""
_ODD = [
    b'[a\xe5]', b'["x"', b'[\xff]', b'[   , ""]', b'[""', b'[1,\n1\n,1', b'123\x00', b'[\xef\xbc\x91]', b'[123\xe5]',
    b'[1e1\xe5]', b'[0\xe5]', b'[1e\xe5]', b'{\xf0\x9f\x87\xa8\xf0\x9f\x87\xad}', b'{"\xb9":"0",}', b'{"a"', b' ',
    b'[\xc3\xa9]', b'["\\\x00"]', b'["\\\t"]', b'["\\\xf0\x9f\x8c\x80"]', b'["\\\xe5"]', b'"', b'["a\x00a"]',
    b'["new\nline"]', b'["\t"]', b'"\\UA66D"', b'[\xe2\x81\xa0]', b'\xef\xbb\xbf', b'a\xc3\xa5', b'\xef\xbb{}',
    b'\xe5', b'', b'[\x00]', b'{"a": true} "x"', b'["a"', b'\xe9', b'{"asd":"asd"', b'\xc3\xa5', b'[\x0c]',
]  # fmt: skip
_DEEP = [b"[" * 100_000, b'[{"":' * 50_000]
NOT_JSON = [*_PLAIN.replace(b"\n", b"  ").strip().split(b"  "), *_ODD, *_DEEP]

# What the standard leaves to the reader of it: what ours does, so that a new decoder is noticed.
UNDECIDED: list[tuple[bytes, int]] = [
    (b"[123.456e-789]", 202),
    (b"[0.4e006699999999999999999999999999999999999999999999999999999999999999999999999999999969999999006]", 400),
    (b"[-1e+9999]", 400),
    (b"[1.5e+9999]", 400),
    (b"[-123123e100000]", 400),
    (b"[123123123123123123123123123123]", 202),
    (b"[123e-10000000]", 202),
    (b'{"\\uDFAA":0}', 400),
    (b'["\\uDADA"]', 400),
    (b'["\\uD888\\u1234"]', 400),
    (b'["\\uD800\\n"]', 400),
    (b'["\\uDd1ea"]', 400),
    (b'["\\ud800abc"]', 400),
    (b'["\\uDd1e\\uD834"]', 400),
    (b'\xff\xfe[\x00"\x00\xe9\x00"\x00]\x00', 400),
    (b'["\xed\xa0\x80"]', 400),
    (b'["\xf4\xbf\xbf\xbf"]', 400),
    (b'["\xfc\x83\xbf\xbf\xbf\xbf"]', 400),
    (b'["\xc0\xaf"]', 400),
    (b'["\xe6\x97\xa5\xd1\x88\xfa"]', 400),
    (b'\x00[\x00"\x00\xe9\x00"\x00]', 400),
    (b"[" * 500 + b"]" * 500, 202),
    (b"\xef\xbb\xbf{}", 400),
]


@pytest.mark.parametrize("path", [BATCH, SINGLE, SESSION])
def test_what_is_no_json_is_refused_everywhere_and_never_breaks_anything(shared: Server, path: str) -> None:
    for content in NOT_JSON:
        for sent in (content, b'{"events":' + content + b"}", make.body()[:-2] + b"," + content + b"]}"):
            answer = shared.post(sent, path)
            assert answer.status_code == 400, sent[:100]
            assert answer.json()["code"] == "invalid_body", sent[:100]
    assert queued(shared.settings) == 0


def test_what_the_standard_leaves_open_is_answered_as_it_always_was(shared: Server) -> None:
    answers = [(content, shared.post(content).status_code) for content, _ in UNDECIDED]
    assert answers == UNDECIDED
    assert queued(shared.settings) == 0


def test_a_body_that_stops_anywhere_is_refused(shared: Server) -> None:
    whole = make.body(make.event(0, metadata={"a": ["\\u00e9", 1.5e3, None]}), write_key="x")
    for end in range(len(whole)):
        assert shared.post(whole[:end]).status_code == 400, whole[:end]


FEW = 20  # encoding gives up a few levels before decoding does: it is called from deeper inside
_NO_ID = {"event_id": ..., "client_timestamp": time.time()}
NESTS: dict[str, tuple[Any, str]] = {
    "in metadata": (make.event(0, metadata={"a": "deep"}), "metadata_too_deep"),
    "in metadata, without an id": (make.event(0, metadata={"a": "deep"}, **_NO_ID), "metadata_too_deep"),
    "in an unknown field": (make.event(0, unknown="deep"), "metadata_too_deep"),
    "in an unknown field, without an id": (make.event(0, unknown="deep", **_NO_ID), "metadata_too_deep"),
    "for a number": (make.event(0, position="deep"), "invalid_field"),
    "for an event": ("deep", "invalid_field"),
}


@pytest.mark.parametrize(("nested", "code"), NESTS.values(), ids=NESTS.keys())
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_however_deep_an_event_nests_its_neighbours_are_stored_or_the_body_is_no_json(
    site: Site, nested: Any, code: str, opening: bytes, closing: bytes
) -> None:
    whole = json.dumps([make.event(1), nested, make.event(2)]).encode()
    key = {"x-write-key": site.key}

    def answer(depth: int) -> httpx.Response:
        return site.server.post(whole.replace(b'"deep"', opening * depth + b"1" + closing * depth), headers=key)

    too_deep = bisect_left(range(1100), True, key=lambda depth: answer(depth).status_code == 400)
    for depth in range(too_deep - FEW, too_deep):
        told = answer(depth).json()
        assert (told["accepted"], [(r["index"], r["code"]) for r in told["rejected"]]) == (2, [(1, code)])
    assert {row[0] for row in site.rows("event_id")} == {make.uid(1, 1), make.uid(1, 2)}


@pytest.mark.parametrize(
    "more", [{}, {"event_id": ..., "client_timestamp": time.time()}], ids=["with an id", "without one"]
)
def test_a_single_event_that_nests_too_deeply_is_a_400(shared: Server, more: Any) -> None:
    whole = json.dumps(make.event(0, metadata={"a": "deep"}, **more)).encode()
    for depth in range(20, 1100):
        answer = shared.post(whole.replace(b'"deep"', b"[" * depth + b"]" * depth), SINGLE)
        assert answer.status_code == 400
        assert answer.json()["code"] in ("metadata_too_deep", "invalid_body")
