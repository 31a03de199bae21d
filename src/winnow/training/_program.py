"""The step of a fleet: forward, loss, gradients, penalties, clipping, update, for all members at
once.

Two programs, the same mathematics from the same functions: ``SoloProgram`` runs one member's own
module with plain autograd, ``StackedProgram`` (in ``_stacked``) runs V members as one program.
Everything that must be dropped, copied or saved with a member is a tensor with a leading V, and
``tensors`` names them all, so that whoever drops, copies or saves need not know the method.

Axes: V members, B batch, N rows, F features (any number of axes), C outputs, P parameters (of one
member, in one piece).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from winnow.methods import BaseGradientRule, BasePenalty, Batch
from winnow.models import masks_of, to_training
from winnow.recipe import derive_seed
from winnow.training._dropout import key_places, keyed_noises, noisy_forward, undrawn
from winnow.training._methods import Methods
from winnow.training._mixed import mixed_precision
from winnow.trees import Tree, leaves, main, map_tree, named_leaves, without_none

__all__ = [
    "BaseProgram",
    "ParameterGroup",
    "SoloProgram",
    "flat_mask",
    "init_state_",
    "penalized_names",
    "perturb_",
    "run_module",
    "update_",
]

# Names that no slot of an optimizer has
_AVERAGE, _MASK = "average of weights", "mask of weights"
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass
class ParameterGroup:
    """Parameters that are updated by one operation: all of a member's, or one of its tensors.

    Attributes:
        name: of the parameter; empty where several lie flat in one tensor.
        params: the parameters, (variants, elements).
        state: the optimizer's, by slot, each with a leading V.
        penalized: 1 where penalties apply and 0 elsewhere, (elements,), or one truth for the whole
            group.
        shape: of the parameter of one member; None where several lie flat.
        average: of the parameters over the steps, the same shape; None: there is none.
        mask: 0 where a parameter is and stays 0, and 1 elsewhere, the same shape; None: there is
            none.
    """

    name: str
    params: Tensor
    state: dict[str, Tensor]
    penalized: Tensor | bool
    shape: torch.Size | None = None
    average: Tensor | None = None
    mask: Tensor | None = None

    @property
    def evaluated(self) -> Tensor:
        """What is validated and kept: the average of the parameters, or they themselves."""
        return self.params if self.average is None else self.average

    def slots(self) -> dict[str, Tensor]:
        """Return all that goes with the parameters, by name: the optimizer's state, their average
        and their mask.
        """
        beside = {_AVERAGE: self.average, _MASK: self.mask}
        return {**self.state, **{n: t for n, t in beside.items() if t is not None}}

    def shaped(self, tensor: Tensor) -> Tensor:
        """View a tensor of the group's elements as (variants, *shape of the parameter)."""
        assert self.shape is not None
        return tensor.view(-1, *self.shape)

    def like(self, params: Tensor, slots: Mapping[str, Tensor]) -> ParameterGroup:
        """Return the same group with other tensors."""
        state = dict(slots)
        average, mask = state.pop(_AVERAGE, None), state.pop(_MASK, None)
        return replace(self, params=params, state=state, average=average, mask=mask)


def init_state_(methods: Methods, groups: Sequence[ParameterGroup]) -> None:
    """Give every group what goes with its parameters before the first step."""
    optimizer = methods.optimizer
    if methods.averaging is not None:
        averages = methods.averaging.init({group.name: group.params for group in groups})
        for group in groups:
            group.average = averages[group.name]
    flat = optimizer.elementwise
    params = {g.name: g.params if flat else g.shaped(g.params) for g in groups}
    states = optimizer.init(params)
    for group in groups:
        group.state = states[group.name]


def update_(
    methods: Methods,
    groups: Sequence[ParameterGroup],
    grads: Sequence[Tensor],
    lr_V1: Tensor,
    number: Tensor,
) -> None:
    """Go from gradients to new parameters, in place: penalties, gradient rules, the optimizer's
    step, averages.

    Args:
        methods: with the settings of the members.
        groups: changed.
        grads: one for each group, of its shape; used as scratch space.
        lr_V1: learning rates at this step, (variants, 1).
        number: of this step, from 1, scalar.
    """
    _mask_(groups, grads)
    for role, penalty in methods.penalties:
        for group, grad in zip(groups, grads, strict=True):
            _penalize_(methods, role, penalty, group, grad)
    for role, rule in methods.rules:
        _apply_rule_(methods, role, rule, groups, grads)
    optimizer, settings = methods.optimizer, methods.optimizer_settings(lr_V1)
    if optimizer.elementwise:
        shared = optimizer.prepare(number=number, **settings)
        for group, grad in zip(groups, grads, strict=True):
            optimizer.update_(group.params, grad, group.state, **shared)
    else:
        params, named_grads, states = _by_name(groups, grads)
        optimizer.step_(params, named_grads, states, settings, number=number)
    _mask_(groups, [group.params for group in groups])
    for group in groups:
        if group.average is not None:
            methods.average_(group.average, group.params, number)


