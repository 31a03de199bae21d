"""The JSON schema accepts what a recipe accepts and refuses what it refuses."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from tests.recipe.strategies import recipes

from winnow.errors import RecipeError
from winnow.recipe import Recipe

SCHEMA = Recipe.schema_json()

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
KNOWN = {
    *(
        "$schema",
        "$defs",
        "$ref",
        "title",
        "description",
        "default",
        "discriminator",
        "type",
        "enum",
        "const",
        "required",
    ),
    *(
        "properties",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
    ),
    *("exclusiveMaximum", "anyOf", "oneOf", "allOf", "if", "then"),
}


def fits(value: Any, schema: Any) -> bool:
    """Whether ``value`` is valid: the part of JSON Schema (draft 2020-12) that our schema uses,
    from its specification.
    """
    if schema is True:
        return True
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema and not fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]):
        return False
    if "type" in schema and not (
        isinstance(value, TYPES[schema["type"]])
        and (schema["type"] == "boolean" or not isinstance(value, bool))
    ):
        return False
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        return False
    if ("enum" in schema and value not in schema["enum"]) or (
        "const" in schema and value != schema["const"]
    ):
        return False
    if "if" in schema and fits(value, schema["if"]) and not fits(value, schema["then"]):
        return False
    combined = (
        all(fits(value, s) for s in schema.get("allOf", []))
        and ("anyOf" not in schema or any(fits(value, s) for s in schema["anyOf"]))
        and ("oneOf" not in schema or sum(fits(value, s) for s in schema["oneOf"]) == 1)
    )
    return (
        combined
        and _number_fits(value, schema)
        and _array_fits(value, schema)
        and _object_fits(value, schema)
    )


def _number_fits(value: Any, schema: dict[str, Any]) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


def _array_fits(value: Any, schema: dict[str, Any]) -> bool:
    if not isinstance(value, list):
        return True
    right_length = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
    return right_length and all(fits(item, schema.get("items", True)) for item in value)


def _object_fits(value: Any, schema: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    here = all(name in value for name in schema.get("required", []))
    return here and all(
        fits(item, known[name]) if name in known else more is not False and fits(item, more)
        for name, item in value.items()
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(recipe=recipes)
def test_what_recipes_write_fits_the_schema(recipe: Recipe) -> None:
    for defaults in (False, True):
        assert fits(yaml.safe_load(recipe.to_yaml(defaults=defaults)), SCHEMA)


HEAD = {"data": {"source": "sklearn:digits"}, "model": {"use": "mlp"}}

REFUSED: list[dict[str, Any]] = [
    {},
    {"data": HEAD["data"]},
    {**HEAD, "trian": {}},
    {**HEAD, "train": 3},
    {**HEAD, "train": {"epochs": 0}},
    {**HEAD, "train": {"epochs": "3"}},
    {**HEAD, "train": {"epochs": {"integer": [1, 2]}}},
    {**HEAD, "train": {"dropout": 1.0}},
    {**HEAD, "train": {"dropout": {"unifrom": [0, 0.5]}}},
    {**HEAD, "train": {"dropout": {"uniform": [0]}}},
    {**HEAD, "train": {"dropout": {"uniform": [0, 0.5], "log": [1, 2]}}},
    {**HEAD, "train": {"dropout": {"choice": []}}},
    {**HEAD, "train": {"dropout": {"choice": [0.1, 2]}}},
    {**HEAD, "train": {"l1": {"log": [0, 1]}}},
    {**HEAD, "train": {"batch_size": {"uniform": [1, 2]}}},
    {**HEAD, "train": {"batch_size": {"integer": [1.5, 2]}}},
    {**HEAD, "train": {"drop_last": 1}},
    {**HEAD, "train": {"precision": "float16"}},
    {**HEAD, "train": {"optimizer": {"kind": "sdg"}}},
    {**HEAD, "train": {"optimizer": {"lr": 0.1}}},
    {**HEAD, "train": {"optimizer": {"kind": "sgd", "beta1": 0.9}}},
    {**HEAD, "train": {"optimizer": {"uniform": [0, 1]}}},
    {**HEAD, "train": {"optimizer": {"choice": ["sgd"]}}},
    {**HEAD, "train": {"optimizer": {"choice": [{"kind": "sgd", "lr": -1}]}}},
    {**HEAD, "model": {"use": "mlp", "args": {"widht": 3}}},
    {**HEAD, "model": {"use": "mlp", "args": {"width": 2.5}}},
    {**HEAD, "model": {"use": "convnet", "args": {"norm": "layer"}}},
    {**HEAD, "model": {"args": {}}},
    {**HEAD, "ablate": {"parts": "some"}},
    {**HEAD, "ablate": {"parts": [1]}},
    {**HEAD, "metric": "acc"},
]


@pytest.mark.parametrize(
    "content",
    REFUSED,
    ids=lambda content: str({k: v for k, v in content.items() if HEAD.get(k) != v}),
)
def test_schema_and_recipe_refuse_the_same(content: dict[str, Any]) -> None:
    assert not fits(content, SCHEMA)
    with pytest.raises(RecipeError):
        Recipe.from_yaml(yaml.safe_dump(content))


def test_every_reference_leads_somewhere() -> None:
    assert set(re.findall(r"#/\$defs/(\w+)", str(SCHEMA))) <= set(SCHEMA["$defs"])


def test_fields_are_described_by_the_words_beside_them() -> None:
    assert SCHEMA["$defs"]["Train"]["properties"]["clip_norm"]["description"].startswith(
        "Largest norm of one member's whole gradient"
    )
    assert (
        SCHEMA["properties"]["metric"]["description"]
        == "`auto`: accuracy for classification, rmse for regression."
    )
    assert (
        SCHEMA["$defs"]["Uniform"]["description"]
        == "A real number from `low` to `high`, every value equally likely."
    )
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
