"""V members as one program: their tensors in a stack, and what runs it.

Axes: V members, B batch, N rows, F features (any number of axes), C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from winnow.methods import Batch
from winnow.models import masks_of
from winnow.training._dropout import keyed_noises
from winnow.training._layers import make_stackable
from winnow.training._methods import Methods
from winnow.training._program import (
    BaseProgram,
    ParameterGroup,
    flat_mask,
    init_state_,
    penalized_names,
)
from winnow.training._runners import BlockRunner, PlainRunner
from winnow.training._stack import Stack, StackedStep, StepInputs
from winnow.trees import Tree

__all__ = ["StackedProgram"]


class StackedProgram(BaseProgram):
    """V members as one program. The first module is a skeleton that lends its ``forward``; the
    tensors come from the stack.

    Args:
        modules: one for each member, of equal ``signature``.
        methods: with their settings.
        compiled: run the step as compiled programs on blocks of members.
    """

    def __init__(
        self, modules: Sequence[nn.Module], methods: Methods, *, compiled: bool = False
    ) -> None:
        for same in zip(*(keyed_noises(m).values() for m in modules), strict=True):
            # The skeleton decides what the program holds
            same[0].active = any(layer.active for layer in same)
        super().__init__(make_stackable(modules[0]))
        groups = _parameter_groups(modules)
        init_state_(methods, groups)
        stack = Stack(slice(0, len(modules)), groups, self._stacked_rest(modules), methods)
        runner = BlockRunner if compiled and methods.optimizer.compiles else PlainRunner
        self._runner = runner(StackedStep(self.module, mixed=methods.mixed), stack)

    def _stacked_rest(self, modules: Sequence[nn.Module]) -> dict[str, Tensor]:
        """Return frozen parameters and buffers, without what a step brings or no layer reads."""
        layers = keyed_noises(self.module)
        left_out = {f"{name}.key" for name in layers}  # come with every step
        for name, layer in layers.items():
            if not layer.active:
                left_out |= {f"{name}.threshold", f"{name}.scale"}
        rest = [_rest(module) for module in modules]
        names = [name for name in rest[0] if name not in left_out]
        return {name: torch.stack([own[name].detach() for own in rest]) for name in names}

    @property
    def groups(self) -> list[ParameterGroup]:
        return self._runner.stack.groups

    @property
    def methods(self) -> Methods:
        return self._runner.stack.methods

    @property
    def is_compiled(self) -> bool:
        """Whether steps run as compiled programs: from the first on, if that was asked for and
        the compiler can.
        """
        return self._runner.is_compiled

    def step(self, batch: Batch, keys_VK2: Tensor | None, lr_V: Tensor) -> Tensor:
        self.steps += 1
        number = torch.full((), float(self.steps), dtype=lr_V.dtype, device=lr_V.device)
        return self._runner.step(StepInputs(batch, lr_V.unsqueeze(1), keys_VK2, number))

    def predict(self, x_NF: Tree) -> Tensor:
        self.module.eval()
        return self._runner.predict(x_NF)

    def weights(self) -> dict[str, Tensor]:
        return {group.name: group.shaped(group.params) for group in self.groups}

    def evaluated_weights(self) -> dict[str, Tensor]:
        return {group.name: group.shaped(group.evaluated) for group in self.groups}

    def buffers(self) -> dict[str, Tensor]:
        return self._runner.stack.buffers

    def keep(self, rows: Tensor) -> None:
        """Drop all members but ``rows`` (indices, in order): the stack shrinks, and so does the
        time of a step.
        """
        self._runner.keep(rows)

    def copy(self, source: Tensor, target: Tensor) -> None:
        """Write the members ``source`` over the members ``target`` (indices, equally many): all
        that training changes, and the settings. The others stay as they are.
        """
        for tensor in [*self.tensors().values(), *self.methods.tensors()]:
            tensor[target] = tensor[source]


def _parameter_groups(modules: Sequence[nn.Module]) -> list[ParameterGroup]:
    """Return one group for each trainable parameter, stacked."""
    parameters = [dict(module.named_parameters()) for module in modules]
    penalized = penalized_names(modules[0])
    masks = [masks_of(module) for module in modules]
    groups = []
    for name, first in parameters[0].items():
        if not first.requires_grad:
            continue
        params = torch.stack([own[name].detach().flatten() for own in parameters])
        mask = flat_mask(masks, name, params)
        group = ParameterGroup(name, params, {}, name in penalized, first.shape, mask=mask)
        groups.append(group)
    return groups


def _rest(module: nn.Module) -> dict[str, Tensor]:
    """Return the frozen parameters and the buffers of a module, by name."""
    return {
        **{n: p for n, p in module.named_parameters() if not p.requires_grad},
        **dict(module.named_buffers()),
    }
