"""Named queries: one `.sql` file a consumer, each query under `-- name: …` and a line on what it guarantees."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import LiteralString, cast

_HERE = Path(__file__).parent
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def load(consumer: str) -> Mapping[str, LiteralString]:
    """The queries of `<consumer>.sql` by name. Raises FileNotFoundError, or ValueError for a name given twice."""
    return read(_HERE / f"{consumer}.sql")


def read(path: Path) -> Mapping[str, LiteralString]:
    """The same of any file of ours."""
    _, *parts = _NAME.split(path.read_text())
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{path.name} names a query twice")
    return MappingProxyType({n: cast("LiteralString", b.strip()) for n, b in zip(names, bodies, strict=True)})


def consumers() -> list[str]:
    """Every consumer that has queries; the tests prepare them all against the migrated schema."""
    return sorted(path.stem for path in _HERE.glob("*.sql"))
