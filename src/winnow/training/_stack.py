"""The mathematics of a stack: V members' tensors with a leading V, and the step of all at once by
``vmap`` of the module's forward pass.

What runs it, plainly or as compiled blocks, is in ``_runners``.

Axes: V members, B batch, N rows, F features (any number of axes), C outputs, P parameters of one
tensor of a member.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from winnow.methods import Batch
from winnow.models import to_training
from winnow.training._dropout import key_places, keyed_noises
from winnow.training._methods import Methods
from winnow.training._program import ParameterGroup, perturb_, run_module, update_
from winnow.trees import Tree, like, main, named_leaves

__all__ = ["Stack", "StackedStep", "StepInputs", "stacking"]

_SILENCED = (
    "There is a performance drop because we have not yet",
    r"torch.searchsorted\(\): input value tensor is non",
    "`torch.jit.script",  # PyTorch's compiler on itself
)
_LOCK = threading.Lock()
# One entry for each thread that is stacking; the first set the scene for all
_INSIDE: list[ExitStack] = []


@contextmanager
def stacking() -> Iterator[None]:
    """Set the scene for a stacked program: attention in plain operations, for which ``vmap`` has
    rules, and silence about slow ones. Several threads may stack at once.

    Where ``vmap`` falls back to a loop the numbers are right and the time is measured before it
    counts (``measure``), so its warning tells nothing.
    """
    with _LOCK:
        _INSIDE.append(_INSIDE[0] if _INSIDE else _scene())
    try:
        yield
    finally:
        with _LOCK:
            scene = _INSIDE.pop()
            if not _INSIDE:
                scene.close()


def _scene() -> ExitStack:
    scene = ExitStack()
    scene.enter_context(warnings.catch_warnings())
    for message in _SILENCED:
        warnings.filterwarnings("ignore", message=message)
    scene.enter_context(sdpa_kernel(SDPBackend.MATH))
    return scene


@dataclass(frozen=True)
class Stack:
    """The tensors of consecutive members, each with a leading V.

    Attributes:
        rows: which members of the fleet they are. The tensors may hold more rows than that: those
            behind the last member are idle.
        groups: parameters, optimizer state and averages.
        buffers: everything else of the modules, by name.
        methods: with the settings of the members.
    """

    rows: slice
    groups: list[ParameterGroup]
    buffers: dict[str, Tensor]
    methods: Methods

    @property
    def num_members(self) -> int:
        """How many members there are, without idle rows."""
        return int(self.rows.stop - self.rows.start)

    @property
    def num_rows(self) -> int:
        """How many rows the tensors hold, idle ones included."""
        return len(self.groups[0].params)

    def map(self, change: Callable[[Tensor], Tensor]) -> Stack:
        """Return the stack with every tensor changed."""
        groups = [
            group.like(change(group.params), {n: change(t) for n, t in group.slots().items()})
            for group in self.groups
        ]
        buffers = {n: change(t) for n, t in self.buffers.items()}
        return Stack(self.rows, groups, buffers, self.methods.map(change))

    def members_only(self) -> Stack:
        """Return the stack without idle rows."""
        # To cut what need not be cut takes a twentieth of a small step
        if self.num_rows == self.num_members:
            return self
        return self.map(lambda tensor: tensor[: self.num_members])

    def tensors(self) -> list[Tensor]:
        """Return all tensors in a row; ``like`` is the way back."""
        state = (t for group in self.groups for t in group.slots().values())
        return [
            *(group.params for group in self.groups),
            *state,
            *self.buffers.values(),
            *self.methods.tensors(),
        ]

    def names(self) -> list[str]:
        """Return what the ``tensors`` are."""
        state = [f"{key} of {group.name}" for group in self.groups for key in group.slots()]
        parameters = [group.name for group in self.groups]
        return [*parameters, *state, *self.buffers, *self.methods.names()]

    def like(self, tensors: Sequence[Tensor]) -> Stack:
        """Return a stack built as this one is, of other tensors."""
        rest = iter(tensors)
        params = [next(rest) for _ in self.groups]
        groups = [
            old.like(param, {n: next(rest) for n in old.slots()})
            for param, old in zip(params, self.groups, strict=True)
        ]
        buffers = {n: next(rest) for n in self.buffers}
        return Stack(self.rows, groups, buffers, self.methods.like(rest))

    def module_tensors(self) -> dict[str, Tensor]:
        """Return what a forward pass in evaluation mode needs, by name."""
        return {**{group.name: group.evaluated for group in self.groups}, **self.buffers}


@dataclass(frozen=True)
class StepInputs:
    """What comes with every step of a stack.

    Attributes:
        batch: of each member.
        lr: learning rates, (variants, 1).
        keys: noise keys, (variants, keys, 2); None: nothing makes noise.
        number: of the step, from 1, a scalar.
    """

    batch: Batch
    lr: Tensor
    keys: Tensor | None
    number: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> StepInputs:
        """Return the inputs with every tensor changed but the number, which has no leading V."""
        keys = None if self.keys is None else change(self.keys)
        return StepInputs(self.batch.map(change), change(self.lr), keys, self.number)

    def named(self) -> dict[str, Tensor]:
        """Return all tensors by name, the number last; ``like`` is the way back."""
        return dict(named_leaves(self._tree()))

    def like(self, tensors: Iterable[Tensor]) -> StepInputs:
        """Return inputs built as these are, of other tensors."""
        tree = like(self._tree(), iter(tensors))
        keys = tree.get("noise keys")
        return StepInputs(Batch(**tree["batch"]), tree["rates"], keys, tree["number"])

    def _tree(self) -> dict[str, Tree]:
        keys = {} if self.keys is None else {"noise keys": self.keys}
        return {
            "batch": self.batch.parts(),
            "rates": self.lr,
            **keys,
            "number": self.number,
        }


class StackedStep:
    """The step of a stack as a function of tensors alone, so that one compiled program serves every
    fleet of its kind.

    Args:
        module: lends its forward pass.
        mixed: whether that runs in bfloat16.
    """

    def __init__(self, module: nn.Module, *, mixed: bool) -> None:
        self.module = module
        self.mixed = mixed
        self.key_places = {f"{n}.key": place for n, place in key_places(module).items()}
        self._shapes = {n: p.shape for n, p in module.named_parameters() if p.requires_grad}
        self._homes = _homes(module)

    def run(self, stack: Stack, inputs: StepInputs) -> Tensor:
        """Take one step; parameters, state and buffers of the stack change in place.

        Returns:
            What adds up to the losses before it, (variants, losses).
        """
        groups, buffers, methods = stack.groups, stack.buffers, stack.methods
        if not self.module.training:
            to_training(self.module)
        keys: dict[str, Tensor] = {}
        if inputs.keys is not None:
            keys = {name: inputs.keys[:, place] for name, place in self.key_places.items()}
        losses_VK, grads, after = self._differentiate(stack, keys, inputs.batch)
        with torch.no_grad():
            if methods.optimizer.perturbs:
                perturb_(methods, groups, grads, inputs.lr)
                # Running means are of the unperturbed weights.
                spare = {name: tensor.clone() for name, tensor in buffers.items()}
                with torch.enable_grad():
                    again = replace(stack, buffers=spare)
                    _, grads, _ = self._differentiate(again, keys, inputs.batch)
            for name, tensor in buffers.items():
                tensor.copy_(after[name])
            update_(methods, groups, grads, inputs.lr, inputs.number)
        return losses_VK

    def predict(self, own: Mapping[str, Tensor], x: Tree, *, own_rows: bool = False) -> Tensor:
        """Return the main outputs in evaluation mode of members with these parameters and buffers,
        (variants, rows, outputs).

        Args:
            own: their tensors.
            x: inputs, each (rows, ...), or with ``own_rows``, of each member, (variants, rows,
                ...).
            own_rows: whether every member sees rows of its own.
        """
        if self.module.training:
            self.module.eval()
        shaped = [t.view(-1, *self._shapes[n]) if n in self._shapes else t for n, t in own.items()]

        def forward(x: Tree, *tensors: Tensor) -> Tensor:
            found: Tensor = main(self.call(dict(zip(own, tensors, strict=True)), x))
            return found

        with torch.no_grad():
            return vmap(forward, in_dims=(0 if own_rows else None, *[0] * len(own)))(x, *shaped)

    def call(self, lent: dict[str, Tensor], x: Tree) -> Tree:
        """Return the module's outputs with other tensors in the place of its own.

        It does what ``functional_call`` does with a fifth of its overhead for small networks.

        Args:
            lent: tensors by name; afterwards what they are after the pass.
            x: the inputs of one member.
        """
        own = [(home, key, home[key]) for home, key, _ in self._homes]
        try:
            for home, key, name in self._homes:
                if name in lent:
                    home[key] = lent[name]
            return run_module(self.module, x, mixed=self.mixed, stacked=True)
        finally:
            for (home, key, tensor), (_, _, name) in zip(own, self._homes, strict=True):
                if name in lent:
                    lent[name] = home[key]
                home[key] = tensor

    def _differentiate(
        self, stack: Stack, keys: Mapping[str, Tensor], batch: Batch
    ) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
        """Return the losses, (variants, losses), the gradient of each group, and the buffers after
        the pass.

        A module may also have put a new tensor in a buffer's place.
        """
        leaves = {
            group.name: group.shaped(group.params.detach()).requires_grad_()
            for group in stack.groups
        }
        outputs, after = self._forward(leaves, {**stack.buffers, **keys}, batch.inputs)
        losses_VK = stack.methods.training_losses(outputs, batch)
        grads = torch.autograd.grad(losses_VK.sum(), list(leaves.values()), allow_unused=True)
        flat = [
            torch.zeros_like(group.params) if grad is None else grad.reshape(group.params.shape)
            for group, grad in zip(stack.groups, grads, strict=True)
        ]
        return losses_VK.detach(), flat, after

    def _forward(
        self, leaves: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tree
    ) -> tuple[Tree, dict[str, Tensor]]:
        """Return the outputs of every member, and the buffers after the pass."""
        names = [*leaves, *buffers]

        def forward(x: Tree, *tensors: Tensor) -> tuple[Tree, ...]:
            lent = dict(zip(names, tensors, strict=True))
            outputs = self.call(lent, x)
            return (outputs, *(lent[n] for n in buffers))

        outputs, *after = vmap(forward)(inputs, *leaves.values(), *buffers.values())
        return outputs, dict(zip(buffers, after, strict=True))


def _homes(module: nn.Module) -> list[tuple[dict[str, Any], str, str]]:
    """Return where each tensor of a module lives: the dict, the key, and its name; a tied tensor
    has several homes and one name.
    """
    names: dict[int, str] = {}
    homes: list[tuple[dict[str, Any], str, str]] = []
    for prefix, part in {**dict(module.named_modules()), **keyed_noises(module)}.items():
        for home in (part._parameters, part._buffers):
            for key, tensor in home.items():
                if tensor is not None:
                    name = names.setdefault(id(tensor), f"{prefix}.{key}" if prefix else key)
                    homes.append((home, key, name))
    return homes
