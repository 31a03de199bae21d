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
MOST_CHARACTERS = 60  # of a value that is quoted in a message

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


def range_key(value: object) -> str | None:
    """Return the YAML key of a range when ``value`` is a one-key mapping that spells one."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return None
    key = next(iter(value))
    return key if key in RANGE_KEYS else None


def join(path: str, name: str) -> str:
    """Return the dotted path of ``name`` under ``path``.

    Args:
        path: of a section; empty: the top.
        name: of a setting; may be empty, or an index such as ``[2]``.
    """
    needs_dot = path and name and not name.startswith("[")
    return f"{path}.{name}" if needs_dot else f"{path}{name}"


def describe(value: object) -> str:
    """Return a value in a few words, for the end of a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _described_text(value)
    if isinstance(value, float) and not value.is_integer():
        return f"{value:g}"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return _described_mapping(value)
    if isinstance(value, list | tuple):
        is_long = len(value) > 4 or len(repr(value)) > MOST_CHARACTERS
        return f"a list of {len(value)}" if is_long else repr(list(value))
    key = getattr(value, "key", None)
    if key in RANGE_KEYS:
        return f"a range ({key})"
    return f"a value of type {type(value).__name__}"


def _described_text(text: str) -> str:
    shown = text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."
    # Between quotes, 3 and "3" are told apart only by whoever looks twice.
    return f"{shown!r} (text)" if _looks_like_a_number(text) else repr(shown)


def _described_mapping(value: Mapping[Any, Any]) -> str:
    key = range_key(value)
    if key:
        return f"a range ({key})"
    if not value:
        return "an empty mapping"
    keys = ", ".join(str(key) for key in list(value)[:5])
    return f"a mapping with {keys}"


def _is_a_range(value: object) -> bool:
    """Tell whether a value is a range, spelled in YAML or as an object."""
    return range_key(value) is not None or getattr(value, "key", None) in RANGE_KEYS


def from_pydantic(
    record: type[BaseModel], given: Mapping[str, Any], error: ValidationError
) -> list[Problem]:
    """Put pydantic's complaints about a record in plain words.

    Args:
        record: the class of the record.
        given: what it was to be made of.
        error: pydantic's.

    Returns:
        Problems with paths relative to the record, in the order of the settings in ``given``.
    """
    problems: list[Problem] = []
    for one in error.errors(include_url=False):
        problems += _translate(record, given, one)
    # The reader goes through a file from its top.
    order = {name: i for i, name in enumerate(given)}

    def rank(problem: Problem) -> int:
        first = re.split(r"[.\[]", problem.setting)[0]
        return order.get(first, len(order))

    return sorted(problems, key=rank)


def refusal(error: ValidationError, annotation: Any = None) -> list[Problem]:
    """Put pydantic's complaints about a value that was checked on its own in plain words.

    Args:
        error: pydantic's.
        annotation: the type that the value was to have.

    Returns:
        Problems; of a nested record with their paths, of a plain value without.
    """
    found: list[Problem] = []
    for one in error.errors(include_url=False):
        cause = one.get("ctx", {}).get("error")
        if isinstance(cause, RecipeError):  # a record inside has worded its own
            found += cause.problems
            continue
        hint = _as_kind(one["input"], annotation) if one["type"] == "model_attributes_type" else ""
        found.append(Problem(_tail(one), _message(one) + hint))
    return found


def _translate(
    record: type[BaseModel], given: Mapping[str, Any], error: ErrorDetails
) -> list[Problem]:
    """Put one of pydantic's complaints in plain words."""
    path = join(_path(given, error), _tail(error))
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, RecipeError):  # a record inside has worded its own
        return [Problem(join(path, p.setting), p.message) for p in cause.problems]
    if error["type"] == "extra_forbidden":
        close = did_you_mean(str(error["loc"][-1]), record.model_fields)
        return [Problem(path, f"unknown setting{close}")]
    hint = ""
    if error["type"] == "model_attributes_type":
        hint = _as_kind(error["input"], _annotation(record, error["loc"]))
    return [Problem(path, _message(error) + hint)]


def _annotation(record: type[BaseModel], place: Iterable[int | str]) -> Any:
    """Return the type of the setting at ``place``.

    Steps that name no setting are pydantic's names of union members.
    """
    annotation: Any = record
    for step in place:
        fields = getattr(annotation, "model_fields", {})
        if step in fields:
            annotation = fields[step].annotation
    return annotation


