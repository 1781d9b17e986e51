"""How a page of the dashboard is made. In: a request, a template, figures. Out: HTML that runs no script but our own
files; a wrong parameter, a missing right and a server that is away are said on the page, with what to do.

Pages are rendered here, with their figures in tables; charts.js draws each table that asks for it as a chart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ValidationError

from reports.asking import asked, now
from reports.dashboard.signing_in import CHOSEN, COOKIE
from reports.dashboard.words import WORDS
from reports.html import HEADERS
from schema.assets import Shelf, of_folder, of_package
from schema.db import Connection
from schema.errors import InvalidRequest, TripstreamError, Unauthorized
from schema.settings import Settings
from schema.spans import Span, SpanQuery

HERE = Path(__file__).parent
Q = TypeVar("Q", bound=SpanQuery)
M = TypeVar("M", bound=BaseModel)


class Place(NamedTuple):
    """One entry of the navigation. `of_days`: which days were looked at is kept on the way there."""

    path: str
    title: str
    of_days: bool = False


PLACES = (
    Place("/dashboard", "Overview", of_days=True),
    Place("/dashboard/live", "Live"),
    Place("/dashboard/trips", "Trips", of_days=True),
    Place("/dashboard/searches", "Searches", of_days=True),
    Place("/dashboard/pages", "Pages and sources", of_days=True),
    Place("/dashboard/funnel", "Funnel", of_days=True),
    Place("/dashboard/retention", "Retention"),
    Place("/dashboard/dead-letters", "Dead letters"),
    Place("/dashboard/health", "Health"),
    Place("/dashboard/try", "Try it"),
)


@cache
def shelf() -> Shelf:
    """Our styles and scripts, and Chart.js as the package chartkick brings it."""
    charts = of_package("chartkick", "django", "static", "chartkick", "Chart.bundle.js")
    return Shelf("/dashboard/assets", of_folder(HERE / "static") | {"chart.js": charts})


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.globals |= {"asset": shelf().url, "places": PLACES}
    made.filters |= WORDS
    return made


def page(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """The page. Every template may use `path`, `query` (what its address asks for) and `signed_in`."""
    given = {
        "path": request.url.path,
        "query": dict(request.query_params),
        "signed_in": COOKIE in request.cookies,
        "chosen": request.scope.get(CHOSEN),
        "span": None,
        "problem": None,
        "with_query": lambda **more: _with_query(request, more),
        "days_kept": _query({name: request.query_params.get(name) for name in ("days", "start", "end")}),
    }
    html = _environment().get_template(template).render(given | context)
    return HTMLResponse(html, status, HEADERS)


def figures(
    request: Request,
    settings: Settings,
    template: str,
    kind: type[Q],
    ask: Callable[[Connection, Span, Q], dict[str, Any]],
    statement_seconds_max: int = 20,
) -> Response:
    """A page about days: its address says which, and what `ask` finds of them is the template's."""
    with told(request) as problem:
        query = wanted(kind, request)
        with asked(request, settings, query, now(), statement_seconds_max=statement_seconds_max) as (connection, span):
            problem.response = page(request, template, span=span, **ask(connection, span, query))
    return problem.response


class Told:
    """The answer, or the page that says why there is none."""

    response: Response


@contextmanager
def told(request: Request) -> Iterator[Told]:
    """What goes wrong inside is said on a page: a missing key leads to where one is given."""
    found = Told()
    try:
        yield found
    except Unauthorized:
        found.response = _to_sign_in(request)
    except InvalidRequest as error:
        wrong = "; ".join(f"{name}: {why}" for name, why in error.fields) or error.message
        found.response = page(request, "problem.html", error.status, problem=wrong)
    except TripstreamError as error:
        found.response = page(request, "problem.html", error.status, problem=error.message)


def _to_sign_in(request: Request) -> Response:
    """Where a key is given; whose cookie holds one that is good no more is told so, and loses it."""
    query = f"?{request.url.query}" if request.url.query else ""
    said = {"next": request.url.path + query if request.method == "GET" else "/dashboard"}
    said |= {"ended": "1"} if COOKIE in request.cookies else {}
    response = RedirectResponse(f"/dashboard/sign-in?{urlencode(said)}", 303)
    if COOKIE in request.cookies:
        response.delete_cookie(COOKIE, path="/")
    return response


def wanted(kind: type[M], request: Request) -> M:
    """What the address asks for. Raises InvalidRequest."""
    return parsed(kind, dict(request.query_params))


def parsed(kind: type[M], said: dict[str, str]) -> M:
    """Parameters that were left empty in a form are as good as none. Raises InvalidRequest."""
    try:
        return kind.model_validate({name: value for name, value in said.items() if value != ""})
    except ValidationError as error:
        wrong = [(".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")) for one in error.errors()]
        raise InvalidRequest(fields=wrong) from None


def _with_query(request: Request, more: dict[str, object]) -> str:
    """This page's address with some parameters changed; None takes one away."""
    return request.url.path + _query({**request.query_params, **more})


def _query(asked: dict[str, object]) -> str:
    said = urlencode({name: value for name, value in asked.items() if value not in (None, "")})
    return f"?{said}" if said else ""
