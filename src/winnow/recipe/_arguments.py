"""The arguments of a model: typed for the ready ones, plain data and ranges for a user's
(`models` holds these to its class).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from pydantic import ValidationError

from winnow.errors import Problem, RecipeError
from winnow.recipe._ready import READY
from winnow.spec import (
    RANGE_KEYS,
    RANGES,
    Choice,
    describe,
    is_range,
    join,
    plain,
    range_key,
    refusal,
)

__all__ = ["DROPOUT_NAMES", "check"]

DROPOUT_NAMES = ("dropout", "drop_rate", "p")  # what the rate of dropout is called in models


def check(use: str | None, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as plain data, with ranges as range objects and sequences as lists.

    Args:
        use: the model's name; None when it is not known, so that only the form can be checked.
        args: values or ranges, by name.

    Raises:
        RecipeError: with every mistake, by the name of the argument.
    """
    problems: list[Problem] = []
    checked = {str(name): _value(value, str(name), problems) for name, value in args.items()}
    if use in READY and not problems:
        for name in [n for n in checked if n in DROPOUT_NAMES]:
            problems.append(
                Problem(
                    name, f"{use} has no such argument; the rate of its dropout is train.dropout"
                )
            )
            del checked[name]
        try:
            settings = READY[use](**checked)
            checked = {name: getattr(settings, name) for name in checked}
        except RecipeError as error:
            problems += error.problems
    if problems:
        raise RecipeError(problems)
    return checked


def _value(value: Any, path: str, problems: list[Problem], *, open_here: bool = True) -> Any:
    value = plain(value)
    if is_range(value):
        if open_here:
            return _range(value, path, problems)
        problems.append(
            Problem(
                path,
                "a range can be an argument or stand in a mapping, not in a list or another range",
            )
        )
    elif isinstance(value, Mapping):
        return _mapping(value, path, problems, open_here=open_here)
    elif isinstance(value, list | tuple):
        return [
            _value(item, f"{path}[{i}]", problems, open_here=False) for i, item in enumerate(value)
        ]
    elif isinstance(value, float) and not math.isfinite(value):
        problems.append(Problem(path, f"expected a finite number, got {value}"))
    elif value is not None and not isinstance(value, bool | int | float | str):
        expected = "a number, text, true or false, a list, a mapping or a range"
        problems.append(
            Problem(
                path,
                f"expected {expected}, got {describe(value)} - build it inside the model, from "
                f"plain arguments",
            )
        )
    return value


def _range(value: Any, path: str, problems: list[Problem]) -> Any:
    try:
        found = RANGES[key].model_validate(value) if (key := range_key(value)) else value
    except ValidationError as error:
        problems += [Problem(join(path, p.setting), p.message) for p in refusal(error)]
        return value
    if isinstance(found, Choice):
        for i, option in enumerate(found.options):
            _value(option, f"{path}[{i}]", problems, open_here=False)
    return found


def _mapping(
    value: Mapping[Any, Any], path: str, problems: list[Problem], *, open_here: bool
) -> Any:
    key = str(next(iter(value))) if len(value) == 1 else ""
    meant = next(
        (k for k in RANGE_KEYS if SequenceMatcher(None, key.lower(), k).ratio() >= 0.8), None
    )
    if meant is not None and isinstance(value[next(iter(value))], list | tuple):
        problems.append(Problem(path, f"unknown range {key!r} - did you mean {meant!r}?"))
        return value
    for odd in [k for k in value if not isinstance(k, str)]:
        problems.append(Problem(path, f"the keys of a mapping are text, got {odd!r}"))
    return {
        k: _value(v, join(path, str(k)), problems, open_here=open_here) for k, v in value.items()
    }
