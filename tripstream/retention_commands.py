"""How long rows are kept: `tripstream retention`. In: limits, options. Out: a table of what goes, or would go."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tripstream.figure_commands import _print, _settings, console, progress

retention = typer.Typer(help="Drop rows that are past their limit; the clock does this every night.")


@retention.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    archive: Annotated[Path | None, typer.Option(metavar="DIR", help="Write rows as Parquet before they go.")] = None,
) -> None:
    """Drop rows that are past their limit; the clock does this every night. What was counted of them stays."""
    if context.invoked_subcommand is not None:
        return
    from schema import db
    from workers import retention as dropping  # psycopg, datasketches

    now = datetime.now(UTC)
    with db.wrapped(), progress() as tell:
        if dry_run:
            gone, floors = dropping.look(_settings(), now)
            _print(
                "floors that would rise: events of days before them would be refused", [_floor(one) for one in floors]
            )
        else:
            gone = dropping.run(_settings(), now, directory=archive, progress=tell)
    _print("rows that would go" if dry_run else "rows that went", [_line(one) for one in gone])
    console.print(f"{sum(one.rows for one in gone)} rows {'would go' if dry_run else 'went'}", highlight=False)


@retention.command("limits")
def limits() -> None:
    """List how long rows of each category are kept, and which event types and sites have a shorter limit."""
    from schema import db
    from workers import retention as dropping

    with db.wrapped(), db.connect(_settings()) as connection:
        _print("limits", dropping.limits(connection))


@retention.command("limit")
def limit(
    name: Annotated[str, typer.Argument(help="A category or an event type: see `limits`.")],
    days: Annotated[int, typer.Argument(min=1, max=36500, help="How long its rows are kept.")],
) -> None:
    """Change how long rows of a category or of one event type are kept."""
    from schema import db
    from workers import retention as dropping

    with db.wrapped(), db.connect(_settings(), "owner") as connection:
        dropping.set_limit(connection, name, days)
    console.print(f"{name} is kept for {days} days; `tripstream retention --dry-run` says what that means")


def _line(one: Any) -> dict[str, Any]:
    how = "with their month" if one.whole else "one by one"
    return {"table": one.table, "site": one.site_id, "before": one.before, "rows": one.rows, "how": how}


def _floor(one: Any) -> dict[str, Any]:
    return {"site": one.site_id, "first open day": one.day.isoformat()}
