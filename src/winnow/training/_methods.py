"""The training methods of a fleet, and the settings of its members as tensors.

Axes: V members.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from winnow.errors import ModelError, RecipeError
from winnow.methods import (
    GRADIENT_RULES,
    LOSSES,
    PENALTIES,
    BaseAugment,
    BaseAveraging,
    BaseGradientRule,
    BaseLoss,
    BaseMethod,
    BaseOptimizer,
    BasePenalty,
    BaseSchedule,
    BaseStopping,
    Batch,
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
    Variant,
    is_own_metric,
    metric_of,
    resolve_object,
    source_digest,
    usual_loss,
)
from winnow.training._adapters import adapted_loss, adapted_optimizer
from winnow.trees import Tree, at

__all__ = [
    "Methods",
    "check_methods",
    "code_digest",
    "make_methods",
    "member_settings",
    "method_of",
    "methods_key",
    "rates",
    "stopping_of",
    "used_methods",
]

Settings = dict[str, Tensor]

# The roles of methods, which name their settings.
_OPTIMIZER, _LOSS, _AVERAGING = "optimizer", "loss", "averaging"

_OUTSIDE: dict[type[BaseMethod], type] = {
    BaseOptimizer: torch.optim.Optimizer,
    BaseLoss: nn.Module,
}


@dataclass(frozen=True)
class LossTerm:
    """A loss that is added to the training loss.

    Attributes:
        role: under which its settings stand; those of its weight under ``weight of ...``.
        method: the loss.
        name: of its curve; empty for the main loss, whose weight is 1.
        output, target: paths of what it compares; None: the main ones.
    """

    role: str
    method: type[BaseLoss]
    name: str = ""
    output: str | None = None
    target: str | None = None

    @property
    def weight_role(self) -> str:
        """The role under which its weight stands."""
        return f"weight of {self.role}"

    def per_row(self, outputs: Tree, batch: Batch, settings: Mapping[str, Any]) -> Tensor:
        """Return the loss of each row, (variants, batch).

        Raises:
            ModelError: the model has no such output, or the rows no such target.
        """
        if self.output is not None:
            outputs = self._part(outputs, self.output, "output")
        if self.target is not None:
            batch = replace(batch, targets=self._part(batch.targets, self.target, "target"))
        return self.method.of_batch(outputs, batch, **settings)

    def _part(self, tree: Tree, path: str, what: str) -> Tree:
        try:
            return at(tree, path)
        except KeyError as error:
            raise ModelError(f"train.{self.role}.{what}: {error.args[0]}") from None


@dataclass(frozen=True)
class Methods:
    """The methods of a fleet.

    A method that is off for every member is left out of the program; for the numbers that is the
    same as running it with strength zero.

    Attributes:
        optimizer: there is one.
        losses: the main one, then the others.
        penalties, rules: in the order of application, each with its role.
        settings: for each role its settings by name, each (variants, 1).
        constants: for each role the settings that are the same for all members, as plain values.
        averaging: of the weights; None: there is none.
        mixed: whether the forward pass runs in bfloat16, and all else as the tensors are.
    """

    optimizer: type[BaseOptimizer]
    losses: tuple[LossTerm, ...]
    penalties: tuple[tuple[str, type[BasePenalty]], ...]
    rules: tuple[tuple[str, type[BaseGradientRule]], ...]
    settings: dict[str, Settings]
    constants: dict[str, dict[str, Any]]
    averaging: type[BaseAveraging] | None = None
    mixed: bool = False

    @property
    def elementwise(self) -> bool:
        """Whether parameters may be laid flat."""
        flat_rules = not any(rule.shaped for _, rule in self.rules)
        penalties = all(penalty.elementwise for _, penalty in self.penalties)
        return self.optimizer.elementwise and penalties and flat_rules

    def map(self, change: Callable[[Tensor], Tensor]) -> Methods:
        """Return the methods with every tensor changed."""
        settings = {
            role: {name: change(value) for name, value in own.items()}
            for role, own in self.settings.items()
        }
        return replace(self, settings=settings)

    def tensors(self) -> list[Tensor]:
        """Return all tensors in a row; ``like`` is the way back."""
        return [value for own in self.settings.values() for value in own.values()]

    def names(self) -> list[str]:
        """Return what the ``tensors`` are."""
        return [f"{role} {name}" for role, own in self.settings.items() for name in own]

    def like(self, tensors: Iterator[Tensor]) -> Methods:
        """Return methods of this structure, made of the next tensors."""
        return self.map(lambda _: next(tensors))

    def structure(self) -> Hashable:
        """Return all but the numbers."""
        names = tuple((role, tuple(own)) for role, own in self.settings.items())
        constants = json.dumps(self.constants, sort_keys=True, default=repr)
        return (
            self.optimizer,
            self.losses,
            self.penalties,
            self.rules,
            self.averaging,
            names,
            constants,
            self.mixed,
        )

    def training_losses(self, outputs: Tree, batch: Batch) -> Tensor:
        """Return what is added up to the training loss of each member without penalties,
        (variants, losses).

        Args:
            outputs: of the model, each (variants, batch, ...).
            batch: that they are for.
        """
        found = []
        for term in self.losses:
            settings = {**self.settings[term.role], **self.constants[term.role]}
            loss_VB = term.per_row(outputs, batch, settings)
            if batch.weights is not None:
                loss_VB = loss_VB * batch.weights
            loss_V = loss_VB.mean(dim=-1)
            if term.name:
                loss_V = loss_V * self.settings[term.weight_role]["weight"].squeeze(-1)
            found.append(loss_V)
        return torch.stack(found, dim=-1)

    def add_penalties_(
        self,
        role: str,
        penalty: type[BasePenalty],
        grad: Tensor,
        param: Tensor,
        where: Tensor | float,
    ) -> None:
        """Add one penalty's gradient for one parameter, (variants, *shape), in place."""
        axes = [1] * (param.dim() - 1)
        settings = {n: t.view(-1, *axes) for n, t in self.settings[role].items()}
        penalty.add_gradient_(grad, param, where, **settings, **self.constants[role])

    def apply_rule_(
        self,
        role: str,
        rule: type[BaseGradientRule],
        grads: Sequence[Tensor],
        params: Sequence[Tensor],
    ) -> None:
        """Apply one gradient rule to the whole gradient, in place.

        Args:
            role: of the rule.
            rule: one of ``rules``.
            grads: the gradient in pieces of the form that the rule takes.
            params: the parameters in the same pieces.
        """
        rule.with_params_(grads, params, **self.settings[role], **self.constants[role])

    def average_(self, average: Tensor, param: Tensor, number: Tensor) -> None:
        """Take one parameter after a step into its average, (variants, elements), in place."""
        assert self.averaging is not None
        settings = {**self.settings[_AVERAGING], **self.constants[_AVERAGING]}
        self.averaging.update_(average, param, number=number, **settings)

    def optimizer_settings(self, lr_V1: Tensor) -> dict[str, Any]:
        """Return the settings of the optimizer at a step, ``lr`` first."""
        return {"lr": lr_V1, **self.settings[_OPTIMIZER], **self.constants[_OPTIMIZER]}


