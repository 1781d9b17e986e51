"""`/dashboard/dead-letters`: shown with a read key, changed with an admin key. In: a filter, an id, a form. Out: pages;
a change that failed is told beside what was typed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from reports.dashboard import letters
from reports.dashboard.forms import form
from reports.dashboard.letters import LettersQuery
from reports.dashboard.operating import Matching, Operating, Replayed
from reports.dashboard.pages import page, parsed, told
from reports.dashboard.viewers import changed_site, viewer
from schema import db
from schema.errors import InvalidRequest, TripstreamError
from schema.settings import Settings

PATH = "/dashboard/dead-letters"
AT_ONCE = 500
Said = Annotated[dict[str, str], Depends(form)]
_GIVEN_UP = "It was given up: it counts as discarded, and cannot be replayed any more."
_UNSURE = "Tick the box first: what is given up cannot be replayed any more."


def add_letters(app: FastAPI, settings: Settings, operating: Operating) -> None:
    """The routes."""

    @app.get(PATH, include_in_schema=False)
    def listed(request: Request) -> Response:
        with told(request) as answer:
            query, seen = parsed(LettersQuery, dict(request.query_params)), viewer(settings, request)
            with db.wrapped(), _reading(settings, seen.site_id) as connection:
                found = letters.page_of(connection, seen.site_id, query)
            answer.response = page(request, "letters.html", viewer=seen, done=None, at_once=AT_ONCE, **found)
        return answer.response

    @app.get(PATH + "/all", include_in_schema=False)
    def back() -> Response:
        return RedirectResponse(PATH, 303)

    @app.get(PATH + "/{dead_letter_id:int}", include_in_schema=False)
    def one(request: Request, dead_letter_id: int) -> Response:
        with told(request) as answer:
            answer.response = _show(request, settings, dead_letter_id)
        return answer.response

    @app.post(PATH + "/all", include_in_schema=False)
    def change_all(request: Request, said: Said) -> Response:
        with told(request) as answer:
            site_id = changed_site(settings, request)
            done = _all(operating, site_id, said)
            answer.response = page(request, "letters_done.html", done=done, said=said)
        return answer.response

    @app.post(PATH + "/{dead_letter_id:int}", include_in_schema=False)
    def change(request: Request, dead_letter_id: int, said: Said) -> Response:
        with told(request) as answer:
            answer.response = _change(request, settings, operating, dead_letter_id, said)
        return answer.response


def _reading(settings: Settings, site_id: str) -> AbstractContextManager[db.Connection]:
    return db.reading(settings, db.Scope(site_id), fresh=True)


def _show(request: Request, settings: Settings, dead_letter_id: int, status: int = 200, **more: Any) -> Response:
    """The letter as it is; `typed` in place of its event where that was not taken."""
    seen = viewer(settings, request)
    with db.wrapped(), _reading(settings, seen.site_id) as connection:
        letter = letters.letter_of(connection, seen.site_id, dead_letter_id)
    given: dict[str, Any] = {"typed": None, "seen": str(letter.patched_at or ""), "problem": None, "done": None}
    return page(request, "letter.html", status, viewer=seen, letter=letter, **given | more)


def _change(
    request: Request, settings: Settings, operating: Operating, dead_letter_id: int, said: dict[str, str]
) -> Response:
    """Patch, replay, both, or give up. Whatever goes wrong, what was typed comes back."""
    typed, seen = said.get("event"), said.get("seen", "")
    try:
        site_id = changed_site(settings, request)
        done = _done(operating, site_id, dead_letter_id, said)
    except TripstreamError as error:
        try:
            return _show(request, settings, dead_letter_id, error.status, typed=typed, seen=seen, problem=error.message)
        except TripstreamError:  # a key that was revoked while somebody typed shows no letter, and loses no text
            return page(request, "letter_lost.html", error.status, typed=typed or "", seen=seen, problem=error.message)
    if said.get("do") == "patch":
        return RedirectResponse(f"{PATH}/{dead_letter_id}?saved=1", 303)
    return _show(request, settings, dead_letter_id, done=done)


def _done(operating: Operating, site_id: str, dead_letter_id: int, said: dict[str, str]) -> str:
    wanted = said.get("do", "")
    if wanted == "discard":
        _require_sure(said)
        operating.discard(site_id, [dead_letter_id])
        return _GIVEN_UP
    if wanted in ("patch", "patch_and_replay"):
        event = letters.event_in(said.get("event", ""))
        operating.patch(site_id, dead_letter_id, said.get("seen", ""), event)
    elif wanted != "replay":
        raise InvalidRequest(f"There is nothing here called {wanted!r}.")
    return "It was saved." if wanted == "patch" else _told(operating.replay(site_id, [dead_letter_id])[0])


def _told(one: Replayed) -> str:
    said = {
        "replayed": "It was stored, and counts from now on.",
        "duplicate": "This event was stored already: the letter is settled as a duplicate.",
        "already resolved": f"It is settled already: {one.reason}.",
    }
    if one.verdict == "dead":
        raise InvalidRequest(f"It could not be stored: {one.reason}")
    return said.get(one.verdict, one.verdict)


def _all(operating: Operating, site_id: str, said: dict[str, str]) -> dict[str, Any]:
    """So many of a filter at once, oldest first, and after which id the others begin."""
    given = {name: said.get(name) or None for name in ("type", "reason")}
    query = parsed(LettersQuery, {name: value for name, value in given.items() if value})
    wanted = Matching(query.type, query.reason, _number(said.get("after")), AT_ONCE)
    doing: dict[str, Callable[[list[int]], dict[str, Any]]] = {
        "replay": lambda ids: _replayed(operating.replay(site_id, ids)),
        "discard": lambda ids: {"discarded": operating.discard(site_id, ids), "verdicts": {}, "dead": []},
    }
    act = said.get("do", "")
    if act not in doing:
        raise InvalidRequest(f"There is nothing here called {act!r}.")
    if act == "discard":
        _require_sure(said)
    ids = operating.matching(site_id, wanted, act == "discard")
    found = doing[act](ids) if ids else {"verdicts": {}, "dead": [], "discarded": 0}
    return found | {"do": act, "letters": len(ids), "after": ids[-1] if len(ids) == AT_ONCE else None}


def _replayed(done: Any) -> dict[str, Any]:
    dead = [one for one in done if one.verdict == "dead"]
    return {"verdicts": Counter(one.verdict for one in done), "dead": dead[:20], "discarded": 0}


def _require_sure(said: dict[str, str]) -> None:
    if said.get("sure") != "yes":
        raise InvalidRequest(_UNSURE)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0
