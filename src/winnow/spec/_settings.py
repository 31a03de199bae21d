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
    """Mark an ``__init__`` as called by people only: pydantic validates a nested record without
    it, straight from its mapping.
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
            raise RecipeError(
                _problems.from_pydantic(cls, value if isinstance(value, Mapping) else {}, error)
            ) from None


def plain(value: Any) -> Any:
    """``value`` with NumPy's and PyTorch's scalars turned into Python's, in lists too; anything
    else as it is.
    """
    if type(value) in (bool, int, float, str) or value is None:
        return value
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value)) if type(value) in (list, tuple) else value
    if hasattr(value, "dtype") and hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    return value


def option_labels(options: Sequence[Any]) -> list[str | None]:
    """The name of each option of a choice that is a settings record (its own ``name``, its
    ``kind``, or the class that it uses), None for plain values.

    A kind that comes twice is numbered: ``sgd``, ``sgd_2``.
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
    return option.get(name) if isinstance(option, Mapping) else getattr(option, name, None)


def _name_of_class(use: Any) -> str | None:
    """The last name of an import path, ``RAdam`` of ``torch.optim:RAdam``."""
    return re.split(r"[:.]", use)[-1] if isinstance(use, str) else None
