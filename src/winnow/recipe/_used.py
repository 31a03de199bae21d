"""What a recipe takes from elsewhere: classes of the user's own or of a library, with their
arguments.

A method given from Python as an object becomes such a record, so that a recipe stays plain data.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from winnow.errors import Problem, RecipeError, nearest
from winnow.methods import LOSSES, BaseLoss, BaseMethod
from winnow.recipe import _arguments, _names
from winnow.spec import Open, Positive, Settings

__all__ = ["Loss", "Optimizer", "Penalty", "Schedule", "Used", "loss_name", "one_of", "usual_loss"]

# Names of the forms that a method may have. No setting is called so, which keeps paths readable.
_BUILT_IN, _USED, _NAME = "<kind>", "<use>", "<name>"


class Used(Settings):
    """A class or function that is no part of winnow, by its import path, with its arguments."""

    use: str
    args: dict[str, Any] = Field(default_factory=dict)  # values or ranges

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        own = {name: more.pop(name) for name in list(more) if name in type(self).model_fields}
        if more and isinstance(args, Mapping) and (twice := sorted(set(args) & set(more))):
            message = "given twice, in `args` and by name"
            raise RecipeError([Problem(f"args.{name}", message) for name in twice])
        args = {**(args or {}), **more} if more or args is None else args
        super().__init__(**({} if use is None else {"use": use}), args=args, **own)

    @model_validator(mode="before")
    @classmethod
    def _no_stray_keys(cls, value: Any) -> Any:
        """Take a class or a method for its record, and refuse unknown keys of a mapping.

        ``__init__`` would take those for arguments.
        """
        if inspect.isclass(value):
            return {"use": value}
        if isinstance(value, BaseMethod):
            value = {"use": type(value), **{n: v for n, v in value if n != "kind"}}
            own = {n: value.pop(n) for n in list(value) if n in cls.model_fields}
            return {**own, "args": value}
        is_mapping = isinstance(value, Mapping)
        stray = [key for key in value if key not in cls.model_fields] if is_mapping else []
        if not stray:
            return value
        problems = [Problem(str(key), f"unknown setting{cls._belongs(str(key))}") for key in stray]
        try:
            cls(**{key: v for key, v in value.items() if key not in stray})
        except RecipeError as error:
            problems += error.problems
        raise RecipeError(problems)

    @classmethod
    def _belongs(cls, key: str) -> str:
        """Where an unknown key belongs, in words for the end of a message."""
        close = nearest(key, cls.model_fields)
        return (
            f" - did you mean {close!r}?"
            if close
            else f" - the arguments of {_a(cls)} stand under `args`"
        )

    @field_validator("use", mode="before")
    @classmethod
    def _is_a_class(cls, value: Any) -> str:
        return _names.own(value, _a(cls))

    @field_validator("args", mode="before")
    @classmethod
    def _are_arguments(cls, args: Any, info: ValidationInfo) -> Any:
        return _arguments.check(info.data.get("use"), args) if isinstance(args, Mapping) else args


def _a(record: type[Settings]) -> str:
    """``a model``, ``an optimizer``: what a record names, with its article."""
    noun = record.__name__.lower()
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


class Optimizer(Used):
    """An optimizer that is no part of winnow: a subclass of ``BaseOptimizer``, or of
    ``torch.optim.Optimizer``.

    In Python: ``Optimizer(torch.optim.RAdam, lr=Log(1e-4, 1e-1))``; in YAML:
    ``{use: torch.optim:RAdam, lr: {log: [1e-4, 1e-1]}}``.
    """

    lr: Open[Positive] = 1e-3

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)


class Schedule(Used):
    """A schedule that is no part of winnow: a subclass of ``BaseSchedule``."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)


class Loss(Used):
    """A loss that is no part of winnow: a subclass of ``BaseLoss``, or of ``torch.nn.Module``."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)


class Penalty(Used):
    """A penalty that is no part of winnow: a subclass of ``BasePenalty``."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)


def one_of(
    methods: Sequence[type[BaseMethod]], used: type[Used], *, names: Sequence[str] = ()
) -> Any:
    """Return the type of a setting that is one of winnow's own methods or one from elsewhere.

    Args:
        methods: winnow's own, told apart by their ``kind``.
        used: the record of one from elsewhere.
        names: methods that are written by their name alone, without settings.
    """
    kinds = {method.model_fields["kind"].default: method for method in methods}

    def form(value: Any) -> str:
        if names and not (inspect.isclass(value) or isinstance(value, Mapping | BaseMethod | Used)):
            return _NAME
        is_own = isinstance(value, tuple(methods))
        given = inspect.isclass(value) or (isinstance(value, BaseMethod) and not is_own)
        is_used = isinstance(value, Used) or (isinstance(value, Mapping) and "use" in value)
        return _USED if given or is_used else _BUILT_IN

    def named(value: Any) -> Any:
        if not names:
            return value
        if isinstance(value, str) and value in kinds and value not in names:
            return kinds[value]()
        return _as_name(value, names)

    own: Any = Union[tuple(methods)]  # noqa: UP007 - made from the methods
    forms = [
        Annotated[own, Field(discriminator="kind"), Tag(_BUILT_IN)],
        Annotated[used, Tag(_USED)],
    ]
    if names:
        every = tuple(dict.fromkeys([*names, *kinds]))
        forms.append(Annotated[Literal[every], Tag(_NAME)])
    return Annotated[Union[tuple(forms)], Discriminator(form), BeforeValidator(named)]  # noqa: UP007


def _as_name(value: Any, names: Sequence[str]) -> Any:
    """A method without settings, or with all of them at their defaults, as its name alone."""
    if isinstance(value, BaseMethod) and value.kind in names and value == type(value)():
        return value.kind
    return value


def usual_loss(task: str) -> str:
    """Return the kind of the loss that ``auto`` means for a task: the first that is for it."""
    return next(str(m.model_fields["kind"].default) for m in LOSSES if m.task == task)


def loss_name(loss: BaseLoss | Used) -> str:
    """Return what a loss is called: its kind, or the import path of its class."""
    return loss.use if isinstance(loss, Used) else loss.kind
