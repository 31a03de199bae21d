"""From variants to the methods of their fleet.

Axes: V members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from winnow.methods import (
    GRADIENT_RULES,
    PENALTIES,
    BaseAveraging,
    BaseGradientRule,
    BaseLoss,
    BaseMethod,
    BaseOptimizer,
    BasePenalty,
)
from winnow.recipe import (
    Used,
    Variant,
)
from winnow.training._find_methods import constants_of, is_column, loss_of, method_of, named_loss
from winnow.training._methods import AVERAGING, LOSS, OPTIMIZER, LossTerm, Methods, Settings

__all__ = ["make_methods", "member_settings"]


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

    add(OPTIMIZER, [train.optimizer for train in trains], BaseOptimizer)
    add(LOSS, [loss_of(train, task) for train in trains], BaseLoss)
    for i, auxiliary in enumerate(trains[0].auxiliary_losses):
        own = [named_loss(train.auxiliary_losses[i].loss, task) for train in trains]
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
        add(AVERAGING, [train.averaging for train in trains], BaseAveraging)
    settings: dict[str, Settings] = {}
    constants: dict[str, dict[str, Any]] = {}
    for role, (method, records) in list(found.items()):
        columns = _columns(method, records, dtype)
        if method.neutral and not columns and not issubclass(method, BaseOptimizer | BaseLoss):
            del found[role]
            continue
        settings[role], constants[role] = columns, constants_of(method, records[0])
    optimizer = found[OPTIMIZER][0]
    losses = [LossTerm(LOSS, _as_loss(found[LOSS][0]))]
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
    averaging = found[AVERAGING][0] if AVERAGING in found else None
    if averaging is not None:
        assert issubclass(averaging, BaseAveraging)
        column_V = torch.tensor(num_steps, dtype=torch.float64)
        settings[AVERAGING]["num_steps"] = column_V.to(dtype).unsqueeze(1)
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
    return method, _columns(method, own, dtype), constants_of(method, own[0])


def _as_loss(method: type[BaseMethod]) -> type[BaseLoss]:
    assert issubclass(method, BaseLoss)
    return method


def _columns(
    method: type[BaseMethod], records: Sequence[BaseMethod], dtype: torch.dtype
) -> Settings:
    """Return the settings that may differ between members, each (variants, 1), without the neutral
    ones.
    """
    columns = {}
    for name in method.model_fields:
        values = [getattr(record, name) for record in records]
        if not all(is_column(method, name, value) for value in values):
            continue
        neutral = method.neutral.get(name)
        # A setting that may be left out is then at its neutral value.
        numbers = [neutral if value is None else float(value) for value in values]
        if neutral is None or any(number != neutral for number in numbers):
            columns[name] = torch.tensor(numbers, dtype=torch.float64).to(dtype).unsqueeze(1)
    return columns
