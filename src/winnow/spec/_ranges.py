"""Open settings: the four kinds of range that may stand wherever a value may.

In YAML a range is a mapping with one key: ``{uniform: [0, 0.6]}``, ``{log: [1e-4, 1e-1]}``,
``{integer: [1, 4]}``, ``{choice: [64, 128]}``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from winnow.errors import Problem, RecipeError
from winnow.spec._problems import describe, join, range_key, refusal
from winnow.spec._settings import Settings, option_labels

__all__ = [
    "RANGES",
    "Choice",
    "Condition",
    "Integer",
    "Log",
    "Open",
    "OpenSetting",
    "Range",
    "Uniform",
    "is_range",
]

Number = Annotated[float, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]


class _Bounded(Settings):
    """A range from ``low`` to ``high``, both included. ``Log(1e-4, 1e-1)`` in Python, ``{log:
    [1e-4, 1e-1]}`` in YAML.
    """

    key: ClassVar[str]
    low: Number
    high: Number

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        if range_key(value) == cls.key:
            value = value[cls.key]
        if isinstance(value, list | tuple) and len(value) == 2:
            return {"low": value[0], "high": value[1]}
        if isinstance(value, Mapping) and set(value) == {"low", "high"}:
            return dict(value)
        if isinstance(value, cls):
            return value
        raise ValueError(f"expected {{{cls.key}: [low, high]}}, got {describe(value)}")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(
                f"the low end must be below the high end, got [{describe(self.low)}, "
                f"{describe(self.high)}]"
            )
        return self

    @model_serializer
    def _to_yaml(self) -> dict[str, list[float]]:
        return {self.key: [self.low, self.high]}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        end: dict[str, Any] = {"type": "integer" if cls is Integer else "number"}
        if cls is Log:
            end["exclusiveMinimum"] = 0
        ends = {"type": "array", "items": end, "minItems": 2, "maxItems": 2}
        return _one_key(cls, ends)


class Uniform(_Bounded):
    """A real number from ``low`` to ``high``, every value equally likely."""

    key: ClassVar[str] = "uniform"

    def __init__(self, low: float, high: float) -> None:
        super().__init__(low=low, high=high)

    def at(self, share: float) -> float:
        """Return the value below which ``share`` of the range lies, ``share`` in [0, 1)."""
        return min(self.high, self.low + share * (self.high - self.low))


class Log(_Bounded):
    """A positive real number from ``low`` to ``high``, its logarithm uniform."""

    key: ClassVar[str] = "log"

    def __init__(self, low: float, high: float) -> None:
        super().__init__(low=low, high=high)

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if self.low <= 0:
            raise ValueError(f"a log range must lie above 0, got low = {describe(self.low)}")
        return self

    def at(self, share: float) -> float:
        """Return the value below which ``share`` of the range lies, ``share`` in [0, 1)."""
        exponent = math.log(self.low) + share * (math.log(self.high) - math.log(self.low))
        # The logarithm and back may end a rounding error beyond the range.
        return min(self.high, max(self.low, math.exp(exponent)))


class Integer(_Bounded):
    """A whole number from ``low`` to ``high``, both included."""

    key: ClassVar[str] = "integer"
    low: Whole
    high: Whole

    def __init__(self, low: int, high: int) -> None:
        super().__init__(low=low, high=high)

    def at(self, share: float) -> int:
        """Return the number below which ``share`` of the range lies, ``share`` in [0, 1)."""
        return self.low + math.floor(share * (self.high - self.low + 1))


class Choice(Settings):
    """One of ``options``: plain values, or settings records, which may themselves hold ranges
    (conditional ranges).
    """

    key: ClassVar[str] = "choice"
    options: tuple[Any, ...]

    def __init__(self, *values: Any, options: Iterable[Any] | None = None) -> None:
        if options is None:
            is_one_list = len(values) == 1 and isinstance(values[0], list | tuple)
            options = values[0] if is_one_list else values
        super().__init__(options=tuple(options))

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        if range_key(value) == cls.key:
            value = value[cls.key]
        elif isinstance(value, Mapping) and set(value) == {"options"}:
            value = value["options"]
        if isinstance(value, cls):
            return value
        if not isinstance(value, list | tuple):
            raise ValueError(
                f"expected {{choice: [one option, another, ...]}}, got {describe(value)}"
            )
        return {"options": tuple(map(_frozen, value))}

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.options:
            raise ValueError("a choice needs at least one option, got none")
        for i, option in enumerate(self.options):
            if isinstance(option, float) and not math.isfinite(option):
                raise ValueError(f"options must be finite, got {option}")
            if any(type(option) is type(o) and option == o for o in self.options[:i]):
                raise ValueError(f"options must differ, got {describe(option)} twice")
        return self

    @property
    def labels(self) -> tuple[Any, ...]:
        """What stands for each option in ``Recipe.resolve``: a settings record's ``kind``,
        otherwise the option itself.
        """
        labels: list[Any] = []
        for name, option in zip(option_labels(self.options), self.options, strict=True):
            labels.append(name if isinstance(option, Settings) else option)
        return tuple(labels)

    def at(self, share: float) -> Any:
        """Return the label of the option in which ``share`` of all lies, ``share`` in [0, 1)."""
        return self.labels[math.floor(share * len(self.options))]

    def position(self, label: Any) -> int:
        """Return where the option of this label stands; 1, 1.0 and True are three labels."""
        known = self.labels
        return next(i for i, o in enumerate(known) if type(o) is type(label) and o == label)

    @model_serializer
    def _to_yaml(self) -> dict[str, list[Any]]:
        options: list[Any] = []
        for option in self.options:
            options.append(option.model_dump() if isinstance(option, BaseModel) else option)
        return {self.key: options}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return _one_key(cls, {"type": "array", "items": {}, "minItems": 1})


Range = Uniform | Log | Integer | Choice
Condition = tuple[str, Any]
RANGES: dict[str, type[Settings]] = {cls.key: cls for cls in (Uniform, Log, Integer, Choice)}


@dataclass(frozen=True)
class OpenSetting:
    """One open setting of a recipe.

    Attributes:
        path: where it stands, e.g. ``train.optimizer.lr``; inside an option of a choice the
            option's label is a step of the path: ``train.optimizer.sgd.lr``.
        range: what it may become.
        condition: (path of a choice, label of its option) when it exists only if that option is
            taken.
    """

    path: str
    range: Range
    condition: Condition | None = None

    @property
    def labels(self) -> tuple[Any, ...] | None:
        """The values a choice may be resolved to, None for the other ranges."""
        return self.range.labels if isinstance(self.range, Choice) else None

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Tell whether the setting exists where the choices before it have ``values``, by path."""
        if self.condition is None:
            return True
        path, option = self.condition
        return path in values and bool(values[path] == option)


