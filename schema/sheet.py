"""Figures as CSV, safe to open in a spreadsheet. In: rows of named values. Out: text after RFC 4180, in UTF-8.

A spreadsheet runs a cell that begins like a formula, and what visitors sent ends up in cells: such a text gets a
leading apostrophe, unless it is a plain number. The columns are all names that occur, in order of first appearance.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec

Row = Mapping[str, object]
_FORMULA = re.compile(r"[\s\x00-\x1f]*[=+\-@＝＋－＠]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def write(rows: Sequence[Row], columns: Sequence[str] = ()) -> str:
    """The rows under their header. `columns` come first, and are there when there is no row."""
    flat = [flatten(row) for row in rows]
    header = list(dict.fromkeys([*columns, *(name for row in flat for name in row)]))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([cell(name) for name in header])
    writer.writerows([[cell(row.get(name)) for name in header] for row in flat])
    return out.getvalue()


def flatten(row: Row, prefix: str = "") -> dict[str, object]:
    """Nested figures as columns of their own: {"current": {"visitors": 3}} is current.visitors. Lists stay whole."""
    found: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def cell(value: object) -> str:
    """One cell. Nothing is empty; a list is written as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
