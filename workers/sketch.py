"""HyperLogLog sketches of visitors. In: visitor keys, or sketches. Out: the same bytes for the same set, in any order.

Apache DataSketches, lgK 12: a relative standard error of 1.6 %. A sketch passes through a union before it is
stored; without that the bytes depend on the order in which values arrived.
"""

from __future__ import annotations

from collections.abc import Iterable

LG_K = 12


def of(values: Iterable[str]) -> bytes:
    """The sketch of a set of visitor keys."""
    from datasketches import hll_sketch, tgt_hll_type  # brings numpy: only a rollup that has work pays for it

    sketch = hll_sketch(LG_K, tgt_hll_type.HLL_8)
    for value in values:
        sketch.update(value)
    return merge([bytes(sketch.serialize_compact())])


def merge(sketches: Iterable[bytes]) -> bytes:
    """The sketch of the union of sets."""
    from datasketches import hll_sketch, hll_union, tgt_hll_type

    union = hll_union(LG_K)
    for sketch in sketches:
        union.update(hll_sketch.deserialize(sketch))
    return bytes(union.get_result(tgt_hll_type.HLL_4).serialize_compact())


def estimate(sketch: bytes) -> float:
    """About how many distinct visitors."""
    from datasketches import hll_sketch

    return float(hll_sketch.deserialize(sketch).get_estimate())
