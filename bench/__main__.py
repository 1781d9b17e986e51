"""`python -m bench [--quick] [row …]`: measures, prints a table, writes bench/results. In: names of rows, else all.

Out: exit code 0 when every row was measured, whatever its verdict; 1 when one could not be.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from bench import report
from bench.measured import Measured, Row
from bench.rounds import FULL, QUICK, Scale
from bench.rows import ROWS
from bench.servers import Servers, running


def main() -> int:
    """Measure the rows asked for."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure the figures of DESIGN.md §9.")
    parser.add_argument("rows", nargs="*", metavar="row", help=f"any of: {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--quick", action="store_true", help="a smoke run: one short round, its figures mean nothing")
    parser.add_argument("--out", type=Path, help="directory of latest.json and latest.md; quick runs write none")
    asked = parser.parse_args()
    unknown = set(asked.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"no row is named {', '.join(sorted(unknown))}")
    chosen = [row for row in ROWS if not asked.rows or row.name in asked.rows]
    began = time.monotonic()
    with running() as servers:
        where = report.surroundings(servers)
        found = {row: measured for row in chosen if (measured := _measure(row, servers, asked.quick))}
    print(f"\n{report.heading(where)}\n\n{report.table(found)}")
    if asked.out or (not asked.quick and not asked.rows):
        report.write(where, found, time.monotonic() - began, asked.out or report.RESULTS)
    return 0 if len(found) == len(chosen) else 1


def _measure(row: Row, servers: Servers, quick: bool) -> Measured | None:
    scale: Scale = QUICK if quick else FULL
    began = time.monotonic()
    try:
        measured = row.measure(servers, scale)
    except Exception:
        traceback.print_exc()
        return None
    value = f"{measured.value:.4g} {row.unit}"
    print(f"{row.name:<14} {value:<16} {row.verdict(measured.value):<6} {measured.ours}", end="")
    print(f" | {measured.reference} ({time.monotonic() - began:.0f} s)", flush=True)
    return measured


if __name__ == "__main__":
    sys.exit(main())
