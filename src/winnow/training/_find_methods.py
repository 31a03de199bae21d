"""From what a recipe names to the classes of its methods, and what identifies them.

Axes: V members.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator
from typing import Any

import torch
from torch import nn

from winnow.errors import ModelError, RecipeError
from winnow.methods import (
    LOSSES,
    BaseAugment,
    BaseAveraging,
    BaseGradientRule,
    BaseLoss,
    BaseMethod,
    BaseOptimizer,
    BasePenalty,
    BaseSchedule,
    BaseStopping,
    CrossEntropy,
)
from winnow.models import model_digest
from winnow.recipe import (
    TRUST,
    Choice,
    Loss,
    Model,
    ObjectNotFound,
    Train,
    Used,
    is_own_metric,
    metric_of,
    resolve_object,
    source_digest,
    usual_loss,
)
from winnow.training._adapters import adapted_loss, adapted_optimizer

__all__ = [
    "check_methods",
    "class_of",
    "code_digest",
    "constants_of",
    "is_adapted",
    "is_column",
    "loss_of",
    "method_of",
    "methods_key",
    "named_loss",
    "rates",
    "stopping_of",
    "used_methods",
]

_OUTSIDE: dict[type[BaseMethod], type] = {
    BaseOptimizer: torch.optim.Optimizer,
    BaseLoss: nn.Module,
}


def method_of(
    record: BaseMethod | Used, base: type[BaseMethod], setting: str
) -> tuple[type[BaseMethod], BaseMethod]:
    """Return the class and the settings of a method, winnow's own or one from elsewhere.

    Args:
        record: as it stands in the recipe, with nothing open.
        base: the contract that it must fulfill.
        setting: where it stands, for messages.

    Raises:
        ModelError: the class cannot be found, is none of this family, or refuses its arguments.
    """
    if isinstance(record, BaseMethod):
        return type(record), record
    found = class_of(record, base, setting)
    lr = {"lr": record.lr} if base is BaseOptimizer else {}  # type: ignore[attr-defined]
    if not issubclass(found, base):
        adapt = adapted_optimizer if base is BaseOptimizer else adapted_loss
        arguments = json.dumps(record.args, sort_keys=True)
        try:
            adapted = adapt(found, arguments)
        except Exception as error:  # whatever the constructor may raise
            raise _refused(record, setting, error) from error
        return adapted, adapted(**lr)
    try:
        return found, found(**lr, **record.args)
    except (RecipeError, TypeError) as error:
        raise _refused(record, setting, error) from None


def _refused(record: Used, setting: str, error: Exception) -> ModelError:
    what = str(error) or type(error).__name__
    return ModelError(f"{setting}: {record.use!r} does not take {dict(record.args)}: {what}")


def class_of(record: Used, base: type[BaseMethod], setting: str) -> Any:
    try:
        found = resolve_object(record.use)
    except ObjectNotFound as error:
        raise ModelError(f"{setting}.use: {error}") from None
    outside = _OUTSIDE.get(base)
    allowed = (base,) if outside is None else (base, outside)
    if not (isinstance(found, type) and issubclass(found, allowed)):
        names = " or ".join(f"{c.__module__.partition('._')[0]}.{c.__name__}" for c in allowed)
        message = f"expected a subclass of {names}, but {record.use!r} is none ({TRUST})"
        raise ModelError(f"{setting}.use: {message}")
    return found


def is_adapted(record: BaseMethod | Used, base: type[BaseMethod]) -> bool:
    return isinstance(record, Used) and not issubclass(class_of(record, base, ""), base)


def methods_key(train: Train) -> Hashable:
    """Return what the methods of variants that share a fleet have in common.

    The numbers of a method may differ within a fleet, its class and its structural settings may
    not.
    """
    parts: list[Hashable] = [_key(train.optimizer, BaseOptimizer), _key(train.loss, BaseLoss)]
    for auxiliary in train.auxiliary_losses:
        place = auxiliary.name, auxiliary.output, auxiliary.target
        # One without weight is not computed: 0 times a loss that is not finite would be no 0
        parts += [_key(auxiliary.loss, BaseLoss), *place, float(auxiliary.weight) > 0]
    parts.append(None if train.teacher is None else train.teacher.model_dump_json())
    parts += [_key(penalty, BasePenalty) for penalty in train.penalties]
    parts += [_key(augment, BaseAugment) for augment in train.augment]
    parts.append(tuple(_key(rule, BaseGradientRule) for rule in train.gradient_rules))
    if train.averaging is not None:
        parts.append(("averaging", _key(train.averaging, BaseAveraging)))
    if is_adapted(train.optimizer, BaseOptimizer):  # one object steps for all members
        parts += [float(train.optimizer.lr), train.epochs, train.schedule.model_dump_json()]
    return tuple(parts)


def rates(train: Train, num_steps: int) -> Any:
    """Return the learning rate at each of ``num_steps`` steps of a training, (steps,).

    Raises:
        ModelError: a schedule of the user's cannot be found, or does not take its arguments.
    """
    _, schedule = method_of(train.schedule, BaseSchedule, "train.schedule")
    assert isinstance(schedule, BaseSchedule)
    return float(train.optimizer.lr) * schedule.factors(num_steps)


def stopping_of(train: Train) -> BaseStopping | None:
    """Return the rule by which a training ends early; None: there is none.

    Raises:
        ModelError: a rule of the user's cannot be found, or does not take its arguments.
    """
    if train.early_stopping is None:
        return None
    _, stopping = method_of(train.early_stopping, BaseStopping, "train.early_stopping")
    assert isinstance(stopping, BaseStopping)
    return stopping


def code_digest(model: Model, train: Train, metric: str = "") -> str:
    """Return a digest of all code that a recipe only names: of its model, and of methods and a
    metric from elsewhere.

    PyTorch's own methods go by their names, since outcomes hold the version of PyTorch.

    Raises:
        ModelError: the model or a method cannot be found.
    """
    digests = [model_digest(model)]
    if train.teacher is not None:
        digests.append(model_digest(train.teacher))
    for record, base in used_methods(train):
        module = record.use.partition(":")[0]
        if module.partition(".")[0] != "torch":
            digests.append(source_digest(class_of(record, base, "train")))
    if is_own_metric(metric):
        digests.append(source_digest(metric_of(metric)))
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256(":".join(digests).encode()).hexdigest()


def used_methods(train: Train) -> Iterator[tuple[Used, type[BaseMethod]]]:
    """Yield the methods from elsewhere that a training section names, open ones included, each with
    the contract of its family.
    """
    named: list[tuple[Any, type[BaseMethod]]] = [
        (train.optimizer, BaseOptimizer),
        (train.loss, BaseLoss),
        *((auxiliary.loss, BaseLoss) for auxiliary in train.auxiliary_losses),
        (train.schedule, BaseSchedule),
        *((penalty, BasePenalty) for penalty in train.penalties),
        *((augment, BaseAugment) for augment in train.augment),
        *((rule, BaseGradientRule) for rule in train.gradient_rules),
        (train.averaging, BaseAveraging),
        (train.early_stopping, BaseStopping),
    ]
    for value, base in named:
        for option in value.options if isinstance(value, Choice) else (value,):
            if isinstance(option, Used):
                yield option, base


def check_methods(train: Train, task: str) -> None:
    """Refuse methods of the user's that cannot be found, or that do not take their arguments.

    Raises:
        ModelError: with the setting, what was expected and what was found.
    """
    method_of(train.optimizer, BaseOptimizer, "train.optimizer")
    losses = {"train.loss": loss_of(train, task)}
    for auxiliary in train.auxiliary_losses:
        losses[f"train.auxiliary_losses.{auxiliary.name}"] = named_loss(auxiliary.loss, task)
    found = {setting: method_of(loss, BaseLoss, setting)[0] for setting, loss in losses.items()}
    for setting, loss in found.items():
        if getattr(loss, "hears_teacher", False) and train.teacher is None:
            raise ModelError(f"{setting}: {loss.__name__} needs a teacher: give train.teacher")
    method_of(train.schedule, BaseSchedule, "train.schedule")
    for i, penalty in enumerate(train.penalties):
        method_of(penalty, BasePenalty, f"train.penalties[{i}]")
    for i, rule in enumerate(train.gradient_rules):
        method_of(rule, BaseGradientRule, f"train.gradient_rules[{i}]")
    if train.averaging is not None:
        method_of(train.averaging, BaseAveraging, "train.averaging")
    stopping_of(train)
    takes_soft = all(getattr(loss, "soft_targets", False) for loss in found.values())
    for i, augment in enumerate(train.augment):
        method, _ = method_of(augment, BaseAugment, f"train.augment[{i}]")
        mixes = getattr(method, "mixes_targets", False)
        if mixes and task == "classification" and not takes_soft:
            what = "mixes the targets of rows, which the loss of this recipe does not take"
            raise ModelError(f"train.augment[{i}]: {method.__name__} {what}")


def _key(record: BaseMethod | Used | str, base: type[BaseMethod]) -> Hashable:
    if isinstance(record, str):
        return record
    if isinstance(record, Used) and is_adapted(record, base):
        return record.use, json.dumps(record.args, sort_keys=True)
    method, settings = method_of(record, base, "")
    name = record.use if isinstance(record, Used) else method.model_fields["kind"].default
    return name, json.dumps(constants_of(method, settings), sort_keys=True, default=repr)


def loss_of(train: Train, task: str) -> BaseLoss | Loss:
    """Return the main loss, with label smoothing where it has that."""
    loss = named_loss(train.loss, task)
    if isinstance(train.loss, str) and isinstance(loss, CrossEntropy):
        return CrossEntropy(label_smoothing=train.label_smoothing)
    return loss


def named_loss(loss: str | BaseLoss | Loss, task: str) -> BaseLoss | Loss:
    """Return a loss that may be given by its name."""
    if not isinstance(loss, str):
        return loss
    kind = usual_loss(task) if loss == "auto" else loss
    return next(m for m in LOSSES if m.model_fields["kind"].default == kind)()


def constants_of(method: type[BaseMethod], record: BaseMethod) -> dict[str, Any]:
    """Return the settings of a method that are plain values, equal for all members of a fleet."""
    return {
        name: getattr(record, name)
        for name in method.model_fields
        if not _is_given_elsewhere(method, name)
        and not is_column(method, name, getattr(record, name))
    }


def is_column(method: type[BaseMethod], name: str, value: Any) -> bool:
    """Return whether a setting with this value is a number of each member: also None, where that
    stands for the neutral value.
    """
    if name in method.structural or _is_given_elsewhere(method, name):
        return False
    return isinstance(value, bool | int | float) or (value is None and name in method.neutral)


def _is_given_elsewhere(method: type[BaseMethod], name: str) -> bool:
    """Return whether a setting comes by another way: the kind is the class, and the learning rate
    of a step comes with the step.
    """
    return name == "kind" or (name == "lr" and issubclass(method, BaseOptimizer))
