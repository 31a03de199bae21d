"""The record that everything in a recipe is made of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from winnow.errors import RecipeError
from winnow.spec import _problems

__all__ = ["Settings", "option_labels", "plain"]


def _not_for_nested(init: Any) -> Any:
    """Mark an ``__init__`` as called by people only.

    pydantic then validates a nested record without it, straight from its mapping.
    """
    init.__pydantic_base_init__ = True
    return init


class Settings(BaseModel):
    """Base of everything in a recipe: frozen, no unknown keys, no silent turning of text into
    numbers.

    Raises:
        RecipeError: with every mistake in the arguments, each under its dotted path.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @_not_for_nested
    def __init__(self, /, **settings: Any) -> None:
        try:
            super().__init__(**{name: plain(value) for name, value in settings.items()})
        except ValidationError as error:
            raise RecipeError(_problems.refusal(error)) from None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            _not_for_nested(cls.__init__)

    # Each record words its own mistakes; the record around it adds the path.
    @model_validator(mode="wrap")
    @classmethod
    def _in_plain_words(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            given = value if isinstance(value, Mapping) else {}
            raise RecipeError(_problems.from_pydantic(cls, given, error)) from None


def plain(value: Any) -> Any:
    """Return a value with NumPy's and PyTorch's scalars turned into Python's, in lists too.

    Anything else stays as it is.
    """
    if type(value) in (bool, int, float, str) or value is None:
        return value
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if isinstance(value, list | tuple):  # of a class of its own, which could not be made so
        return value
    is_scalar = hasattr(value, "dtype") and getattr(value, "shape", None) == ()
    if is_scalar and hasattr(value, "item"):
        return value.item()
    return value


def option_labels(options: Sequence[Any]) -> list[str | None]:
    """Return the name of each option of a choice that is a settings record.

    That is its own ``name``, its ``kind``, or the class that it uses. A kind that comes twice is
    numbered: ``sgd``, ``sgd_2``.

    Returns:
        A name for each option; None for plain values.
    """
    seen: Counter[str] = Counter()
    labels: list[str | None] = []
    for option in options:
        named = _read(option, "name") if _has(option, "name") else None
        kind = named or _read(option, "kind") or _name_of_class(_read(option, "use"))
        if not isinstance(kind, str):
            labels.append(None)
            continue
        seen[kind] += 1
        labels.append(kind if seen[kind] == 1 else f"{kind}_{seen[kind]}")
    return labels


def _has(option: Any, name: str) -> bool:
    """Return whether a record has a setting of that name, which a class attribute is not."""
    if isinstance(option, Mapping):
        return name in option
    return name in getattr(type(option), "model_fields", ())


def _read(option: Any, name: str) -> Any:
    """Return a field of a record, or of the mapping that spells one; None where there is none."""
    if isinstance(option, Mapping):
        return option.get(name)
    return getattr(option, name, None)


def _name_of_class(use: object) -> str | None:
    """Return the last name of an import path, ``RAdam`` of ``torch.optim:RAdam``."""
    if not isinstance(use, str):
        return None
    return re.split(r"[:.]", use)[-1]
