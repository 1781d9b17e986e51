"""Whole numbers in few bytes. In: numbers from 0 on. Out: bytes, the same for the same numbers, and the numbers again.

The first byte says how wide a number is, in bytes; then come the numbers, little-endian, and then, 8 bytes each, those
that are too large for that: in their places stands the largest number of the width. The width is the one that takes
least, so a few large numbers do not widen the others. All zeros have no width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def pack(numbers: Integers) -> bytes:
    """As bytes."""
    width = _width(numbers)
    largest = _largest(width)
    too_large = numbers >= largest if 0 < width < 8 else np.zeros(len(numbers), bool)
    narrow = np.where(too_large, largest, numbers).astype("<i8").view(np.uint8).reshape(len(numbers), 8)
    return bytes([width]) + narrow[:, :width].tobytes() + numbers[too_large].astype("<i8").tobytes()


def unpack(packed: bytes, many: int) -> Integers:
    """So many numbers."""
    width = packed[0]
    if not width:
        return np.zeros(many, np.int64)
    wide: NDArray[Any] = np.ndarray((many,), "<i8", packed + bytes(8), 1, (width,))  # each with some of the next ones
    if width == 8:
        return wide.astype(np.int64)
    largest = _largest(width)
    numbers: Integers = wide & largest
    if len(packed) > 1 + many * width:
        numbers[numbers == largest] = np.frombuffer(packed, "<i8", offset=1 + many * width)
    return numbers


def _width(numbers: Integers) -> int:
    if not numbers.any():
        return 0
    takes = [width * len(numbers) + 8 * int(np.count_nonzero(numbers >= _largest(width))) for width in range(1, 8)]
    return 1 + int(np.argmin([*takes, 8 * len(numbers)]))


def _largest(width: int) -> int:
    return (1 << 8 * width) - 1