def make_methods(
    variants: Sequence[Variant], task: str, dtype: torch.dtype, *, num_steps: Sequence[int] = ()
) -> Methods:
    """Return the methods of a fleet, their settings in precision ``dtype``.

    Args:
        variants: of the fleet, with equal ``methods_key``.
        task: ``classification`` or ``regression``.
        dtype: of the weights.
        num_steps: optimizer steps of the whole training of each; needed for averages of weights.

    Raises:
        ModelError: a method of the user's cannot be found, or does not take its arguments.
    """
    trains = [variant.train for variant in variants]
    found: dict[str, tuple[type[BaseMethod], list[BaseMethod]]] = {}

    def add(role: str, records: Sequence[Any], base: type[BaseMethod]) -> None:
        methods = [method_of(record, base, f"train.{role}") for record in records]
        found[role] = methods[0][0], [method[1] for method in methods]

    add(_OPTIMIZER, [train.optimizer for train in trains], BaseOptimizer)
    add(_LOSS, [_loss_of(train, task) for train in trains], BaseLoss)
    for i, auxiliary in enumerate(trains[0].auxiliary_losses):
        own = [_named_loss(train.auxiliary_losses[i].loss, task) for train in trains]
        add(f"auxiliary_losses.{auxiliary.name}", own, BaseLoss)
    named: tuple[type[BasePenalty | BaseGradientRule], ...] = (*PENALTIES, *GRADIENT_RULES)
    for rule in named:
        if not rule.name:  # it stands in the list of its family alone
            continue
        values = [getattr(train, rule.name) for train in trains]
        (setting,) = rule.member_settings()
        found[rule.name] = rule, [rule(**{setting: value}) for value in values]
    for i in range(len(trains[0].penalties)):
        add(f"penalties[{i}]", [train.penalties[i] for train in trains], BasePenalty)
    for i in range(len(trains[0].gradient_rules)):
        add(f"gradient_rules[{i}]", [t.gradient_rules[i] for t in trains], BaseGradientRule)
    if trains[0].averaging is not None:
        add(_AVERAGING, [train.averaging for train in trains], BaseAveraging)
    settings: dict[str, Settings] = {}
    constants: dict[str, dict[str, Any]] = {}
    for role, (method, records) in list(found.items()):
        columns = _columns(method, records, dtype)
        if method.neutral and not columns and not issubclass(method, BaseOptimizer | BaseLoss):
            del found[role]
            continue
        settings[role], constants[role] = columns, _constants(method, records[0])
    optimizer = found[_OPTIMIZER][0]
    losses = [LossTerm(_LOSS, _as_loss(found[_LOSS][0]))]
    for i, auxiliary in enumerate(trains[0].auxiliary_losses):
        weights = [float(train.auxiliary_losses[i].weight) for train in trains]
        role = f"auxiliary_losses.{auxiliary.name}"
        if not any(weights):
            del settings[role], constants[role]
            continue
        place = auxiliary.output, auxiliary.target
        term = LossTerm(role, _as_loss(found[role][0]), auxiliary.name, *place)
        column = torch.tensor(weights, dtype=torch.float64).to(dtype).unsqueeze(1)
        settings[term.weight_role] = {"weight": column}
        losses.append(term)
    penalties = tuple((r, m) for r, (m, _) in found.items() if issubclass(m, BasePenalty))
    rules = tuple((r, m) for r, (m, _) in found.items() if issubclass(m, BaseGradientRule))
    averaging = found[_AVERAGING][0] if _AVERAGING in found else None
    if averaging is not None:
        assert issubclass(averaging, BaseAveraging)
        column_V = torch.tensor(num_steps, dtype=torch.float64)
        settings[_AVERAGING]["num_steps"] = column_V.to(dtype).unsqueeze(1)
    assert issubclass(optimizer, BaseOptimizer)
    mixed = trains[0].precision == "bfloat16"
    return Methods(
        optimizer, tuple(losses), penalties, rules, settings, constants, averaging, mixed
    )


