"""The JSON schema of a recipe's YAML form, for completion and hints in editors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import models_json_schema

from winnow.recipe._ready import READY
from winnow.recipe._sections import Sections
from winnow.recipe._used import USUAL
from winnow.spec import Settings

__all__ = ["json_schema"]


def json_schema(recipe: type[Sections]) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the YAML form: ranges are one-key mappings, ready
    models' arguments are typed.
    """
    records: list[type[Settings]] = [recipe, *READY.values()]
    _, schema = models_json_schema([(record, "validation") for record in records])
    definitions = schema["$defs"]
    for node in _nodes(definitions):
        _tidy(node)
    definitions["Model"]["allOf"] = [
        {
            "if": {"properties": {"use": {"const": name}}},
            "then": {"properties": {"args": {"$ref": f"#/$defs/{args.__name__}"}}},
        }
        for name, args in READY.items()
    ]
    top = definitions.pop(recipe.__name__)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **top,
        "title": "winnow recipe",
        "$defs": definitions,
    }


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def _tidy(node: dict[str, Any]) -> None:
    """Add what pydantic cannot know: a choice's options are what a fixed value may be, and a
    ``kind`` is always written.
    """
    members = node.get("oneOf", [])
    choice = {"$ref": "#/$defs/Choice"}
    if choice in members:
        value = members[0]
        options = {"type": "array", "items": value, "minItems": 1}
        inline = {
            "type": "object",
            "properties": {"choice": options},
            "required": ["choice"],
            "additionalProperties": False,
        }
        members[members.index(choice)] = inline
    kind = node.get("properties", {}).get("kind", {})
    usual = [method.model_fields["kind"].default for method in USUAL]
    if "const" in kind and kind["const"] not in usual and "kind" not in node.get("required", []):
        node["required"] = ["kind", *node.get("required", [])]
    if isinstance(node.get("title"), str):
        del node["title"]
    if isinstance(node.get("description"), str):
        node["description"] = (
            node["description"].split("\n\n")[0].replace("``", "`").replace("\n", " ")
        )
