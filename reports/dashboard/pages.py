"""How a page of the dashboard is made. In: a request, a template, figures. Out: HTML that runs no script but our own
files; a wrong parameter, a missing right and a server that is away are said on the page, with what to do.

Pages are rendered here, with their figures in tables; charts.js draws each table that asks for it as a chart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError

from reports.asking import asked, now
from reports.dashboard.signing_in import COOKIE
from reports.html import HEADERS
from schema.assets import Shelf, of_folder, of_package
from schema.db import Connection
from schema.errors import Forbidden, InvalidRequest, TripstreamError, Unauthorized
from schema.settings import Settings
from schema.spans import Span, SpanQuery

HERE = Path(__file__).parent
Q = TypeVar("Q", bound=SpanQuery)


class Place(NamedTuple):
    """One entry of the navigation."""

    path: str
    title: str


PLACES = (
    Place("/dashboard", "Overview"),
    Place("/dashboard/live", "Live"),
    Place("/dashboard/trips", "Trips"),
    Place("/dashboard/searches", "Searches"),
    Place("/dashboard/pages", "Pages and sources"),
    Place("/dashboard/funnel", "Funnel"),
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
    made.filters |= {"whole": whole, "percent": percent, "change": change, "seconds": seconds, "moment": moment}
    return made


def page(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """The page. Every template may use `path`, `query` (what its address asks for) and `signed_in`."""
    given = {
        "path": request.url.path,
        "query": dict(request.query_params),
        "signed_in": COOKIE in request.cookies,
        "span": None,
        "problem": None,
        "with_query": lambda **more: _with_query(request, more),
    }
    html = _environment().get_template(template).render(given | context)
    return HTMLResponse(html, status, HEADERS)


def figures(
    request: Request,
    settings: Settings,
    template: str,
    kind: type[Q],
    ask: Callable[[Connection, Span, Q], dict[str, Any]],
) -> Response:
    """A page about days: its address says which, and what `ask` finds of them is the template's."""
    with told(request) as problem:
        query = _parsed(kind, dict(request.query_params))
        with asked(request, settings, query, now()) as (connection, span):
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
    except (Unauthorized, Forbidden) as error:
        if isinstance(error, Forbidden) and COOKIE not in request.cookies:
            raise
        after = urlencode({"next": str(request.url.path) + (f"?{request.url.query}" if request.url.query else "")})
        found.response = RedirectResponse(f"/dashboard/sign-in?{after}", 303)
    except InvalidRequest as error:
        wrong = "; ".join(f"{name}: {why}" for name, why in error.fields) or error.message
        found.response = page(request, "problem.html", error.status, problem=wrong)
    except TripstreamError as error:
        found.response = page(request, "problem.html", error.status, problem=error.message)


def _parsed(kind: type[Q], said: dict[str, str]) -> Q:
    """Parameters that were left empty in a form are as good as none. Raises InvalidRequest."""
    try:
        return kind.model_validate({name: value for name, value in said.items() if value != ""})
    except ValidationError as error:
        wrong = [(".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")) for one in error.errors()]
        raise InvalidRequest(fields=wrong) from None


def _with_query(request: Request, more: dict[str, object]) -> str:
    """This page's address with some parameters changed; None takes one away."""
    kept = {**request.query_params, **more}
    said = urlencode({name: value for name, value in kept.items() if value not in (None, "")})
    return request.url.path + (f"?{said}" if said else "")


def whole(value: float | None) -> str:
    """12,345; a dash where there is nothing."""
    return "–" if value is None else f"{value:,.0f}"


def percent(value: float | None, digits: int = 1) -> str:
    """0.1234 as 12.3 %."""
    return "–" if value is None else f"{value * 100:,.{digits}f} %"


def change(value: float | None) -> str:
    """0.25 as +25 %."""
    return "–" if value is None else f"{value * 100:+,.0f} %"


def seconds(value: float | None) -> str:
    """Time in the unit that fits it."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value * 1000:,.0f} ms"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{value:.1f} s"


def moment(value: datetime | date | None) -> str:
    """A moment, in UTC, to the second."""
    if value is None:
        return "–"
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else value.isoformat()
