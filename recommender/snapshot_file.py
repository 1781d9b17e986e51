"""A snapshot as one file. In: a header and columns. Out: the file, whole or not at all; and the columns again, as views
of the mapped file.

The file: MAGIC, the header's length and checksum, the header in JSON (version, metadata, and each column's dtype, shape
and offset), then the columns, each at a multiple of 64 bytes. It is written aside, synced and renamed, so that a crash
leaves the old file or the new one. The checksum of the columns is compared when the file is mapped, which reads every
page once: the first visitor finds them in memory.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schema.errors import NoSnapshot

MAGIC = b"TRIPSNAP"
VERSION = 1
_LEAD = struct.Struct("<8sII")
_ALIGN = 64


def write(path: Path, metadata: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> None:
    """Replace the file. Two writers at once do no harm: the later rename stays."""
    described, offset, checksum = {}, 0, 0
    parts = []
    for name, column in columns.items():
        raw = np.ascontiguousarray(column)
        described[name] = {"dtype": raw.dtype.str, "shape": raw.shape, "offset": offset}
        parts.append(raw.tobytes() + bytes(-raw.nbytes % _ALIGN))
        offset += len(parts[-1])
        checksum = zlib.crc32(parts[-1], checksum)
    content = {"version": VERSION, "bytes": offset, "checksum": checksum, "columns": described, "metadata": metadata}
    header = json.dumps(content).encode()
    header += b" " * (-(len(header) + _LEAD.size) % _ALIGN)
    _replace(path, [_LEAD.pack(MAGIC, len(header), zlib.crc32(header)), header, *parts])


def read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Metadata and read-only columns. Raises NoSnapshot, and OSError when there is no file."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < _LEAD.size:
            raise NoSnapshot(f"{path} is too short to be a snapshot")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    header, begins = _header(path, mapped)
    if len(mapped) != begins + header["bytes"]:
        raise NoSnapshot(f"{path} is torn: {len(mapped)} bytes instead of {begins + header['bytes']}")
    if zlib.crc32(memoryview(mapped)[begins:]) != header["checksum"]:
        raise NoSnapshot(f"{path} is damaged: the columns' checksum differs")
    return header["metadata"], {name: _view(mapped, begins, it) for name, it in header["columns"].items()}


def _replace(path: Path, parts: list[bytes]) -> None:
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # the rename itself
    finally:
        os.close(directory)


def _header(path: Path, mapped: mmap.mmap) -> tuple[dict[str, Any], int]:
    magic, length, checksum = _LEAD.unpack_from(mapped)
    if magic != MAGIC:
        raise NoSnapshot(f"{path} is not a snapshot")
    raw = mapped[_LEAD.size : _LEAD.size + length]
    if len(raw) != length or zlib.crc32(raw) != checksum:
        raise NoSnapshot(f"{path} is torn: its header is not whole")
    header: dict[str, Any] = json.loads(raw)
    if header["version"] != VERSION:
        raise NoSnapshot(f"{path} is of format {header['version']}, this program reads format {VERSION}")
    return header, _LEAD.size + length


def _view(mapped: mmap.mmap, begins: int, column: Mapping[str, Any]) -> NDArray[Any]:
    """Plain arrays: numpy's own memmap class costs a microsecond more an operation."""
    shape = tuple(column["shape"])
    flat = np.frombuffer(mapped, column["dtype"], count=math.prod(shape), offset=begins + column["offset"])
    return flat.reshape(shape)
