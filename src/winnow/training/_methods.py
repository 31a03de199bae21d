"""The training methods of a fleet, and the settings of its members as tensors.

Axes: V members.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from winnow.errors import ModelError
from winnow.methods import (
    BaseAveraging,
    BaseGradientRule,
    BaseLoss,
    BaseOptimizer,
    BasePenalty,
    Batch,
)
from winnow.trees import Tree, at

__all__ = ["AVERAGING", "LOSS", "OPTIMIZER", "LossTerm", "Methods", "Settings"]

Settings = dict[str, Tensor]

# The roles of methods, which name their settings.
OPTIMIZER, LOSS, AVERAGING = "optimizer", "loss", "averaging"


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
        settings = {**self.settings[AVERAGING], **self.constants[AVERAGING]}
        self.averaging.update_(average, param, number=number, **settings)

    def optimizer_settings(self, lr_V1: Tensor) -> dict[str, Any]:
        """Return the settings of the optimizer at a step, ``lr`` first."""
        return {"lr": lr_V1, **self.settings[OPTIMIZER], **self.constants[OPTIMIZER]}