def perturb_(
    methods: Methods,
    groups: Sequence[ParameterGroup],
    grads: Sequence[Tensor],
    lr_V1: Tensor,
) -> None:
    """Move the parameters to where the optimizer wants its second gradient."""
    _mask_(groups, grads)
    params, named_grads, states = _by_name(groups, grads)
    methods.optimizer.perturb_(params, named_grads, states, methods.optimizer_settings(lr_V1))


def _mask_(groups: Sequence[ParameterGroup], tensors: Sequence[Tensor]) -> None:
    """Set to 0 what is masked, in a tensor for each group.

    Gradients are masked as those of ``torch.nn.utils.prune`` are, before anything is made of them;
    parameters again after the step, since a rule or an optimizer may bring masked ones back.
    """
    for group, tensor in zip(groups, tensors, strict=True):
        if group.mask is not None:
            tensor.mul_(group.mask)


def _penalize_(
    methods: Methods,
    role: str,
    penalty: type[BasePenalty],
    group: ParameterGroup,
    grad: Tensor,
) -> None:
    if group.penalized is False:
        return
    where = 1.0 if group.penalized is True else group.penalized
    param = group.params
    # Then every group is one parameter, and penalized or not as a whole
    if not methods.elementwise:
        grad, param = group.shaped(grad), group.shaped(param)
    methods.add_penalties_(role, penalty, grad, param, where)


def _apply_rule_(
    methods: Methods,
    role: str,
    rule: type[BaseGradientRule],
    groups: Sequence[ParameterGroup],
    grads: Sequence[Tensor],
) -> None:
    params = [group.params for group in groups]
    if rule.shaped:
        grads = [group.shaped(grad) for group, grad in zip(groups, grads, strict=True)]
        params = [group.shaped(group.params) for group in groups]
    methods.apply_rule_(role, rule, grads, params)


