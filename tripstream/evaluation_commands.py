"""`tripstream evaluate`: the recommender, held to its scenarios. In: which scenarios. Out: a table, what is not as
expected in words, and an exit code for CI: 0 when nothing failed, 1 when something did, 2 for a scenario that is not
there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from schema import settings as config
from tripstream.figure_commands import console
from tripstream.running import connect

if TYPE_CHECKING:
    from recommender.evaluation import Report
    from recommender.scenarios import Row

app = typer.Typer()
_MARKS = {"passed": "[green]passed[/]", "failed": "[red]FAILED[/]", "skipped": "[yellow]skipped[/]"}


@app.command()
def evaluate(
    category: Annotated[str | None, typer.Option(help="Only scenarios of this category.")] = None,
    name: Annotated[list[str] | None, typer.Option(help="Only the scenario of this name; repeat it.")] = None,
) -> None:
    """Hold the recommender to its scenarios, on their own trips and on the live catalogue."""
    from recommender import catalogue, evaluation, scenarios  # numpy
    from recommender.evaluation import Ground
    from schema import db

    today = datetime.now(UTC).date()
    settings = connect(config.load(), "database_url")
    with db.wrapped(), db.connect(settings, "tripstream_reader", statement_seconds_max=240) as connection:
        rows = _chosen(scenarios.read(connection, category), category, name or [])
        continents = catalogue.known_codes(connection).countries
        is_live = any(row.trips is None for row in rows)
        live = catalogue.read(connection, today).snapshot if is_live else None
    report = evaluation.run(rows, Ground(live, continents, today))
    _show(report)
    raise typer.Exit(int(bool(report.failed)))


def _chosen(rows: list[Row], category: str | None, names: list[str]) -> list[Row]:
    if not rows:
        there_is_none = "there is no active scenario" + (f" of the category {category!r}" if category else "")
        raise typer.BadParameter(there_is_none)
    if unknown := set(names) - {row.name for row in rows}:
        raise typer.BadParameter(f"there is no active scenario named {min(unknown)!r}")
    return [row for row in rows if not names or row.name in names]


def _show(report: Report) -> None:
    table = Table("scenario", "category", "results", "ms", "", box=None, header_style="bold")
    for one in report.scenarios:
        name, category = escape(one.name), escape(one.category)
        table.add_row(name, category, str(len(one.results)), f"{one.duration_ms:.2f}", _MARKS[one.verdict])
    console.print(table)
    for one in report.scenarios:
        for line in [one.reason] if one.reason else one.differences:
            console.print(f"{_MARKS[one.verdict]} {escape(one.name)}: {escape(line)}", highlight=False, soft_wrap=True)
    console.print(
        f"{report.passed} passed, {report.failed} failed, {report.skipped} skipped in {report.duration_ms:.0f} ms; "
        f"{report.policy_id} version {report.policy_version}",
        highlight=False,
    )
