"""The step of a fleet: forward, loss, gradients, penalties, clipping, update, for all members at once.

Two programs, the same mathematics from the same functions: ``Alone`` runs one member's own module with plain autograd,
``Stacked`` runs V members as one program with ``functional_call`` and ``vmap``. Both keep the trainable parameters of all
members in one tensor (V, P); everything that must be dropped, copied or saved with a member has a leading V.

Axes: V members, B batch, N rows, F features (any number of axes), C outputs, P parameters of one member.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from winnow.methods import OPTIMIZERS, add_penalty_, clip_by_norm_, cross_entropy, mean_squared_error
from winnow.recipe import derive_seed
from winnow.train._lanes import LaneDropout, lane_dropouts
from winnow.train._recurrent import make_stackable
from winnow.train._signature import signature

__all__ = ["Alone", "BaseProgram", "Lanes", "Stacked", "stacking"]

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@contextmanager
def stacking() -> Iterator[None]:
    """What must hold around a stacked program: attention in plain operations, for which ``vmap`` has rules, and silence about
    slow ones.

    Where ``vmap`` falls back to a loop the numbers are right and the time is measured before it counts (``measure``), so its
    warning tells nothing.
    """
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
        warnings.filterwarnings(
            "ignore", message="There is a performance drop because we have not yet implemented the batching rule"
        )
        warnings.filterwarnings("ignore", message=r"torch.searchsorted\(\): input value tensor is non-contiguous")
        yield


@dataclass
class Lanes:
    """The settings that may differ between the members of a fleet, as tensors with a leading V; None where a method is off
    for all of them.

    A method that is off for every member is left out of the program; for the numbers that is the same as running it with
    strength zero.
    """

    optimizer: str  # a name in OPTIMIZERS
    loss: str  # cross_entropy or mse
    settings: dict[str, Tensor]  # of the optimiser, each (variants, 1)
    smoothing: Tensor | None  # (variants,)
    l1: Tensor | None  # (variants, 1)
    l2: Tensor | None  # (variants, 1)
    clip_norm: Tensor | None  # (variants,); infinity where a member is not clipped

    def keep(self, rows: Tensor) -> None:
        """Drop all members but ``rows``."""
        self.settings = {k: v[rows] for k, v in self.settings.items()}
        for name in ("smoothing", "l1", "l2", "clip_norm"):
            value = getattr(self, name)
            setattr(self, name, None if value is None else value[rows])


@dataclass(frozen=True)
class Piece:
    """Columns of the flat tensors that are updated together: all of them, or one parameter's. Each (variants, parameters of
    the piece).
    """

    params: Tensor
    grad: Tensor
    state: dict[str, Tensor]
    penalised: Tensor  # 1 where penalties apply, (parameters of the piece,)


def training_loss(lanes: Lanes, outputs_VBC: Tensor, y_VB: Tensor) -> Tensor:
    """The training loss of each member, without penalties, (variants,)."""
    if lanes.loss == "cross_entropy":
        return cross_entropy(outputs_VBC, y_VB, lanes.smoothing)
    return mean_squared_error(outputs_VBC, y_VB)


def update_(lanes: Lanes, pieces: Sequence[Piece], lr_V1: Tensor, number: Tensor) -> None:
    """From gradients to new parameters: penalties, clipping, the optimiser's step; in place."""
    for piece in pieces:
        l1 = None if lanes.l1 is None else lanes.l1 * piece.penalised
        l2 = None if lanes.l2 is None else lanes.l2 * piece.penalised
        add_penalty_(piece.grad, piece.params, l1, l2)
    if lanes.clip_norm is not None:
        clip_by_norm_([piece.grad for piece in pieces], lanes.clip_norm)
    step_ = OPTIMIZERS[lanes.optimizer].step_
    for piece in pieces:
        step_(piece.params, piece.grad, piece.state, lr=lr_V1, step=number, **lanes.settings)