def _by_name(
    groups: Sequence[ParameterGroup], grads: Sequence[Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """Return parameters, gradients and states of shaped groups by the names of the parameters."""
    params = {group.name: group.shaped(group.params) for group in groups}
    named = {group.name: group.shaped(g) for group, g in zip(groups, grads, strict=True)}
    return params, named, {group.name: group.state for group in groups}


class BaseProgram(ABC):
    """Parameters, buffers and optimizer state of V members, and the step that moves them.

    Attributes:
        module: lends its forward pass.
        key_places: which noise keys of a step each noise takes.
        num_keys: how many a step takes.
        steps: optimizer steps taken.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.key_places = key_places(module)
        self.num_keys = max((place.stop for place in self.key_places.values()), default=0)
        self.steps = 0

    @property
    @abstractmethod
    def groups(self) -> list[ParameterGroup]:
        """Parameters and optimizer state."""

    @property
    @abstractmethod
    def methods(self) -> Methods:
        """The methods, with the settings of the members."""

    @property
    def num_members(self) -> int:
        return self.groups[0].params.shape[0]

    @abstractmethod
    def step(self, batch: Batch, keys_VK2: Tensor | None, lr_V: Tensor) -> Tensor:
        """Take one optimizer step for every member on its own batch.

        Args:
            batch: of each member.
            keys_VK2: noise keys, (variants, keys, 2); None: nothing makes noise.
            lr_V: learning rates, (variants,).

        Returns:
            What adds up to the loss of each before the step, (variants, losses).
        """

    @abstractmethod
    def predict(self, x_NF: Tree) -> Tensor:
        """Return the main outputs of every member in evaluation mode, (variants, rows, outputs).

        Args:
            x_NF: the same rows for all, each input (rows, ...).
        """

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Return trainable parameters by name, live, each (variants, ...)."""

    @abstractmethod
    def evaluated_weights(self) -> dict[str, Tensor]:
        """Return what is validated and kept in the place of the weights: their averages, if there
        are any; by the same names, live.
        """

    @abstractmethod
    def buffers(self) -> dict[str, Tensor]:
        """Return everything else of the module that belongs to a member, by name, live, each
        (variants, ...).
        """

    def tensors(self) -> dict[str, Tensor]:
        """Return all that training changes, live, each (variants, ...): weights, buffers, averages
        and whatever state the methods hold.
        """
        state = {
            f"state.{i}.{name}": t
            for i, group in enumerate(self.groups)
            for name, t in group.slots().items()
        }
        return {
            **{f"module.{n}": t for n, t in {**self.weights(), **self.buffers()}.items()},
            **state,
        }

    def state_dict(self, member: int, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return one member's rows of ``tensors`` (weights and buffers by name) as the user's
        module names them, copied.
        """
        canonical = _canonical_names(self.module)
        return {
            n: tensors[canonical[n]][member].detach().cpu().clone()
            for n in self.module.state_dict()
        }


class SoloProgram(BaseProgram):
    """One member: its own module, plain autograd. Its parameters are views of one flat piece, which
    one operation updates.

    Args:
        module: the member's.
        methods: with its settings.
        noise_seed: seeds the global generators anew for every step, for modules that draw from one;
            None: they do not.
    """

    def __init__(
        self, module: nn.Module, methods: Methods, *, noise_seed: int | None = None
    ) -> None:
        super().__init__(module)
        self._methods = methods
        self._noise_seed = noise_seed
        named = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self._parameters = list(named.values())
        flat = torch.cat([p.detach().reshape(1, -1) for p in self._parameters], dim=1)
        self._grad = torch.zeros_like(flat)
        sizes = [p.numel() for p in self._parameters]
        for parameter, part, grad in zip(
            self._parameters, flat[0].split(sizes), self._grad[0].split(sizes), strict=True
        ):
            parameter.data = part.view(parameter.shape)
            # Backward adds to it in place, so the flat gradient needs no copying
            parameter.grad = grad.view(parameter.shape)
        weights = penalized_names(module)
        marks = [
            torch.full((p.numel(),), float(n in weights), dtype=flat.dtype, device=flat.device)
            for n, p in named.items()
        ]
        masks = masks_of(module)
        if methods.elementwise:
            mask = None
            if masks:
                own = [
                    masks[n].to(p) if n in masks else torch.ones_like(p) for n, p in named.items()
                ]
                mask = torch.cat([part.reshape(1, -1) for part in own], dim=1)
            self._groups = [ParameterGroup("", flat, {}, torch.cat(marks), mask=mask)]
            self._grads = [self._grad]
        else:
            parts = zip(named.items(), flat.split(sizes, dim=1), strict=True)
            self._groups = [
                ParameterGroup(n, t, {}, n in weights, p.shape, mask=flat_mask([masks], n, t))
                for (n, p), t in parts
            ]
            self._grads = list(self._grad.split(sizes, dim=1))
        init_state_(methods, self._groups)
        self._weights = {n: p.detach().unsqueeze(0) for n, p in named.items()}
        pieces = [group.evaluated for group in self._groups]
        if methods.elementwise:
            pieces = list(pieces[0].split(sizes, dim=1))
        self._evaluated = {
            n: piece.view(1, *p.shape) for (n, p), piece in zip(named.items(), pieces, strict=True)
        }

    @property
    def groups(self) -> list[ParameterGroup]:
        return self._groups

    @property
    def methods(self) -> Methods:
        return self._methods

    def step(self, batch: Batch, keys_VK2: Tensor | None, lr_V: Tensor) -> Tensor:
        if not self.module.training:
            to_training(self.module)
        if keys_VK2 is not None:
            self._lay_keys(keys_VK2[0])
        losses_VK = self._differentiate(batch)
        lr_V1 = lr_V.unsqueeze(1)
        with torch.no_grad():
            if self.methods.optimizer.perturbs:
                buffers = [buffer.clone() for buffer in self.module.buffers()]
                perturb_(self.methods, self.groups, self._grads, lr_V1)
                with torch.enable_grad():
                    self._differentiate(batch)
                # Running means are of the unperturbed weights.
                for buffer, before in zip(self.module.buffers(), buffers, strict=True):
                    buffer.copy_(before)
            self.steps += 1
            number = torch.full((), float(self.steps), dtype=lr_V.dtype, device=lr_V.device)
            update_(self.methods, self.groups, self._grads, lr_V1, number)
        return losses_VK.detach()

    def _differentiate(self, batch: Batch) -> Tensor:
        """Return the losses, (1, losses), the gradient of their sum laid into ``_grads``."""
        own = map_tree(lambda tensor: tensor[0], batch.inputs)
        with self._noise("noise"):
            outputs = run_module(self.module, own, mixed=self.methods.mixed)
            outputs = map_tree(lambda tensor: tensor.unsqueeze(0), outputs)
            losses_VK = self.methods.training_losses(outputs, batch)
            self._grad.zero_()
            losses_VK.sum().backward()
        return losses_VK

    def _lay_keys(self, keys_K2: Tensor) -> None:
        noises = keyed_noises(self.module)
        for name, place in self.key_places.items():
            noises[name].key = keys_K2[place]

    def _noise(self, purpose: str) -> AbstractContextManager[None]:
        if self._noise_seed is None:
            return nullcontext()
        return undrawn(derive_seed(self._noise_seed, purpose, self.steps))

    def predict(self, x_NF: Tree) -> Tensor:
        self.module.eval()
        with torch.no_grad(), self._lent_averages(), self._noise("noise in evaluation"):
            outputs = run_module(self.module, x_NF, mixed=self.methods.mixed)
        main_NC: Tensor = main(outputs)
        return main_NC.unsqueeze(0)

    @contextmanager
    def _lent_averages(self) -> Iterator[None]:
        """Let the module compute with the averages inside, if there are any."""
        if self.methods.averaging is None:
            yield
            return
        own = [parameter.data for parameter in self._parameters]
        try:
            for parameter, average in zip(self._parameters, self._evaluated.values(), strict=True):
                parameter.data = average[0]
            yield
        finally:
            for parameter, data in zip(self._parameters, own, strict=True):
                parameter.data = data

    def weights(self) -> dict[str, Tensor]:
        return self._weights

    def evaluated_weights(self) -> dict[str, Tensor]:
        return self._evaluated

    def buffers(self) -> dict[str, Tensor]:
        frozen = ((n, p) for n, p in self.module.named_parameters() if not p.requires_grad)
        return {n: t.detach().unsqueeze(0) for n, t in [*frozen, *self.module.named_buffers()]}


def run_module(module: nn.Module, x: Tree, *, mixed: bool, stacked: bool = False) -> Tree:
    """Return the outputs of one forward pass, a tensor (batch, outputs) or a tree of tensors.

    A regression may also answer (batch,). Entries of a tuple or mapping that are None are left out.

    Args:
        module: in training or evaluation mode.
        x: inputs, each (batch, ...).
        mixed: run it in bfloat16, from and to float32.
        stacked: it runs under ``vmap``.

    Raises:
        TypeError: the model returns something else.
    """
    device = leaves(x)[0].device
    casts_above = stacked or not module.training
    with mixed_precision(device, casts_above=casts_above) if mixed else nullcontext():
        outputs = noisy_forward(module, x)
    if isinstance(outputs, Tensor):  # the usual case, without the way through trees
        return _as_column(outputs, mixed=mixed)
    found = [(name, leaf) for name, leaf in named_leaves(outputs) if not isinstance(leaf, Tensor)]
    if not isinstance(outputs, Mapping | tuple | list) or any(v is not None for _, v in found):
        name, odd = next(((n, v) for n, v in found if v is not None), ("", outputs))
        where = f" as {name}" if name else ""
        expected = "the model must return a tensor, or a tuple or mapping of tensors"
        raise TypeError(f"{expected}, got {type(odd).__name__}{where}")
    return map_tree(lambda tensor: _as_column(tensor, mixed=mixed), without_none(outputs))


def _as_column(outputs: Tensor, *, mixed: bool) -> Tensor:
    """Return outputs with an axis for their numbers, in the precision of all that follows."""
    outputs = outputs.float() if mixed and outputs.is_floating_point() else outputs
    return outputs.unsqueeze(-1) if outputs.dim() == 1 else outputs


def flat_mask(masks: Sequence[Mapping[str, Tensor]], name: str, params: Tensor) -> Tensor | None:
    """Return the members' masks on one parameter, flat as ``params`` is; None where it has none.

    Args:
        masks: of each member, by name, of equal names.
        name: of the parameter.
        params: its values, (variants, elements).
    """
    if name not in masks[0]:
        return None
    return torch.stack([own[name].flatten() for own in masks]).to(params)


def penalized_names(module: nn.Module) -> set[str]:
    """Return parameters that L1 and L2 penalties apply to: those with two axes or more, outside
    norm layers.
    """
    in_norms = {
        id(p)
        for m in module.modules()
        if isinstance(m, _NORMS)
        for p in m.parameters(recurse=False)
    }
    return {n for n, p in module.named_parameters() if p.dim() >= 2 and id(p) not in in_norms}


def _canonical_names(module: nn.Module) -> dict[str, str]:
    """Return for every name of a parameter or buffer the first name of the same tensor: tied
    weights have one value.
    """
    first: dict[int, str] = {}
    every = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    return {n: first.setdefault(id(t), n) for n, t in every}
