"""JSON Schemas as declarations for those who send events. In: the newest schema of each type. Out: one TypeScript or
Python file, which compiles.

What both languages can say is said: objects, arrays, enumerations, unions, references inside of a schema. What a type
cannot say (patterns, bounds) is left to the registry; what has no name here is `unknown`, or `Any`. The libraries that
do this speak one of the two languages each, and bring a template engine and a formatter.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Schema = Mapping[str, Any]
_TYPESCRIPT = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_PYTHON = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SENT_AS = {"claimed_user": "user_id", "occurred_at": "client_timestamp"}  # by the native dialect
_NEVER_SENT = {"auth_user_id", "utm"}
_ALWAYS = {name: {"type": "string"} for name in ("event_id", "session_id", "anonymous_id")}
_DEEP_MAX = 12  # a reference may lead to itself


class Field(NamedTuple):
    """One property of an object."""

    name: str
    schema: Any
    required: bool


class TypeScript:
    """Interfaces, and EventMap from a type's name to its interface."""

    anything, words, union = "unknown", _TYPESCRIPT, " | "

    def document(self, types: Mapping[str, tuple[int, Schema]]) -> str:
        """The file."""
        lines = ["// Made by `tripstream schema types typescript`: events as their newest schemas describe them."]
        named = names(types)
        for event_type, (version, schema) in types.items():
            shape = _expression(_as_sent(event_type, schema), schema, self, 0)
            lines += [
                "",
                f"/** {_safe(event_type)}, version {version} */",
                f"export type {named[event_type]} = {shape};",
            ]
        entries = "".join(f"\n  {json.dumps(event_type)}: {name};" for event_type, name in named.items())
        return "\n".join([*lines, "", f"export interface EventMap {{{entries}\n}}", ""])

    def literal(self, values: list[Any]) -> str:
        return " | ".join(json.dumps(v) if isinstance(v, str | int | float | None) else self.anything for v in values)

    def array(self, inner: str) -> str:
        return f"Array<{inner}>"

    def mapping(self, inner: str) -> str:
        return f"Record<string, {inner}>"

    def fields(self, fields: list[Field], is_open: bool, inner: Any, level: int) -> str:
        indent = "  " * (level + 1)
        lines = [f"{indent}{json.dumps(f.name)}{'' if f.required else '?'}: {inner(f.schema)};" for f in fields]
        lines += [f"{indent}[more: string]: {self.anything};"] if is_open else []
        return "\n".join(["{", *lines, "  " * level + "}"])


class Python:
    """TypedDicts in their functional form, which takes any name for a key."""

    anything, words, union = "Any", _PYTHON, " | "

    def document(self, types: Mapping[str, tuple[int, Schema]]) -> str:
        """The file."""
        head = [
            "# Made by `tripstream schema types python`: events as their newest schemas describe them.",
            "from typing import Any, Literal, NotRequired, TypedDict",
        ]
        self._made: list[str] = []
        named = names(types)
        for event_type, (version, schema) in types.items():
            self._base, self._count = named[event_type], 0
            made = _expression(_as_sent(event_type, schema), schema, self, 0)
            self._made += [f"{named[event_type]} = {made}  # {_safe(event_type)}, version {version}"]
        return "\n".join([*head, "", *self._made, ""])

    def literal(self, values: list[Any]) -> str:
        plain = all(isinstance(v, str | int | None) for v in values)
        return f"Literal[{', '.join(map(repr, values))}]" if plain else self.anything

    def array(self, inner: str) -> str:
        return f"list[{inner}]"

    def mapping(self, inner: str) -> str:
        return f"dict[str, {inner}]"

    def fields(self, fields: list[Field], is_open: bool, inner: Any, level: int) -> str:  # noqa: ARG002 the same as there
        self._count += 1
        name = f"{self._base}{self._count}_"
        shown = [(f.name, inner(f.schema) if f.required else f"NotRequired[{inner(f.schema)}]") for f in fields]
        entries = ", ".join(f"{key!r}: {shape}" for key, shape in shown)
        self._made.append(f"{name} = TypedDict({name!r}, {{{entries}}})")
        return name


