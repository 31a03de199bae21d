"""What a recipe takes from elsewhere: classes of the user's own or of a library, with their
arguments.

A method given from Python as an object becomes such a record, so that a recipe stays plain data.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union

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
from winnow.methods import LOSSES, BaseLoss, BaseMethod, Patience
from winnow.recipe import _arguments, _names, _objects
from winnow.recipe._callables import TRUST
from winnow.spec import Open, Positive, Settings, is_range, join

__all__ = [
    "USUAL",
    "Augment",
    "Averaging",
    "Compressor",
    "DataStep",
    "GradientRule",
    "Loss",
    "Optimizer",
    "Penalty",
    "Sampler",
    "Scaler",
    "Schedule",
    "Stopping",
    "Used",
    "loss_name",
    "made",
    "one_of",
    "usual_loss",
    "without_ranges",
]

M = TypeVar("M", bound=BaseMethod)

# Methods that a mapping without a ``kind`` stands for
USUAL: tuple[type[BaseMethod], ...] = (Patience,)
# Names of the forms that a method may have. No setting is called so, which keeps paths readable.
_BUILT_IN, _USED, _NAME, _PATH = "<kind>", "<use>", "<name>", "<path>"


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
    """Return ``a data step``, ``an optimizer``: what a record names, with its article."""
    noun = re.sub(r"(?<!^)(?=[A-Z])", " ", record.__name__).lower()
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


# Each record repeats the constructor that it would inherit. Of a class that defines none itself,
# type checkers make one up from its fields, which takes neither `use` by position nor arguments by
# name.


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


class GradientRule(Used):
    """A gradient rule that is no part of winnow: a subclass of ``BaseGradientRule``."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)


class Augment(Used):
    """An augmentation that is no part of winnow: a subclass of ``BaseAugment``."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)


class Averaging(Used):
    """An averaging of weights that is no part of winnow: a subclass of ``BaseAveraging``."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)


class Stopping(Used):
    """A rule for stopping early that is no part of winnow: a subclass of ``BaseStopping``."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)


class _Fixed(Used):
    """What is itself no part of what is searched, so that its arguments are values."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)

    @field_validator("args", mode="after")
    @classmethod
    def _are_fixed(cls, args: dict[str, Any]) -> dict[str, Any]:
        return without_ranges(args)


class Sampler(_Fixed):
    """A sampler that is no part of winnow: a subclass of ``BaseSampler``."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)


class Scaler(_Fixed):
    """A scaler that is no part of winnow: a subclass of ``BaseScaler``."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)


class DataStep(_Fixed):
    """A step from features to features that is no part of winnow: a subclass of ``BaseStep``."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)


class Compressor(_Fixed):
    """A compressor that is no part of winnow: a subclass of ``BaseCompressor``."""

    def __init__(self, /, use: Any = None, *, args: Any = None, **more: Any) -> None:
        super().__init__(use, args=args, **more)


def without_ranges(args: dict[str, Any]) -> dict[str, Any]:
    """Refuse ranges among the arguments of what is itself no part of what is searched.

    Raises:
        RecipeError: naming each of them.
    """
    problems = [
        Problem(n, "this setting cannot be a range") for n, v in args.items() if _is_open(v)
    ]
    if problems:
        raise RecipeError(problems)
    return args


def _is_open(value: Any) -> bool:
    inner = value.values() if isinstance(value, Mapping) and not is_range(value) else ()
    return is_range(value) or any(_is_open(item) for item in inner)


def one_of(
    methods: Sequence[type[BaseMethod]],
    used: type[Used],
    *,
    names: Sequence[str] = (),
    usual: type[BaseMethod] | None = None,
) -> Any:
    """Return the type of a setting that is one of winnow's own methods or one from elsewhere.

    Args:
        methods: winnow's own, told apart by their ``kind``.
        used: the record of one from elsewhere. Its import path alone stands for one without
            arguments.
        names: methods that are written by their name alone, without settings.
        usual: the method that a mapping without a ``kind`` is.
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
        if is_range(value):  # an open setting takes a range before it looks for a method
            raise ValueError("this setting cannot be a range")
        if isinstance(value, str) and _names.is_own(value):
            return {"use": value}
        if usual is not None and isinstance(value, Mapping) and not {"kind", "use"} & set(value):
            return {"kind": usual.model_fields["kind"].default, **value}
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
        # No value has this form: it tells the schema that an import path alone is allowed.
        forms.append(Annotated[str, Field(pattern=":"), Tag(_PATH)])
    return Annotated[Union[tuple(forms)], Discriminator(form), BeforeValidator(named)]  # noqa: UP007


def _as_name(value: Any, names: Sequence[str]) -> Any:
    """Return a method without settings, or with all of them at their defaults, as its name
    alone.
    """
    if isinstance(value, BaseMethod) and value.kind in names and value == type(value)():
        return value.kind
    return value


def made(
    record: str | BaseMethod | Used, family: Sequence[type[M]], base: type[M], setting: str
) -> M:
    """Return a method with its settings, winnow's own or one from elsewhere.

    Args:
        record: as it stands in the recipe: a kind, or a record with nothing open.
        family: winnow's own methods of this kind.
        base: the contract that one from elsewhere must fulfill.
        setting: where it stands, for messages.

    Raises:
        RecipeError: the class cannot be found, is none of this family, or refuses its arguments.
    """
    if isinstance(record, base):
        return record
    if isinstance(record, str):
        return next(m for m in family if m.model_fields["kind"].default == record)()
    assert isinstance(record, Used)
    try:
        found = _objects.resolve(record.use)
    except _objects.ObjectNotFound as error:
        raise RecipeError(Problem(f"{setting}.use", str(error))) from None
    if not (isinstance(found, type) and issubclass(found, base)):
        contract = f"winnow.methods.{base.__name__}"
        message = f"expected a subclass of {contract}, but {record.use!r} is none ({TRUST})"
        raise RecipeError(Problem(f"{setting}.use", message))
    try:
        return found(**record.args)
    except RecipeError as error:
        problems = [Problem(join(f"{setting}.args", p.setting), p.message) for p in error.problems]
        raise RecipeError(problems) from None


def usual_loss(task: str) -> str:
    """Return the kind of the loss that ``auto`` means for a task: the first that is for it."""
    return next(str(m.model_fields["kind"].default) for m in LOSSES if m.task == task)


def loss_name(loss: BaseLoss | Used) -> str:
    """Return what a loss is called: its kind, or the import path of its class."""
    return loss.use if isinstance(loss, Used) else loss.kind
