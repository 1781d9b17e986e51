"""What a new version of a schema refuses that the former one took. In: two schemas. Out: sentences, none where the new
one provably takes everything; the proof is the library's, the sentences name the usual reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_RAISED = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_LOWERED = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT = ("pattern", "format", "const", "multipleOf", "uniqueItems")
_UNSURE = "it may refuse what the former version took, in a way that has no short name: compare the two"
Schema = Mapping[str, Any]


def stricter(old: Schema, new: Schema) -> list[str]:
    """Why an event that fitted the old schema may not fit the new one."""
    if takes_all_of(new, old):
        return []
    return sorted(set(_differences(old, new, ""))) or [_UNSURE]


def takes_all_of(new: Schema, old: Schema) -> bool:
    """Whether everything that fits `old` fits `new`, as far as that can be proved."""
    import jsonschema_rs  # as in schema/fitting.py

    try:
        after, before = (jsonschema_rs.canonicalize(dict(one), offline=True) for one in (new, old))
        return bool(after.covers(before) == jsonschema_rs.canonical.Containment.YES)
    except (ValueError, jsonschema_rs.canonical.CanonicalizationError):
        return False


def takes_nothing(schema: Schema) -> bool:
    """Whether provably no event fits."""
    import jsonschema_rs  # as in schema/fitting.py

    try:
        found = jsonschema_rs.canonicalize(dict(schema), offline=True).satisfiability()
        return bool(found == jsonschema_rs.canonical.Satisfiability.NO)
    except (ValueError, jsonschema_rs.canonical.CanonicalizationError):
        return False


def _differences(old: Schema, new: Schema, at: str) -> Iterator[str]:
    where = at or "event"
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{_below(at, name)}: is required now"
    if (types := _types(new)) and (not _types(old) or _types(old) - types):
        yield f"{where}: must be {_words(types)} now"
    if "enum" in new and ("enum" not in old or any(value not in new["enum"] for value in old["enum"])):
        yield f"{where}: takes fewer values now"
    bounds = [name for name in (*_RAISED, *_LOWERED) if name in new and new[name] != old.get(name)]
    for name in bounds:
        if name not in old or (new[name] > old[name]) == (name in _RAISED):
            yield f"{where}: {name} is {new[name]} now"
    for name in _EXACT:
        if new.get(name) not in (None, False, old.get(name)):
            yield f"{where}: {name} is {new[name]} now"
    yield from _of_properties(old, new, at)
    if isinstance(new.get("items"), dict):
        yield from _differences(_inner(old.get("items")), new["items"], f"{at}[]")


def _of_properties(old: Schema, new: Schema, at: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    if new.get("additionalProperties") is False:
        if old.get("additionalProperties") is not False:
            yield f"{at or 'event'}: takes only the fields that the schema names now"
        for name in sorted(before.keys() - after.keys()):
            yield f"{_below(at, name)}: is not taken any more"
    for name, inner in after.items():
        if inner is False:
            yield f"{_below(at, name)}: is not taken any more"
        else:
            yield from _differences(_inner(before.get(name)), _inner(inner), _below(at, name))


def _inner(schema: Any) -> Schema:
    return schema if isinstance(schema, dict) else {}


def _types(schema: Schema) -> set[str]:
    """A number may be an integer: whoever took numbers took those."""
    found = schema.get("type", [])
    names = {found} if isinstance(found, str) else set(found)
    return names | {"integer"} if "number" in names else names


def _words(types: set[str]) -> str:
    return " or ".join(sorted(types - {"integer"} if "number" in types else types))


def _below(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name