def member_settings(
    records: Sequence[BaseMethod | Used], base: type[BaseMethod], setting: str, dtype: torch.dtype
) -> tuple[Any, Settings, dict[str, Any]]:
    """Return a method's class, its members' settings as tensors, and those that are plain values.

    Args:
        records: of the members, in order.
        base: the contract of the family.
        setting: where they stand, for messages.
        dtype: of the tensors.

    Raises:
        ModelError: the method cannot be found, or does not take its arguments.
    """
    found = [method_of(record, base, setting) for record in records]
    method, own = found[0][0], [settings for _, settings in found]
    return method, _columns(method, own, dtype), _constants(method, own[0])


def methods_key(train: Train) -> Hashable:
    """Return what the methods of variants that share a fleet have in common.

    The numbers of a method may differ within a fleet, its class and its structural settings may
    not.
    """
    parts: list[Hashable] = [_key(train.optimizer, BaseOptimizer), _key(train.loss, BaseLoss)]
    for auxiliary in train.auxiliary_losses:
        place = auxiliary.name, auxiliary.output, auxiliary.target
        parts += [_key(auxiliary.loss, BaseLoss), *place]
    parts.append(None if train.teacher is None else train.teacher.model_dump_json())
    parts += [_key(penalty, BasePenalty) for penalty in train.penalties]
    parts += [_key(augment, BaseAugment) for augment in train.augment]
    parts.append(tuple(_key(rule, BaseGradientRule) for rule in train.gradient_rules))
    if train.averaging is not None:
        parts.append(("averaging", _key(train.averaging, BaseAveraging)))
    if _is_adapted(train.optimizer, BaseOptimizer):  # one object steps for all members
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
            digests.append(source_digest(_class_of(record, base, "train")))
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
    losses = {"train.loss": _loss_of(train, task)}
    for auxiliary in train.auxiliary_losses:
        losses[f"train.auxiliary_losses.{auxiliary.name}"] = _named_loss(auxiliary.loss, task)
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
    found = _class_of(record, base, setting)
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


