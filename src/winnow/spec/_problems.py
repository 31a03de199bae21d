"""pydantic's complaints in plain words: the setting by its dotted path, what was expected, what
was given, the nearest name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from winnow.errors import Problem, RecipeError, did_you_mean, nearest

__all__ = ["RANGE_KEYS", "describe", "from_pydantic", "join", "range_key", "refusal"]

RANGE_KEYS = ("uniform", "log", "integer", "choice")

_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping of settings",
    "model_attributes_type": "a mapping of settings",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def range_key(value: Any) -> str | None:
    """The range's YAML key when ``value`` is a one-key mapping that spells a range."""
    if isinstance(value, Mapping) and len(value) == 1:
        key = next(iter(value))
        return key if key in RANGE_KEYS else None
    return None


def join(path: str, name: str) -> str:
    """The dotted path of ``name`` under ``path``; ``name`` may be empty or an index such as
    ``[2]``.
    """
    return f"{path}{name}" if not path or not name or name.startswith("[") else f"{path}.{name}"


def describe(value: Any) -> str:
    """``value`` in a few words, for the end of a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f"{value[:57]}...") + (
            " (text)" if _looks_like_a_number(value) else ""
        )
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) and not value.is_integer() else str(value)
    if isinstance(value, Mapping):
        key = range_key(value)
        keys = ", ".join(str(k) for k in list(value)[:5])
        return (
            f"a range ({key})" if key else f"a mapping with {keys}" if value else "an empty mapping"
        )
    if isinstance(value, list | tuple):
        return (
            f"a list of {len(value)}"
            if len(value) > 4 or len(repr(value)) > 60
            else repr(list(value))
        )
    if _is_a_range(value):
        return f"a range ({value.key})"
    return f"a value of type {type(value).__name__}"


def _is_a_range(value: Any) -> bool:
    """Whether it is a range, spelled in YAML or as an object."""
    return range_key(value) is not None or getattr(value, "key", None) in RANGE_KEYS


def from_pydantic(
    record: type[BaseModel], given: Mapping[str, Any], error: ValidationError
) -> list[Problem]:
    """One problem for each of pydantic's, with paths relative to ``record``, in the order of
    the settings in ``given``.
    """
    problems = [p for e in error.errors(include_url=False) for p in _translate(record, given, e)]
    order = {name: i for i, name in enumerate(given)}
    return sorted(problems, key=lambda p: order.get(re.split(r"[.\[]", p.setting)[0], len(order)))


def refusal(error: ValidationError, annotation: Any = None) -> list[Problem]:
    """The problems of a value that was checked on its own, against the type ``annotation``: of a
    nested record with their paths, of a plain value without.
    """
    found: list[Problem] = []
    for e in error.errors(include_url=False):
        cause = e.get("ctx", {}).get("error")
        if isinstance(cause, RecipeError):
            found += cause.problems
        else:
            hint = _as_kind(e["input"], annotation) if e["type"] == "model_attributes_type" else ""
            found.append(Problem(_tail(e), _message(e) + hint))
    return found


def _translate(
    record: type[BaseModel], given: Mapping[str, Any], error: ErrorDetails
) -> Iterable[Problem]:
    path = join(_path(given, error), _tail(error))
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, RecipeError):
        return [Problem(join(path, p.setting), p.message) for p in cause.problems]
    if error["type"] == "extra_forbidden":
        return [
            Problem(
                path, f"unknown setting{did_you_mean(str(error['loc'][-1]), record.model_fields)}"
            )
        ]
    hint = ""
    if error["type"] == "model_attributes_type":
        hint = _as_kind(error["input"], _annotation(record, error["loc"]))
    return [Problem(path, _message(error) + hint)]


def _annotation(record: type[BaseModel], place: Iterable[int | str]) -> Any:
    """The type of the setting at ``place``. Steps that name no setting are pydantic's names of
    union members.
    """
    annotation: Any = record
    for step in place:
        fields = getattr(annotation, "model_fields", {})
        annotation = fields[step].annotation if step in fields else annotation
    return annotation


def _kinds(annotation: Any) -> Iterator[str]:
    """The names of the records that a setting may be, where their ``kind`` tells them apart."""
    if (
        isinstance(annotation, type)
        and issubclass(annotation, BaseModel)
        and "kind" in annotation.model_fields
    ):
        yield str(annotation.model_fields["kind"].default)
    for inner in get_args(annotation):
        yield from _kinds(inner)


def _as_kind(value: Any, annotation: Any) -> str:
    """What to write where a name stands in the place of a record."""
    if not isinstance(value, str):
        return ""
    kinds = list(dict.fromkeys(_kinds(annotation)))
    name = value if value in kinds else nearest(value, kinds)
    if name is not None:
        return (
            f" - {'write' if name == value else 'did you mean'} {{kind: "
            f"{name}}}{'' if name == value else '?'}"
        )
    return f" - write {{kind: ...}} with one of {', '.join(kinds)}" if kinds else ""


def _path(given: Any, error: ErrorDetails) -> str:
    """The dotted path of an error. Steps of ``loc`` that do not exist in what was given are
    pydantic's names of union members, and so is a kind of method, which may be called as a setting.
    """
    path, value = "", given
    for before, step in zip(("", *error["loc"]), error["loc"], strict=False):
        if before == "<kind>":
            continue
        if isinstance(step, int) and isinstance(value, list | tuple) and step < len(value):
            path, value = f"{path}[{step}]", value[step]
        elif not path or (
            isinstance(value, Mapping) and step in value and range_key(value) != step
        ):
            path, value = (
                join(path, str(step)),
                value.get(step) if isinstance(value, Mapping) else None,
            )
    return path


def _tail(error: ErrorDetails) -> str:
    """``kind`` for an error about which kind of record is meant, else nothing."""
    if error["type"] == "union_tag_invalid":
        return "kind"
    return (
        "kind"
        if error["type"] == "union_tag_not_found" and _misspelt_range(error["input"]) is None
        else ""
    )


def _message(error: ErrorDetails) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return "missing, and it has no default"
    if kind == "invalid_key":
        return f"the names of settings are text, got {describe(value)}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "union_tag_invalid":
        return _one_of(
            context["expected_tags"],
            value.get("kind") if isinstance(value, Mapping) else context["tag"],
        )
    if kind == "literal_error" and isinstance(value, str):
        return _one_of(context["expected"], value)
    if kind == "too_short":
        return f"expected at least {context['min_length']}, got {describe(value)}"
    if kind == "finite_number":
        return f"expected a finite number, got {describe(value)}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"must be {words} {context[key]:g}, got {describe(value)}"
    return _wrong_type(kind, value, context) or error["msg"]


def _wrong_type(kind: str, value: Any, context: Mapping[str, Any]) -> str | None:
    hint = _misspelt_range(value)
    if kind == "union_tag_not_found":
        return hint or "missing: say which kind is meant"
    if kind == "literal_error":
        names = re.findall(r"'([^']*)'", context["expected"])
        expected: str | None = (
            f"one of {', '.join(names)}" if len(names) > 1 else context["expected"]
        )
    else:
        expected = _EXPECTED.get(kind)
    if expected is None:
        return None
    if hint is None and _is_a_range(value):
        hint = "this setting cannot be a range (those of model.args and most of train can)"
    elif kind.startswith("model") and value is None:
        hint = "leave the section out for its defaults"
    return f"expected {expected}, got {describe(value)}" + (f" - {hint}" if hint else "")


def _one_of(expected: str, value: Any) -> str:
    names = re.findall(r"'([^']*)'", expected)
    close = nearest(value, names) if isinstance(value, str) else None
    tail = f" - did you mean {close!r}?" if close else ""
    return f"expected one of {', '.join(names)}, got {describe(value)}{tail}"


def _misspelt_range(value: Any) -> str | None:
    """What to write instead, when a mapping that is no range was probably meant as one."""
    if not isinstance(value, Mapping) or range_key(value):
        return None
    if len(value) == 1:
        name = str(next(iter(value)))
        close = nearest(name.lower(), RANGE_KEYS)
        return f"unknown range {name!r}, did you mean {close!r}?" if close else None
    return "a range is a mapping with one key" if any(key in RANGE_KEYS for key in value) else None


def _looks_like_a_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
