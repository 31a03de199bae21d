"""The parts of a recipe: what is on, has a name and can be switched off. The ablation is read
off the recipe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, TypeVar

from winnow.errors import Problem, RecipeError, did_you_mean
from winnow.methods import (
    GRADIENT_RULES,
    OPTIMIZERS,
    PENALTIES,
    SCALERS,
    STEPS,
    BaseGradientRule,
    BaseMethod,
    BasePenalty,
    BaseStopping,
    Constant,
    Standardize,
)
from winnow.recipe._arguments import DROPOUT_NAMES
from winnow.recipe._ready import READY
from winnow.recipe._sections import Sections
from winnow.recipe._settings import AuxiliaryLoss
from winnow.recipe._used import Stopping, Used
from winnow.spec import Choice, Settings, describe, is_range, option_labels

__all__ = ["Part", "find", "switch_off", "unknown"]

S = TypeVar("S", bound=Sections)
MODULE = "model."
ARGUMENT = "model.args."
PENALTY = "penalty."
AUGMENT = "augment."
STEP = "step."
LOSS = "loss."
RULE = "gradient_rule."
AVERAGING = "train.averaging"
# Settings that are lists of methods, with what the names of their parts begin with
LISTED = {
    "data.prepare.steps": STEP,
    "train.auxiliary_losses": LOSS,
    "train.penalties": PENALTY,
    "train.augment": AUGMENT,
    "train.gradient_rules": RULE,
}


@dataclass(frozen=True)
class Part:
    """Something in a recipe that is on and can be switched off.

    Attributes:
        name: what ``Recipe.without`` and the ablation call it.
        path: the setting that switches it.
        now: its value, or its range; by option where the optimizer itself is open.
        off: the value that means off.
        what: a short phrase for people, e.g. ``dropout at rate 0.3``.
    """

    name: str
    path: str
    now: Any
    off: Any
    what: str


@dataclass(frozen=True)
class _Switch:
    name: str
    path: str
    off: Any
    phrase: Callable[[str], str]  # from its value in words
    also_off: tuple[Any, ...] = ()  # further values that mean off


def _of_methods() -> Iterator[_Switch]:
    """Yield the switches that training methods declare, each name once."""
    seen: set[str] = set()
    for optimizer in OPTIMIZERS:
        for own in optimizer.switches:
            if own.setting not in seen:
                seen.add(own.setting)
                yield _Switch(own.setting, f"train.optimizer.{own.setting}", own.off, own.phrase)


def _of_rules() -> Iterator[_Switch]:
    """Yield the switches of methods that have their one setting in ``train`` itself."""
    methods: tuple[type[BasePenalty | BaseGradientRule], ...] = (*PENALTIES, *GRADIENT_RULES)
    for method in methods:
        if not method.name:
            continue
        for own in method.switches:
            yield _Switch(method.name, f"train.{method.name}", own.off, own.phrase)


def _scaled(now: str) -> str:
    """Return what numbers are, by the kind of a scaler or the name of its class."""
    phrases = {str(m.model_fields["kind"].default): m.phrase for m in SCALERS}
    return phrases.get(now, f"numbers scaled by {now}")


_SWITCHES = (
    _Switch("standardize", "data.prepare.standardize", False, lambda _: Standardize.phrase),
    _Switch("scale", "data.prepare.scale", None, _scaled),
    _Switch(
        "missing_indicator",
        "data.prepare.missing_indicator",
        False,
        lambda _: "indicators of missing values",
    ),
    _Switch("start", "model.start", None, lambda _: "the weights that the model begins from"),
    *_of_methods(),
    _Switch("schedule", "train.schedule", Constant(), lambda now: f"{now} schedule"),
    # The usual loss of the task is no part: training needs one.
    _Switch("loss", "train.loss", "auto", lambda now: f"{now} loss", ("cross_entropy", "mse")),
    _Switch("dropout", "train.dropout", 0.0, lambda now: f"dropout at rate {now}"),
    _Switch("label_smoothing", "train.label_smoothing", 0.0, lambda now: f"label smoothing {now}"),
    *_of_rules(),
    _Switch("averaging", AVERAGING, None, lambda now: f"{now} averaging of weights"),
    _Switch(
        "early_stopping",
        "train.early_stopping",
        None,
        lambda now: f"early stopping {now}",
    ),
)


def find(recipe: Sections) -> dict[str, Part]:
    """Return what can be switched off, by name, in the order of the recipe; an open setting counts
    as on.
    """
    data = list(_switched(recipe, "data."))
    train = list(_switched(recipe, "train."))
    start = list(_switched(recipe, "model."))
    model = [p for p in (*_argument_parts(recipe), *_module_parts(recipe)) if _is_on(p.now, p.off)]
    listed = [part for part in _listed_parts(recipe) if not _does_nothing(part.now)]
    parts = [*data, *start, *model, *train, *listed]
    return {part.name: part for part in parts}


def switch_off(recipe: S, names: Sequence[str]) -> S:
    """Return the recipe with the named parts switched off. ``model.<module>`` names any module of
    the model.

    Raises:
        RecipeError: for a name that is no part of this recipe, or one that is off already.
    """
    parts = find(recipe)
    chosen: list[Part] = []
    problems: list[Problem] = []
    if "dropout" not in parts and recipe.train.dropout is None and recipe.model.use not in READY:
        # A user's model may have some
        parts["dropout"] = Part("dropout", "train.dropout", None, 0.0, "the model's own dropout")
    for name in dict.fromkeys(names):
        part = parts.get(name) or _module_part(recipe, name)
        if part is None:
            known = _is_known(recipe, name)
            problems.append(
                Problem(
                    name,
                    "this part is off already"
                    if known
                    else f"no such part{did_you_mean(name, parts)}",
                )
            )
        else:
            chosen.append(part)
    if problems:
        raise RecipeError(problems)
    listed = [part.name for part in chosen if part.path in LISTED]
    for part in chosen:
        if part.path not in LISTED:
            recipe = _off(recipe, part)
    return _without_listed(recipe, listed) if listed else recipe


def unknown(recipe: Sections, names: Sequence[str]) -> list[tuple[int, str]]:
    """Return which of ``names`` can be no part of this recipe, on or off: their positions, each
    with a message.
    """
    known = [s.name for s in _SWITCHES] + [ARGUMENT + name for name in recipe.model.args]
    odd = [(i, name) for i, name in enumerate(names) if not _is_known(recipe, name)]
    return [(i, f"no such part {name!r}{did_you_mean(name, known)}") for i, name in odd]


# -- what there is ---------------------------------------------------------------------------------


def _switched(recipe: Sections, section: str) -> Iterator[Part]:
    """Yield the parts of a section that are on."""
    for switch in _SWITCHES:
        if switch.path.startswith(section):
            now = _read(recipe, switch.path)
            if any(_is_on_in(switch, value) for value in _values(now)):
                yield _part(switch, now)


def _values(now: Any) -> Sequence[Any]:
    """Return what a setting may be: the options of a choice, the values in the options of an open
    optimizer, or itself.
    """
    if isinstance(now, _ByOption):
        return [value for inner in now.values() for value in _values(inner)]
    return now.options if isinstance(now, Choice) else (now,)


def _is_on_in(switch: _Switch, value: Any) -> bool:
    is_on = _is_on(value, switch.off) and value not in switch.also_off
    return is_on and not (switch.path == AVERAGING and _does_nothing(value))


def _does_nothing(record: Any) -> bool:
    """Return whether a method changes nothing: a loss without weight, noise of deviation 0."""
    if isinstance(record, AuxiliaryLoss):
        return bool(record.weight == 0)
    if not isinstance(record, BaseMethod) or not record.neutral:
        return False
    # What is left out is neutral
    return all(getattr(record, name) in (None, off) for name, off in record.neutral.items())


def _listed_parts(recipe: Sections) -> Iterator[Part]:
    """Yield the parts of methods that stand in a list: each goes as a whole."""
    for path, prefix in LISTED.items():
        methods = _read(recipe, path)
        for label, method in zip(option_labels(methods), methods, strict=True):
            yield Part(f"{prefix}{label}", path, method, None, _listed(prefix, method))


def _listed(prefix: str, method: Any) -> str:
    """Return what a method in a list is, for people."""
    words = _in_words(method)
    if prefix == PENALTY:
        return f"penalty {words}"
    if prefix == AUGMENT:
        return f"{words} augmentation"
    if prefix == RULE:
        return f"gradient rule {words}"
    if prefix == LOSS:
        return f"auxiliary loss {words}"
    return method.phrase if isinstance(method, STEPS) else f"data step {words}"


def _part(switch: _Switch, now: Any) -> Part:
    on = (
        _ByOption((k, v) for k, v in now.items() if _is_on(v, switch.off))
        if isinstance(now, _ByOption)
        else now
    )
    return Part(switch.name, switch.path, now, switch.off, switch.phrase(_in_words(on)))


def _argument_parts(recipe: Sections) -> Iterator[Part]:
    for name, now in recipe.model.args.items():
        path = ARGUMENT + name
        options = now.options if isinstance(now, Choice) else (now,)
        if name in DROPOUT_NAMES and (
            is_range(now) or (isinstance(now, int | float) and not isinstance(now, bool))
        ):
            yield Part(path, path, now, 0.0, f"dropout at rate {_in_words(now)} in the model")
        elif all(isinstance(option, bool) for option in options) and any(options):
            yield Part(path, path, now, False, f"{name} of the model")
        elif name == "norm" and recipe.model.use in READY:
            yield Part(path, path, now, "none", f"{_in_words(now)} normalization")


def _module_parts(recipe: Sections) -> Iterator[Part]:
    for name in recipe.ablate.modules:
        part = _module_part(recipe, MODULE + name)
        if part is not None:
            yield part


def _module_part(recipe: Sections, name: str) -> Part | None:
    module = name.removeprefix(MODULE)
    if module == name or not module or name.startswith(ARGUMENT) or module in recipe.model.without:
        return None
    return Part(name, "model.without", True, False, f"module {module}")


def _is_known(recipe: Sections, name: str) -> bool:
    if name.startswith(ARGUMENT):
        return name.removeprefix(ARGUMENT) in recipe.model.args
    if name.startswith(tuple(LISTED.values())):
        return name in [part.name for part in _listed_parts(recipe)]
    return name in [s.name for s in _SWITCHES] or (name.startswith(MODULE) and name != MODULE)


def _is_on(now: Any, off: Any) -> bool:
    if isinstance(now, _ByOption):
        return any(_is_on(value, off) for value in now.values())
    if isinstance(now, Choice):
        return any(option != off for option in now.options)
    return now is not None and now != off


def _in_words(value: Any) -> str:
    if isinstance(value, _ByOption):
        return ", ".join(f"{_in_words(v)} ({label})" for label, v in value.items())
    if isinstance(value, Choice):
        return " or ".join(_in_words(option) for option in value.options)
    if is_range(value):
        return f"{value.low:g} to {value.high:g}"
    if isinstance(value, BaseStopping):
        settings = {name: _in_words(setting) for name, setting in value if name != "kind"}
        return value.phrase.format(**settings)
    if isinstance(value, Stopping):
        return f"by {value.use.rpartition(':')[2]}"
    if isinstance(value, Used):
        return re.split(r"[:.]", value.use)[-1]
    if isinstance(value, AuxiliaryLoss):
        return value.name
    if isinstance(value, Settings):
        named = getattr(value, "kind", "")
        return named.replace("_", "-") if isinstance(named, str) else _in_words(named)
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else describe(value)


# -- reading and changing one setting --------------------------------------------------------------


class _ByOption(dict[str, Any]):
    """A setting's value in each option of an open optimizer that has it."""


