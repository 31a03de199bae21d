"""The open settings of a recipe, and closing them: the search space is read off the recipe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from winnow.errors import Problem, RecipeError, did_you_mean, meant_instead
from winnow.spec import (
    Choice,
    Condition,
    Integer,
    OpenSetting,
    Range,
    Settings,
    describe,
    is_range,
    join,
    option_labels,
    plain,
)

__all__ = ["find", "resolve"]

R = TypeVar("R", bound=Settings)


def find(record: Settings, path: str = "") -> dict[str, OpenSetting]:
    """Return the open settings of a recipe, variant or section by dotted path, in its order,
    conditional ones after their choice.
    """
    return {setting.path: setting for setting in _walk(record, path, None)}


def resolve(recipe: R, values: Mapping[str, Any], *, partial: bool = False) -> R:
    """Return the recipe with open settings replaced by ``values`` (dotted path to value, an
    option's label for a choice of records).

    Raises:
        RecipeError: for a path that is not open or does not apply, a value outside its range, and,
            unless ``partial``, for every setting that stays open.
    """
    settings = find(recipe)
    problems: list[Problem] = []
    accepted: dict[str, Any] = {}
    for path, value in values.items():
        try:
            accepted[path] = _accept(recipe, settings, path, value)
        except ValueError as error:
            problems.append(Problem(path, str(error)))
    for setting in settings.values():
        problems += _unfit(setting, values, accepted, partial=partial)
    if problems:
        raise RecipeError(problems)
    closed: R = _close(recipe, "", accepted)
    return closed


def _walk(value: Any, path: str, condition: Condition | None) -> Iterator[OpenSetting]:
    if is_range(value) and isinstance(value, Settings):
        yield OpenSetting(path, value, condition)
        if isinstance(value, Choice):
            for label, option in zip(value.labels, value.options, strict=True):
                if isinstance(option, Settings):
                    yield from _walk(option, join(path, label), (path, label))
    elif isinstance(value, Settings):
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name), join(path, name), condition)
    elif _is_list_of_records(value):
        for label, item in zip(option_labels(value), value, strict=True):
            yield from _walk(item, join(path, str(label)), condition)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _walk(item, join(path, name), condition)


def _unfit(
    setting: OpenSetting, values: Mapping[str, Any], accepted: Mapping[str, Any], *, partial: bool
) -> list[Problem]:
    """Return what is wrong with giving, or not giving, a value for ``setting``."""
    given = setting.path in values
    if setting.condition is not None:
        choice, label = setting.condition
        if choice in accepted and accepted[choice] != label:
            words = f"applies only when {choice} is {label!r}, and it is {accepted[choice]!r}"
            return [Problem(setting.path, words)] if given else []
        if choice not in accepted and not partial:
            return []  # the choice itself is reported
    if given or partial:
        return []
    return [Problem(setting.path, f"still open, give it a value: {_in_words(setting.range)}")]


def _accept(recipe: Settings, settings: Mapping[str, OpenSetting], path: str, value: Any) -> Any:
    if path not in settings:
        fixed = _at(recipe, path)
        if fixed is not None:
            raise ValueError(f"not open: it is fixed at {describe(fixed[0])}")
        raise ValueError(f"no such open setting{did_you_mean(path, settings)}")
    found, value = settings[path].range, plain(value)
    if isinstance(found, Choice):
        return _option(found, value)
    kinds: Any = int if isinstance(found, Integer) else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        raise ValueError(f"expected {_in_words(found)}, got {describe(value)}")
    for end in (found.low, found.high):
        # Samplers come back from a logarithm a rounding error beyond the end
        if math.isclose(value, end, rel_tol=1e-12):
            return end
    if not found.low <= value <= found.high:
        raise ValueError(f"expected {_in_words(found)}, got {describe(value)}")
    return value


def _option(choice: Choice, value: Any) -> Any:
    """Return the option's label, in the type that the recipe gives it."""
    value = tuple(value) if isinstance(value, list) else value
    for label in choice.labels:
        if type(label) is type(value) and label == value:
            return label
    numbers = [o for o in choice.labels if isinstance(o, int | float) and not isinstance(o, bool)]
    if isinstance(value, int | float) and not isinstance(value, bool) and value in numbers:
        return numbers[numbers.index(value)]
    hint = (
        meant_instead(value, [o for o in choice.labels if isinstance(o, str)])
        if isinstance(value, str)
        else ""
    )
    raise ValueError(f"expected {_in_words(choice)}, got {describe(value)}{hint}")


def _in_words(found: Range) -> str:
    if isinstance(found, Choice):
        return f"one of {', '.join(describe(label) for label in found.labels)}"
    kind = "a whole number" if isinstance(found, Integer) else "a number"
    return f"{kind} from {describe(found.low)} to {describe(found.high)}"


def _at(value: Any, path: str) -> tuple[Any] | None:
    """Return the value at a dotted path, in a tuple; None when there is none."""
    for step in path.split("."):
        if isinstance(value, Settings) and step in type(value).model_fields:
            value = getattr(value, step)
        elif isinstance(value, Mapping) and step in value:
            value = value[step]
        elif _is_list_of_records(value) and step in option_labels(value):
            value = value[option_labels(value).index(step)]
        else:
            return None
    return (value,)


def _close(value: Any, path: str, values: Mapping[str, Any]) -> Any:
    """Return ``value`` with the ranges in it that ``values`` names replaced; everything that
    changes is validated again.
    """
    if isinstance(value, Choice):
        return _close_choice(value, path, values)
    if is_range(value):
        return values.get(path, value)
    if isinstance(value, Settings):
        changed = {
            name: _close(getattr(value, name), join(path, name), values)
            for name in type(value).model_fields
        }
        same = all(_is_same(changed[name], getattr(value, name)) for name in changed)
        return value if same else type(value)(**changed)
    if _is_list_of_records(value):
        labels = option_labels(value)
        return tuple(
            _close(item, join(path, str(label)), values)
            for label, item in zip(labels, value, strict=True)
        )
    if isinstance(value, dict):
        return {name: _close(item, join(path, name), values) for name, item in value.items()}
    return value


def _close_choice(choice: Choice, path: str, values: Mapping[str, Any]) -> Any:
    options = [
        _close(option, join(path, label), values) if isinstance(option, Settings) else option
        for label, option in zip(choice.labels, choice.options, strict=True)
    ]
    if path in values:
        return options[
            next(
                i
                for i, label in enumerate(choice.labels)
                if type(label) is type(values[path]) and label == values[path]
            )
        ]
    same = all(new is old for new, old in zip(options, choice.options, strict=True))
    return choice if same else Choice(options=options)


def _is_list_of_records(value: Any) -> bool:
    """Return whether it is methods in a list: each is a step of the path by its ``kind`` or its
    class.
    """
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], Settings)


def _is_same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))
    return a is b
