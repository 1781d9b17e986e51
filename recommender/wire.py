"""How answers are written as JSON: prices as numbers. In: values. Out: bytes."""

from __future__ import annotations

import msgspec

encode = msgspec.json.Encoder(decimal_format="number").encode