def _read(value: Any, path: str) -> Any:
    for step in path.split("."):
        if isinstance(value, Choice):
            having = [
                (k, o)
                for k, o in zip(value.labels, value.options, strict=True)
                if step in type(o).model_fields
            ]
            value = _ByOption((label, getattr(option, step)) for label, option in having)
        else:
            value = getattr(value, step, None)
    return value


def _off(recipe: S, part: Part) -> S:
    if part.path == "model.without":
        return _with(
            recipe, ["model", "without"], (*recipe.model.without, part.name.removeprefix(MODULE))
        )
    if part.name == "momentum":  # Nesterov's correction of no momentum is refused, so it goes first
        recipe = _with(recipe, ["train", "optimizer", "nesterov"], False)
    return _with(recipe, part.path.split("."), part.off)


def _without_listed(recipe: S, gone: Sequence[str]) -> S:
    """Return the recipe without methods that stand in lists.

    Of two methods of one kind the second has a number, which it loses with the first. What is to be
    ablated follows: it names only what is there.
    """
    lists: dict[str, tuple[Any, ...]] = {}
    renamed: dict[str, str] = {}
    for path, prefix in LISTED.items():
        methods = _read(recipe, path)
        names = [f"{prefix}{label}" for label in option_labels(methods)]
        kept = [name not in gone for name in names]
        lists[path] = tuple(compress(methods, kept))
        labels = option_labels(lists[path])
        pairs = zip(compress(names, kept), labels, strict=True)
        renamed |= {name: f"{prefix}{label}" for name, label in pairs}
    asked = recipe.ablate.parts
    if asked != "all":
        others = tuple(name for name in asked if not name.startswith(tuple(LISTED.values())))
        recipe = _with(recipe, ["ablate", "parts"], others)
    for path, methods in lists.items():
        recipe = _with(recipe, path.split("."), methods)
    if asked != "all":
        left = tuple(renamed.get(name, name) for name in asked if name not in gone)
        recipe = _with(recipe, ["ablate", "parts"], left)
    return recipe


def _with(value: Any, steps: Sequence[str], new: Any) -> Any:
    """Return ``value`` with the setting at ``steps`` replaced, in every option of a choice of
    records that has it.
    """
    if not steps:
        return new
    if isinstance(value, Choice):
        options = [_with(option, steps, new) for option in value.options]
        return Choice(options=[o for i, o in enumerate(options) if o not in options[:i]])
    if isinstance(value, Mapping):
        return {**value, steps[0]: new}
    if steps[0] not in type(value).model_fields:
        return value
    return type(value)(**{**dict(value), steps[0]: _with(getattr(value, steps[0]), steps[1:], new)})
