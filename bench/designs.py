"""`python -m bench.designs [--quick] [design …]`: what was chosen beside what was not, in one run. DESIGNS.md says why.

In: names of designs, else all. Out: a table; exit code 0 when every pair was measured, 1 when one could not be. What
holds: the two sides take turns (A B, B A, …), so that a busy minute of the machine hits both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

from bench import designs_accept, designs_decode, designs_drain, designs_sql, report
from bench.rounds import FULL, QUICK, Pairs, Scale
from bench.servers import Servers, running

_FULL = FULL._replace(rounds=4, seconds=2.5, events=60_000)
_HEAD = ("name", "chosen", "instead", "unit", "chosen", "instead", "chosen / instead", "rounds")


class Design(NamedTuple):
    """Two ways to do the same. The first is the product's own where the two differ in the product."""

    name: str
    chosen: str
    instead: str
    unit: str
    measure: Callable[[Servers, Scale], Pairs]


DESIGNS = (
    Design("processes", "one web process", "two on one socket", "requests/s", designs_accept.processes),
    Design("server", "uvicorn", "granian", "requests/s", designs_accept.server),
    Design("append", "a Lua script a group", "MULTI/EXEC a group", "appends/s", designs_accept.append),
    Design("append_cpu", "a Lua script a group", "MULTI/EXEC a group", "appends/CPU s", designs_accept.append_cpu),
    Design("decode", "msgspec", "pydantic", "batches of 10/s", designs_decode.measure),
    Design("drains", "two drains", "one drain", "events/s", designs_drain.measure),
    Design("copy", "binary", "text", "rows/s", designs_sql.copy),
    Design("ledger", "ledger, then events", "both in one statement", "rows/s", designs_sql.ledger),
)


def main() -> int:
    """Measure the pairs asked for."""
    parser = argparse.ArgumentParser(prog="bench.designs", description="Measure designs beside their alternatives.")
    parser.add_argument("designs", nargs="*", metavar="design", help=f"any of: {', '.join(d.name for d in DESIGNS)}")
    parser.add_argument("--quick", action="store_true", help="a smoke run: one short round, its figures mean nothing")
    asked = parser.parse_args()
    if unknown := set(asked.designs) - {design.name for design in DESIGNS}:
        parser.error(f"no design is named {', '.join(sorted(unknown))}")
    chosen = [design for design in DESIGNS if not asked.designs or design.name in asked.designs]
    with running() as servers:
        where = report.surroundings(servers)
        lines = [line for design in chosen if (line := _measure(design, servers, QUICK if asked.quick else _FULL))]
    print("\n".join(["", report.heading(where), "", report.line(*_HEAD), report.line(*["---"] * len(_HEAD)), *lines]))
    return 0 if len(lines) == len(chosen) else 1


def _measure(design: Design, servers: Servers, scale: Scale) -> str:
    """One line of the table, or nothing where it failed."""
    began = time.monotonic()
    try:
        pairs = design.measure(servers, scale)
    except Exception:
        traceback.print_exc()
        return ""
    middle = [f"{statistics.median(figures):,.0f}" for figures in pairs]
    each = " ".join(f"{ratio:.2f}" for ratio in pairs.ratios)
    print(f"{design.name}: {pairs.ratio:.2f} ({time.monotonic() - began:.0f} s)", flush=True)
    return report.line(design.name, design.chosen, design.instead, design.unit, *middle, f"{pairs.ratio:.2f}", each)


if __name__ == "__main__":
    sys.exit(main())