def _class_of(record: Used, base: type[BaseMethod], setting: str) -> Any:
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


def _is_adapted(record: BaseMethod | Used, base: type[BaseMethod]) -> bool:
    return isinstance(record, Used) and not issubclass(_class_of(record, base, ""), base)


def _key(record: BaseMethod | Used | str, base: type[BaseMethod]) -> Hashable:
    if isinstance(record, str):
        return record
    if isinstance(record, Used) and _is_adapted(record, base):
        return record.use, json.dumps(record.args, sort_keys=True)
    method, settings = method_of(record, base, "")
    name = record.use if isinstance(record, Used) else method.model_fields["kind"].default
    return name, json.dumps(_constants(method, settings), sort_keys=True, default=repr)


def _loss_of(train: Train, task: str) -> BaseLoss | Loss:
    """Return the main loss, with label smoothing where it has that."""
    loss = _named_loss(train.loss, task)
    if isinstance(train.loss, str) and isinstance(loss, CrossEntropy):
        return CrossEntropy(label_smoothing=train.label_smoothing)
    return loss


def _as_loss(method: type[BaseMethod]) -> type[BaseLoss]:
    assert issubclass(method, BaseLoss)
    return method


def _named_loss(loss: str | BaseLoss | Loss, task: str) -> BaseLoss | Loss:
    """Return a loss that may be given by its name."""
    if not isinstance(loss, str):
        return loss
    kind = usual_loss(task) if loss == "auto" else loss
    return next(m for m in LOSSES if m.model_fields["kind"].default == kind)()


def _columns(
    method: type[BaseMethod], records: Sequence[BaseMethod], dtype: torch.dtype
) -> Settings:
    """Return the settings that may differ between members, each (variants, 1), without the neutral
    ones.
    """
    columns = {}
    for name in method.model_fields:
        values = [getattr(record, name) for record in records]
        if not all(_is_column(method, name, value) for value in values):
            continue
        neutral = method.neutral.get(name)
        # A setting that may be left out is then at its neutral value.
        numbers = [neutral if value is None else float(value) for value in values]
        if neutral is None or any(number != neutral for number in numbers):
            columns[name] = torch.tensor(numbers, dtype=torch.float64).to(dtype).unsqueeze(1)
    return columns


def _constants(method: type[BaseMethod], record: BaseMethod) -> dict[str, Any]:
    """Return the settings of a method that are plain values, equal for all members of a fleet."""
    return {
        name: getattr(record, name)
        for name in method.model_fields
        if not _is_given_elsewhere(method, name)
        and not _is_column(method, name, getattr(record, name))
    }


def _is_column(method: type[BaseMethod], name: str, value: Any) -> bool:
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
