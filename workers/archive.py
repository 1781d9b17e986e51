"""Rows as Parquet, before they go. In: a query over staged rows, in the transaction that takes them away. Out: one
file, whole and on disk before that transaction commits.

Its name follows from the rows: where the transaction fails after all, the next run writes the same file again, and a
row is in no two files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from schema.db import Connection
from schema.errors import ConfigError
from schema.sql import load

_SQL = load("archive")
_ROWS_AT_ONCE = 10_000
_ROWS_IN_GROUP_MAX = 100_000


def check(directory: Path) -> None:
    """Make the directory. Raises ConfigError where nothing can be written, before any row is touched."""
    _parquet()
    with _refusals(directory):
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".writable"
        probe.touch()
        probe.unlink()


def save(connection: Connection, directory: Path, name: str, query: str) -> Path:
    """Write what the query says to `name`.parquet, and have it on disk. Raises ConfigError."""
    path, partial = directory / f"{name}.parquet", directory / f".{name}.partial"
    with _refusals(directory):
        _write(connection, partial, query)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.rename(path)
        folder = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return path


def _write(connection: Connection, path: Path, query: str) -> None:
    pa, pq = _parquet()
    with connection.cursor(name="archived") as cursor:
        cursor.execute(_SQL[query])
        schema = pa.schema([(column.name, _type(pa, column.type_code)) for column in cursor.description or ()])
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                writer.write_table(_table(pa, schema, rows), row_group_size=_ROWS_IN_GROUP_MAX)


def _table(pa: Any, schema: Any, rows: Sequence[tuple[Any, ...]]) -> Any:
    columns = zip(*rows, strict=True)
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
    )


def _type(pa: Any, oid: int) -> Any:
    """Arrow's type for one of Postgres'; what the query did not cast to text is one of these."""
    return {
        16: pa.bool_(),
        20: pa.int64(),
        21: pa.int16(),
        23: pa.int32(),
        700: pa.float32(),
        701: pa.float64(),
        1009: pa.list_(pa.string()),
        1184: pa.timestamp("us", tz="UTC"),
    }.get(oid, pa.string())


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # 40 MB and half a second: only an archive needs it
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigError("archives are written by pyarrow, which is not installed: pip install pyarrow") from None
    return pa, pq


@contextmanager
def _refusals(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"the archive cannot be written to {directory}: {error.strerror or error}") from error