def is_range(value: Any) -> bool:
    """Tell whether ``value`` is a range object, or a mapping that spells one in YAML."""
    return isinstance(value, tuple(RANGES.values())) or range_key(value) is not None


def _frozen(value: Any) -> Any:
    """Return lists as tuples, at any depth: a recipe cannot be changed."""
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return value


def _one_key(cls: type[_Bounded] | type[Choice], content: dict[str, Any]) -> JsonSchemaValue:
    """Return the JSON schema of a range as it stands in YAML."""
    return {
        "type": "object",
        "description": cls.__doc__,
        "properties": {cls.key: content},
        "required": [cls.key],
        "additionalProperties": False,
    }


# -- settings that may be open ---------------------------------------------------------------------


def _kind(value: object) -> str:
    """Return the key of a range, spelled in YAML or as an object; else ``value``."""
    for key, cls in RANGES.items():
        if isinstance(value, cls):
            return key
    return range_key(value) or "value"


def _kinds_for(item: Any) -> tuple[str, ...]:
    """Return the kinds of range whose values can be an ``item``."""
    while get_origin(item) is Annotated:
        item = get_args(item)[0]
    if item is float:
        return ("uniform", "log", "integer", "choice")
    if item is int:
        return ("integer", "choice")
    return ("choice",)


def _refuse_others(kinds: Sequence[str]) -> Callable[[Any], Any]:
    """Return a check that refuses ranges of other kinds, before pydantic looks at their ends."""

    def check(value: Any) -> Any:
        kind = _kind(value)
        if kind == "value" or kind in kinds:
            return value
        takes = "whole numbers" if "integer" in kinds else "one of a few values"
        raise ValueError(
            f"this setting takes {takes}, so its range is {' or '.join(kinds)}, not {kind}"
        )

    return check


def _hold_ends_to(item: Any) -> Callable[[Any], Any]:
    """Return a check of each end or option of a range against the type that a fixed value must
    have.

    Args:
        item: that type.
    """

    # Made when it is first needed: to build one takes time, and most settings are never open.
    @functools.cache
    def adapter() -> TypeAdapter[Any]:
        return TypeAdapter(item)

    def check(value: Any) -> Any:
        if isinstance(value, Choice):
            return _fitted_choice(item, adapter(), value)
        _check_ends(item, adapter(), value)
        return value

    return check


def _fitted_choice(item: Any, adapter: TypeAdapter[Any], choice: Choice) -> Choice:
    """Return a choice with its options as the type ``item`` takes them.

    Raises:
        RecipeError: with every option that the type refuses.
    """
    problems: list[Problem] = []
    fitted: list[Any] = []
    for i, label in enumerate(option_labels(choice.options)):
        name = label or f"[{i}]"
        fitted.append(_fit(item, adapter, choice.options[i], name, problems))
    if problems:
        raise RecipeError(problems)
    return Choice(options=fitted)


def _check_ends(item: Any, adapter: TypeAdapter[Any], found: Uniform | Log | Integer) -> None:
    """Check both ends of a range.

    Raises:
        RecipeError: with every end that the type ``item`` refuses.
    """
    problems: list[Problem] = []
    for name in ("low", "high"):
        _fit(item, adapter, getattr(found, name), name, problems)
    if problems:
        raise RecipeError(problems)


def _fit(
    item: Any, adapter: TypeAdapter[Any], value: Any, name: str, problems: list[Problem]
) -> Any:
    """Return a value as the type ``item`` takes it; what is wrong with it joins ``problems``."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        for problem in refusal(error, item):
            problems.append(Problem(join(name, problem.setting), problem.message))
        return value


if TYPE_CHECKING:
    T = TypeVar("T")
    # To a type checker an open setting is its resolved value; Any lets a range be given for it.
    Open = Union[T, Any]  # noqa: UP007 - a generic alias
else:

    class Open:
        """``Open[T]``: a ``T``, or a range whose every end or option is a valid ``T``."""

        def __class_getitem__(cls, item: Any) -> Any:
            kinds, ends_fit = _kinds_for(item), AfterValidator(_hold_ends_to(item))
            members = [
                Annotated[item, Tag("value")],
                *(Annotated[RANGES[k], ends_fit, Tag(k)] for k in kinds),
            ]
            either: Any = Union[tuple(members)]  # noqa: UP007 - made from the kinds
            refuse = BeforeValidator(_refuse_others(kinds))
            return Annotated[either, Discriminator(_kind), refuse]