def _kinds(annotation: Any) -> Iterator[str]:
    """Yield the names of the records that a setting may be, which their ``kind`` tells apart."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        if "kind" in fields:
            yield str(fields["kind"].default)
    for inner in get_args(annotation):
        yield from _kinds(inner)


def _as_kind(value: object, annotation: Any) -> str:
    """Return what to write where a name stands in the place of a record; empty where none does."""
    if not isinstance(value, str):
        return ""
    kinds = list(dict.fromkeys(_kinds(annotation)))
    if value in kinds:
        return f" - write {{kind: {value}}}"
    name = nearest(value, kinds)
    if name is not None:
        return f" - did you mean {{kind: {name}}}?"
    return f" - write {{kind: ...}} with one of {', '.join(kinds)}" if kinds else ""


def _path(given: Any, error: ErrorDetails) -> str:
    """Return the dotted path of an error.

    Steps of ``loc`` that do not exist in what was given are pydantic's names of union members, and
    so is a kind of method, which may be called as a setting.
    """
    path, value = "", given
    before: int | str = ""
    for step in error["loc"]:
        is_kind = before == "<kind>"
        before = step
        if is_kind:
            continue
        if isinstance(step, int) and isinstance(value, list | tuple) and step < len(value):
            path, value = f"{path}[{step}]", value[step]
        elif not path or _is_setting(step, value):
            path = join(path, str(step))
            value = value.get(step) if isinstance(value, Mapping) else None
    return path


def _is_setting(step: int | str, value: object) -> bool:
    """Tell whether a step leads to a setting, and not into what spells a range."""
    return isinstance(value, Mapping) and step in value and range_key(value) != step


def _tail(error: ErrorDetails) -> str:
    """Return ``kind`` for an error about which kind of record is meant, else nothing."""
    if error["type"] == "union_tag_invalid":
        return "kind"
    # What was probably meant as a range is told as one, and not as a record without its kind.
    is_untold = error["type"] == "union_tag_not_found"
    if is_untold and _misspelt_range(error["input"]) is None:
        return "kind"
    return ""


def _message(error: ErrorDetails) -> str:
    """Return what was expected and what was given."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return "missing, and it has no default"
    if kind == "invalid_key":
        return f"the names of settings are text, got {describe(value)}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "union_tag_invalid":
        given = value.get("kind") if isinstance(value, Mapping) else context["tag"]
        return _one_of(context["expected_tags"], given)
    if kind == "literal_error" and isinstance(value, str):
        return _one_of(context["expected"], value)
    if kind == "too_short":
        return f"expected at least {context['min_length']}, got {describe(value)}"
    if kind == "finite_number":
        return f"expected a finite number, got {describe(value)}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"must be {words} {context[key]:g}, got {describe(value)}"
    # Kinds that are not known here keep pydantic's words.
    return _wrong_type(kind, value, context) or error["msg"]


def _wrong_type(kind: str, value: object, context: Mapping[str, Any]) -> str | None:
    """Return the message of a value of another type; None where ``kind`` is no such mistake."""
    hint = _misspelt_range(value)
    if kind == "union_tag_not_found":
        return hint or "missing: say which kind is meant"
    expected = _expected(kind, context)
    if expected is None:
        return None
    if hint is None and _is_a_range(value):
        hint = "this setting cannot be a range (those of model.args and most of train can)"
    elif kind.startswith("model") and value is None:
        hint = "leave the section out for its defaults"
    message = f"expected {expected}, got {describe(value)}"
    return f"{message} - {hint}" if hint else message


def _expected(kind: str, context: Mapping[str, Any]) -> str | None:
    """Return what pydantic expected, in words."""
    if kind != "literal_error":
        return _EXPECTED.get(kind)
    expected: str = context["expected"]
    names = _names_in(expected)
    return f"one of {', '.join(names)}" if len(names) > 1 else expected


def _names_in(expected: str) -> list[str]:
    """Return the names that stand in quotes in pydantic's list of them."""
    return re.findall(r"'([^']*)'", expected)


def _one_of(expected: str, value: object) -> str:
    names = _names_in(expected)
    close = nearest(value, names) if isinstance(value, str) else None
    tail = f" - did you mean {close!r}?" if close else ""
    return f"expected one of {', '.join(names)}, got {describe(value)}{tail}"


def _misspelt_range(value: object) -> str | None:
    """Return what to write instead, when a mapping that is no range was probably meant as one."""
    if not isinstance(value, Mapping) or range_key(value):
        return None
    if len(value) == 1:
        name = str(next(iter(value)))
        close = nearest(name.lower(), RANGE_KEYS)
        return f"unknown range {name!r}, did you mean {close!r}?" if close else None
    if any(key in RANGE_KEYS for key in value):
        return "a range is a mapping with one key"
    return None


def _looks_like_a_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
