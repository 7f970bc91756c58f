"""Values that the chart's schema takes, drawn from the schema itself: keys that come are drawn too."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "helm/lipserve/values.schema.json").read_text())
# Kubernetes' own objects, which the schema cannot hold to their form and the chart passes on.
PASSED_ON = {
    "extraEnv",
    "extraVolumes",
    "extraVolumeMounts",
    "extraContainers",
    "affinity",
    "authenticationRef",
    "extraObjects",
}
# Text that YAML takes for something else, where a template forgets to quote it.
ODD = [
    "on",
    "null",
    "1e3",
    "0x1F",
    "1.10",
    "a: b",
    "- a",
    "# a",
    "{a}",
    "[a",
    '"a"',
    "it's",
    "*a",
    "!a",
    "%",
    "ü",
    "{{ 1 }}",
]
PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)

Schema = dict[str, Any]
Values = dict[str, Any]
Path_ = tuple[str, ...]


def _resolved(schema: Schema) -> Schema:
    reference = schema.get("$ref", "")
    return _resolved(SCHEMA["definitions"][reference.rpartition("/")[2]]) if reference else schema


def leaves(schema: Schema = SCHEMA, path: Path_ = ()) -> Iterator[tuple[Path_, Schema]]:
    """Give (path, schema) of every key that holds no further keys of the chart's own."""
    schema = _resolved(schema)
    if path and path[-1] in PASSED_ON:
        return
    if schema.get("properties"):
        for key, part in schema["properties"].items():
            yield from leaves(part, (*path, key))
    elif path:
        yield path, schema


def drawn(schema: Schema) -> st.SearchStrategy[Any]:
    """Return what a schema takes; of JSON Schema, the part that the chart's uses."""
    schema = _resolved(schema)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return st.one_of([drawn(part) for part in schema[choice]])
    kinds = schema.get("type", "object")
    return st.one_of([_of_type(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)])


def _of_type(kind: str, schema: Schema) -> st.SearchStrategy[Any]:
    if kind == "null":
        return st.none()
    if kind == "boolean":
        return st.booleans()
    if kind in ("integer", "number"):
        least = schema.get("minimum", 0)
        return st.integers(least, schema.get("maximum", least + 10_000_000))
    if kind == "string":
        return _text(schema)
    if kind == "array":
        unique = {"unique_by": json.dumps} if schema.get("uniqueItems") else {}
        return st.lists(drawn(schema["items"]), min_size=schema.get("minItems", 0), max_size=3, **unique)
    return _object(schema)


def _text(schema: Schema) -> st.SearchStrategy[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 30)
    if "pattern" in schema:
        # Of JSON Schema $ is the end of the text, and of Python the end of its last line too.
        pattern = schema["pattern"].replace("$", r"\Z")
        refused = schema.get("not", {}).get("enum", [])
        text = st.from_regex(pattern, alphabet=PRINTABLE)
        return text.filter(lambda text: least <= len(text) <= most and text not in refused)
    return st.sampled_from(ODD) | st.text(PRINTABLE, min_size=least, max_size=most)


def _object(schema: Schema) -> st.SearchStrategy[Values]:
    parts = {key: drawn(part) for key, part in schema.get("properties", {}).items()}
    needed = {key: parts.pop(key) for key in schema.get("required", [])}
    if parts or needed:
        least = schema.get("minProperties", 0)
        return st.fixed_dictionaries(needed, optional=parts).filter(lambda made: len(made) >= least)
    names = schema.get("propertyNames", {"pattern": "^[a-z]{1,8}$"})
    more = schema.get("additionalProperties")
    value = drawn(more) if isinstance(more, dict) else st.just({})
    least = schema.get("minProperties", 0)
    return st.dictionaries(_text(_resolved(names)), value, min_size=least, max_size=max(2, least))


def changed(values: Values, changes: list[tuple[Path_, Any]]) -> Values:
    """Return a copy of values with other leaves, as `helm --set` would make it."""
    result = copy.deepcopy(values)
    for path, value in changes:
        inner = result
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = value
    return result


def changes(most: int) -> st.SearchStrategy[list[tuple[Path_, Any]]]:
    """Return up to `most` leaves of the schema, with a value each."""
    one = st.sampled_from(list(leaves())).flatmap(lambda leaf: st.tuples(st.just(leaf[0]), drawn(leaf[1])))
    return st.lists(one, max_size=most)