LANGUAGES: Mapping[str, type[TypeScript] | type[Python]] = {"typescript": TypeScript, "python": Python}


def names(types: Mapping[str, Any]) -> dict[str, str]:
    """A type's name in both languages: `payment.initiated` is PaymentInitiated; the second of two that are alike is
    PaymentInitiated2."""
    found: dict[str, str] = {}
    for event_type in types:
        words = re.findall(r"[A-Za-z0-9]+", event_type)
        name = "".join(word[0].upper() + word[1:] for word in words) or "Event"
        name = f"Event{name}" if name[0].isdigit() or keyword.iskeyword(name) or name == "EventMap" else name
        number, free = 2, name
        while free in found.values():
            free, number = f"{name}{number}", number + 1
        found[event_type] = free
    return found


def _as_sent(event_type: str, schema: Schema) -> Schema:
    """The event's object under the names that are posted, with what every event has. Top-level alternatives are left to
    the registry."""
    root = {**(_resolved(schema["$ref"], schema) or {}), **schema} if isinstance(schema.get("$ref"), str) else schema
    described = {_SENT_AS.get(name, name): inner for name, inner in root.get("properties", {}).items()}
    properties = {"event_type": {"const": event_type}, **_ALWAYS} | {
        name: inner for name, inner in described.items() if name not in _NEVER_SENT and name != "event_type"
    }
    required = ["event_type", "session_id", "anonymous_id", *(_SENT_AS.get(n, n) for n in root.get("required", []))]
    required = [name for name in required if name not in _NEVER_SENT]
    more = root.get("additionalProperties", True)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": more}


def _expression(schema: Any, root: Schema, to: TypeScript | Python, level: int) -> str:
    """One schema as a type."""
    if not isinstance(schema, Mapping) or level > _DEEP_MAX:
        return to.anything
    if isinstance(schema.get("$ref"), str):
        return _expression(_resolved(schema["$ref"], root), root, to, level + 1)
    if "const" in schema or "enum" in schema:
        return to.literal([schema["const"]] if "const" in schema else list(schema["enum"])) or to.anything
    if inner := schema.get("anyOf") or schema.get("oneOf"):
        return _union(to, [_expression(one, root, to, level) for one in inner])
    types = schema.get("type") or ("object" if "properties" in schema else [])
    return _union(to, list(_of_types([types] if isinstance(types, str) else types, schema, root, to, level)))


def _of_types(types: list[str], schema: Schema, root: Schema, to: TypeScript | Python, level: int) -> Iterator[str]:
    for name in types:
        if name == "array":
            yield to.array(_expression(schema.get("items"), root, to, level))
        elif name == "object":
            yield _object(schema, root, to, level)
        else:
            yield to.words.get(name, to.anything)


def _object(schema: Schema, root: Schema, to: TypeScript | Python, level: int) -> str:
    more = schema.get("additionalProperties", True)
    properties = schema.get("properties", {})
    required = dict.fromkeys(schema.get("required", ()))
    if not properties and not required:
        return to.mapping(_expression(more, root, to, level + 1))
    fields = [Field(name, inner, name in required) for name, inner in properties.items()]
    fields += [Field(name, True, True) for name in required if name not in properties]
    return to.fields(fields, more is not False, lambda one: _expression(one, root, to, level + 1), level)


def _union(to: TypeScript | Python, shapes: list[str]) -> str:
    return to.anything if not shapes or to.anything in shapes else to.union.join(dict.fromkeys(shapes))


def _resolved(reference: str, root: Schema) -> Any:
    """What `#/$defs/name` stands for; None for what is not found like that."""
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if reference.startswith("#") else None


def _safe(event_type: str) -> str:
    """A name inside of a comment."""
    return re.sub(r"[^\w .:/-]", "?", event_type).replace("*/", "?")