class BaseProgram(ABC):
    """Parameters, buffers and optimiser state of V members, and the step that moves them.

    Attributes:
        params: trainable parameters, (variants, parameters).
        state: optimiser state by name, each (variants, parameters).
        steps: optimiser steps taken.
    """

    def __init__(self, module: nn.Module, lanes: Lanes) -> None:
        self.module = module
        self.lanes = lanes
        trainable = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        self.names = [n for n, _ in trainable]
        self.shapes = [p.shape for _, p in trainable]
        self.sizes = [p.numel() for _, p in trainable]
        self.dropouts = [layer for layer in lane_dropouts(module).values() if layer.active]
        self.num_keys = sum(layer.num_calls for layer in self.dropouts)
        weights = _weight_names(module)
        self.penalised = torch.cat(
            [torch.full((size,), float(n in weights)) for n, size in zip(self.names, self.sizes, strict=True)]
        )
        self.penalised = self.penalised.to(trainable[0][1].dtype)
        self.steps = 0
        self.params: Tensor
        self.state: dict[str, Tensor]

    @property
    def num_members(self) -> int:
        return self.params.shape[0]

    @abstractmethod
    def step(self, x_VBF: Tensor, y_VB: Tensor, keys_VK2: Tensor | None, lr_V: Tensor) -> Tensor:
        """One optimiser step for every member on its own batch; the loss of each before the step, (variants,)."""

    @abstractmethod
    def predict(self, x_NF: Tensor) -> Tensor:
        """Outputs of every member in evaluation mode, (variants, rows, outputs)."""

    @abstractmethod
    def buffers(self) -> dict[str, Tensor]:
        """Everything but the trainable parameters that belongs to a member, by name, each (variants, ...)."""

    def views(self, flat_VP: Tensor) -> dict[str, Tensor]:
        """A flat tensor (variants, parameters) as named tensors (variants, ...) that share its memory."""
        parts = flat_VP.split(self.sizes, dim=1)
        return {n: part.view(-1, *shape) for n, part, shape in zip(self.names, parts, self.shapes, strict=True)}

    def state_dict(self, member: int, params_VP: Tensor, buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One member's tensors under the names of the user's own module, copied."""
        own = {n: t[member] for n, t in {**buffers, **self.views(params_VP)}.items()}
        canonical = _canonical_names(self.module)
        return {n: own[canonical[n]].detach().clone() for n in self.module.state_dict()}


class Alone(BaseProgram):
    """One member: its own module, plain autograd. Its parameters are views of ``params``, so that the update is the fleet's.

    Args:
        module: the member's.
        lanes: its settings.
        noise_seed: seeds PyTorch's global generator anew for every step, for modules that draw from it; None: they do not.
    """

    def __init__(self, module: nn.Module, lanes: Lanes, *, noise_seed: int | None = None) -> None:
        super().__init__(module, lanes)
        self._noise_seed = noise_seed
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self.params = torch.cat([p.detach().reshape(1, -1) for p in self._parameters], dim=1)
        for parameter, view in zip(self._parameters, self.views(self.params).values(), strict=True):
            parameter.data = view[0]
        self.state = OPTIMIZERS[lanes.optimizer].init(self.params)

    def step(self, x_VBF: Tensor, y_VB: Tensor, keys_VK2: Tensor | None, lr_V: Tensor) -> Tensor:
        self.module.train()
        if keys_VK2 is not None:
            _lay_keys(self.dropouts, keys_VK2[0])
        with self._noise():
            loss_V = training_loss(self.lanes, _as_outputs(self.module(x_VBF[0])).unsqueeze(0), y_VB)
        grads = torch.autograd.grad(loss_V[0], self._parameters, allow_unused=True)
        self.steps += 1
        with torch.no_grad():
            grad_VP = torch.cat(
                [(torch.zeros_like(p) if g is None else g).reshape(1, -1) for p, g in zip(self._parameters, grads, strict=True)],
                dim=1,
            )
            piece = Piece(self.params, grad_VP, self.state, self.penalised)
            update_(self.lanes, [piece], lr_V.unsqueeze(1), torch.tensor(float(self.steps), dtype=lr_V.dtype))
        return loss_V.detach()

    @contextmanager
    def _noise(self) -> Iterator[None]:
        if self._noise_seed is None:
            yield
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self._noise_seed, "noise", self.steps))
            yield

    def predict(self, x_NF: Tensor) -> Tensor:
        self.module.eval()
        with torch.no_grad():
            return _as_outputs(self.module(x_NF)).unsqueeze(0)

    def buffers(self) -> dict[str, Tensor]:
        frozen = ((n, p) for n, p in self.module.named_parameters() if not p.requires_grad)
        return {n: t.detach().unsqueeze(0) for n, t in [*frozen, *self.module.named_buffers()]}


class Stacked(BaseProgram):
    """V members as one program. The module is a skeleton that lends its ``forward``; the tensors come from the stack.

    Args:
        modules: one for each member, of equal ``signature``.
        lanes: their settings.
        compiled: run the step through ``torch.compile``.
    """

    def __init__(self, modules: Sequence[nn.Module], lanes: Lanes, *, compiled: bool = False) -> None:
        for layers in zip(*(lane_dropouts(m).values() for m in modules), strict=True):
            layers[0].active = any(layer.active for layer in layers)  # the skeleton decides what the program holds
        super().__init__(make_stackable(modules[0]), lanes)
        self.params = torch.stack(
            [torch.cat([dict(m.named_parameters())[n].detach().flatten() for n in self.names]) for m in modules]
        )
        self.state = OPTIMIZERS[lanes.optimizer].init(self.params)
        lent = {f"{n}.key" for n in lane_dropouts(modules[0])}  # comes with every step
        self._buffers = {n: torch.stack([_rest(m)[n].detach() for m in modules]) for n in _rest(modules[0]) if n not in lent}
        self.compiled = compiled
        self._run = _compiled(self.module, lanes) if compiled else _Kernel(self.module, lanes).run

    def step(self, x_VBF: Tensor, y_VB: Tensor, keys_VK2: Tensor | None, lr_V: Tensor) -> Tensor:
        self.steps += 1
        number = torch.tensor(float(self.steps), dtype=lr_V.dtype)
        return self._run(self.params, self.state, self._buffers, self.lanes, x_VBF, y_VB, keys_VK2, lr_V.unsqueeze(1), number)

    def predict(self, x_NF: Tensor) -> Tensor:
        self.module.eval()
        with torch.no_grad():
            tensors = {**self.views(self.params), **self._buffers}
            return vmap(lambda t, x: _as_outputs(functional_call(self.module, t, (x,))), in_dims=(0, None))(tensors, x_NF)

    def buffers(self) -> dict[str, Tensor]:
        return self._buffers

    def keep(self, rows: Tensor) -> None:
        """Drop all members but ``rows`` (indices, in order): the stack shrinks, and so does the time of a step."""
        self.params = self.params[rows].contiguous()
        self.state = {n: t[rows].contiguous() for n, t in self.state.items()}
        self._buffers = {n: t[rows].contiguous() for n, t in self._buffers.items()}
        self.lanes.keep(rows)


class _Kernel:
    """The stacked step as a function of tensors alone, so that one compiled program serves every fleet of its kind."""

    def __init__(self, module: nn.Module, lanes: Lanes, *, fused: bool = False) -> None:
        layers = {n: layer for n, layer in lane_dropouts(module).items() if layer.active}
        trainable = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        weights = _weight_names(module)
        self.module = module
        self.key_names = [f"{n}.key" for n in layers]
        self.num_keys = [layer.num_calls for layer in layers.values()]
        self.names = [n for n, _ in trainable]
        self.shapes = [p.shape for _, p in trainable]
        self.sizes = [p.numel() for _, p in trainable]
        self.penalised = [torch.full((p.numel(),), float(n in weights), dtype=p.dtype) for n, p in trainable]
        # the compiler fuses each parameter's update into one pass over memory; without it, one operation on all is faster
        self.fused = fused

    def run(
        self,
        params_VP: Tensor,
        state: dict[str, Tensor],
        buffers: dict[str, Tensor],
        lanes: Lanes,
        x_VBF: Tensor,
        y_VB: Tensor,
        keys_VK2: Tensor | None,
        lr_V1: Tensor,
        number: Tensor,
    ) -> Tensor:
        """One step; parameters, state and buffers change in place. The losses before it, (variants,)."""
        self.module.train()
        flat = params_VP.split(self.sizes, dim=1)
        leaves = {n: f.detach().view(-1, *s).requires_grad_() for n, f, s in zip(self.names, flat, self.shapes, strict=True)}
        lent = dict(buffers)
        if keys_VK2 is not None:
            lent.update(zip(self.key_names, keys_VK2.split(self.num_keys, dim=1), strict=True))
        outputs_VBC, after = vmap(self._forward)(leaves, lent, x_VBF)
        loss_V = training_loss(lanes, outputs_VBC, y_VB)
        grads = torch.autograd.grad(loss_V.sum(), list(leaves.values()), allow_unused=True)
        with torch.no_grad():
            for name, tensor in buffers.items():
                tensor.copy_(after[name])
            each = [(torch.zeros_like(p) if g is None else g).flatten(1) for p, g in zip(leaves.values(), grads, strict=True)]
            if self.fused:
                states = {name: tensor.split(self.sizes, dim=1) for name, tensor in state.items()}
                pieces = [
                    Piece(flat[i], each[i], {name: parts[i] for name, parts in states.items()}, self.penalised[i])
                    for i in range(len(flat))
                ]
            else:
                pieces = [Piece(params_VP, torch.cat(each, dim=1), state, torch.cat(self.penalised))]
            update_(lanes, pieces, lr_V1, number)
        return loss_V.detach()

    def _forward(self, leaves: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        tensors = {**leaves, **buffers}
        outputs = _as_outputs(functional_call(self.module, tensors, (x,)))
        return outputs, {n: tensors[n] for n in buffers}  # a module may also have put a new tensor in a buffer's place


_PROGRAMS: dict[Hashable, Callable[..., Tensor]] = {}


def _compiled(module: nn.Module, lanes: Lanes) -> Callable[..., Tensor]:
    """The compiled step for modules of this kind; made once a process, and taken from the compiler's cache on disk by the
    next process.
    """
    active = tuple(n for n, layer in lane_dropouts(module).items() if layer.active)
    kind = (signature(module), active, lanes.optimizer, lanes.loss)
    if kind not in _PROGRAMS:
        run = torch.compile(_Kernel(module, lanes, fused=True).run, fullgraph=True)

        def call(*args: Any) -> Tensor:
            with torch._dynamo.config.patch(trace_autograd_ops=True):  # the step holds its own call of autograd.grad
                return run(*args)

        _PROGRAMS[kind] = call
    return _PROGRAMS[kind]


def _as_outputs(outputs: Any) -> Tensor:
    """A model's output as (batch, outputs): a regression may also answer (batch,)."""
    if not isinstance(outputs, Tensor):
        raise TypeError(f"the model must return one tensor, got {type(outputs).__name__}")
    return outputs.unsqueeze(-1) if outputs.dim() == 1 else outputs


def _rest(module: nn.Module) -> dict[str, Tensor]:
    return {**{n: p for n, p in module.named_parameters() if not p.requires_grad}, **dict(module.named_buffers())}


def _lay_keys(layers: Sequence[LaneDropout], keys_K2: Tensor) -> None:
    for layer, keys in zip(layers, keys_K2.split([layer.num_calls for layer in layers]), strict=True):
        layer.key = keys


def _weight_names(module: nn.Module) -> set[str]:
    """Parameters that L1 and L2 penalties apply to: those with two axes or more, outside norm layers."""
    in_norms = {id(p) for m in module.modules() if isinstance(m, _NORMS) for p in m.parameters(recurse=False)}
    return {n for n, p in module.named_parameters() if p.dim() >= 2 and id(p) not in in_norms}


def _canonical_names(module: nn.Module) -> dict[str, str]:
    """Every name of a parameter or buffer to the first name of the same tensor: tied weights have one value."""
    first: dict[int, str] = {}
    every = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    return {n: first.setdefault(id(t), n) for n, t in every}
