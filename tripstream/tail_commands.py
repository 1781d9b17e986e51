"""`tripstream tail`: each event with what became of it, as it is drained.

In: receipts, asked for twice a second. Out: a line an event, or JSON lines; on standard error what still waits.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer

from tripstream.site_commands import _postgres

app = typer.Typer()
_POLL_SECONDS = 0.5
_LATE_MS = 10_000  # receipts are written in another order than their batches came
_PAGE, _SEEN_MAX = 500, 50_000
_DAY_MS = 86_400_000
_COLOURS = {"stored": "green", "duplicate": "yellow", "bot": "yellow", "dead": "red", "refused": "red"}


@app.command()
def tail(
    site_id: Annotated[str | None, typer.Option("--site", help="Only this site's.")] = None,
    follow: Annotated[bool, typer.Option(help="Go on until Ctrl-C.")] = True,
    batches: Annotated[int, typer.Option("--batches", "-n", help="Begin with so many of the last day's batches.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show each event with what became of it: stored, duplicate, bot, dead, or refused, and why."""
    write = _write_json if as_json else _write
    with _postgres() as (connection, settings):
        for one in _batches(connection, settings, site_id, batches, follow):
            for event in one.events:
                write(one, event)


def _batches(connection: Any, settings: Any, site_id: str | None, begin: int, follow: bool) -> Iterator[Any]:
    """The last batches, then new ones for as long as they are wanted, each once."""
    from reports import verdicts

    now_ms = time.time_ns() // 1_000_000
    seen: set[UUID] = set()
    if follow:
        seen.update(verdicts.ids_since(connection, _id_of(_oldest(settings)), site_id, _SEEN_MAX))
    for one in verdicts.newest(connection, _id_of(now_ms - _DAY_MS), site_id, begin):
        seen.add(one.batch_id)
        yield one
    least = 0
    while follow:
        time.sleep(_POLL_SECONDS)
        least = max(least, _forget(seen, max(least, _oldest(settings))))
        for one in _new(connection, site_id, seen, least):
            seen.add(one.batch_id)
            yield one


def _new(connection: Any, site_id: str | None, seen: Collection[UUID], from_ms: int) -> Iterator[Any]:
    """What was not seen yet, page by page until there is none."""
    from reports import verdicts

    first = _id_of(from_ms)
    while page := verdicts.since(connection, first, site_id, [one for one in seen if one >= first], _PAGE):
        yield from page
        if len(page) < _PAGE:
            return
        first = page[-1].batch_id


def _forget(seen: set[UUID], before_ms: int) -> int:
    """Forget what is not asked for again, and what is too much: then what is older is not asked for either. Returns
    from when on to ask."""
    first = _id_of(before_ms)
    seen.difference_update([one for one in seen if one < first])
    if len(seen) <= _SEEN_MAX:
        return before_ms
    kept = sorted(seen)[-_SEEN_MAX:]
    seen.intersection_update(kept)
    typer.echo(f"more than {_SEEN_MAX} batches came since the oldest that waits: it is not shown", err=True)
    return (kept[0].int >> 80) + 1


def _oldest(settings: Any) -> int:
    """Before what still waits, which gets an older receipt than others have, and before what was drained just now. Says
    so where something waits for long."""
    from reports import status
    from schema import stream

    with stream.connect(settings.streams_url) as redis:
        queue = status.queue(redis, settings)
    if queue.oldest_seconds * 1000 > _LATE_MS:
        typer.echo(f"{queue.batches} batches wait, the oldest for {queue.oldest_seconds:.0f} s", err=True)
    return int((time.time() - queue.oldest_seconds) * 1000) - _LATE_MS


def _id_of(milliseconds: int) -> UUID:
    """The smallest id of that moment: ids of batches begin with it."""
    return UUID(int=max(milliseconds, 0) << 80)


def _write(one: Any, event: Any) -> None:
    at = one.received_at.strftime("%H:%M:%S.%f")[:-3]
    verdict = typer.style(f"{event.verdict:<9}", fg=_COLOURS.get(event.verdict))
    visitor = (event.visitor or "-")[:8]
    what = f"{event.event_type or '-':<20}"
    place = _printable(f"{what}  {visitor:<8}  {event.path or '-'}  {event.reason or ''}".rstrip())
    typer.echo(f"{at}  {one.site_id}  {verdict}  {place}")


def _printable(text: str) -> str:
    """What strangers sent must not move the terminal's cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _write_json(one: Any, event: Any) -> None:
    shared = {"received_at": one.received_at, "site_id": one.site_id, "batch_id": one.batch_id, "index": event.at}
    typer.echo(msgspec.json.encode(shared | {k: v for k, v in event._asdict().items() if k != "at"}).decode())
