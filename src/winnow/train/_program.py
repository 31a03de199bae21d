"""The step of a fleet: forward, loss, gradients, penalties, clipping, update, for all members at once.

Two programs, the same mathematics from the same functions: ``Alone`` runs one member's own module with plain autograd,
``Stacked`` (in ``_stacked``) runs V members as one program. Everything that must be dropped, copied or saved with a member is
a tensor with a leading V, and ``tensors`` names them all, so that whoever drops, copies or saves need not know the method.

Axes: V members, B batch, N rows, F features (any number of axes), C outputs, P parameters (of one member, in one piece).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from winnow.methods import OPTIMIZERS, add_penalty_, clip_by_norm_, cross_entropy, mean_squared_error
from winnow.recipe import derive_seed
from winnow.train._lanes import key_places, keyed_noises, noisy_forward, undrawn
from winnow.train._mixed import mixed_precision

__all__ = ["Alone", "BaseProgram", "Lanes", "Piece", "penalised_names", "run_module", "training_loss", "update_"]

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass
class Lanes:
    """The settings that may differ between the members of a fleet, as tensors with a leading V.

    A method that is off for every member is None and left out of the program; for the numbers that is the same as running it
    with strength zero.
    """

    optimizer: str  # a name in OPTIMIZERS
    loss: str  # cross_entropy or mse
    settings: dict[str, Tensor]  # of the optimiser, each (variants, 1)
    smoothing: Tensor | None  # (variants,)
    l1: Tensor | None  # (variants, 1)
    l2: Tensor | None  # (variants, 1)
    clip_norm: Tensor | None  # (variants,); infinity where a member is not clipped
    mixed: bool = False  # the forward pass in bfloat16, all else as the tensors are

    def map(self, change: Callable[[Tensor], Tensor]) -> Lanes:
        """The settings with every tensor changed."""
        settings = {n: change(t) for n, t in self.settings.items()}
        single = {n: None if t is None else change(t) for n, t in self._single().items()}
        return Lanes(self.optimizer, self.loss, settings, mixed=self.mixed, **single)

    def tensors(self) -> list[Tensor]:
        """All of them in a row; ``like`` is the way back."""
        return [*self.settings.values(), *(t for t in self._single().values() if t is not None)]

    def names(self) -> list[str]:
        """What the ``tensors`` are."""
        return [*self.settings, *(n for n, t in self._single().items() if t is not None)]

    def like(self, tensors: Iterator[Tensor]) -> Lanes:
        """Settings of this structure, made of the next tensors."""
        return self.map(lambda _: next(tensors))

    def structure(self) -> Hashable:
        """All but the numbers."""
        single = tuple(n for n, t in self._single().items() if t is not None)
        return self.optimizer, self.loss, self.mixed, tuple(self.settings), single

    def _single(self) -> dict[str, Tensor | None]:
        return {"smoothing": self.smoothing, "l1": self.l1, "l2": self.l2, "clip_norm": self.clip_norm}


@dataclass
class Piece:
    """Parameters that are updated by one operation: all of a member's, or one of its tensors. Each (variants, parameters).

    Attributes:
        params: the parameters.
        state: the optimiser's, by name.
        penalised: 1 where penalties apply and 0 elsewhere, (parameters,), or one truth for the whole piece.
    """

    params: Tensor
    state: dict[str, Tensor]
    penalised: Tensor | bool


def training_loss(lanes: Lanes, outputs_VBC: Tensor, y_VB: Tensor) -> Tensor:
    """The training loss of each member, without penalties, (variants,)."""
    if lanes.loss == "cross_entropy":
        return cross_entropy(outputs_VBC, y_VB, lanes.smoothing)
    return mean_squared_error(outputs_VBC, y_VB)


def update_(lanes: Lanes, pieces: Sequence[Piece], grads: Sequence[Tensor], lr_V1: Tensor, number: Tensor) -> None:
    """From gradients to new parameters: penalties, clipping, the optimiser's step; in place.

    Args:
        lanes: the settings.
        pieces: changed.
        grads: one for each piece, of its shape; used as scratch space.
        lr_V1: learning rates at this step, (variants, 1).
        number: of this step, from 1, scalar.
    """
    for piece, grad in zip(pieces, grads, strict=True):
        if piece.penalised is not False:
            mask = 1.0 if piece.penalised is True else piece.penalised
            l1 = None if lanes.l1 is None else lanes.l1 * mask
            l2 = None if lanes.l2 is None else lanes.l2 * mask
            add_penalty_(grad, piece.params, l1, l2)
    if lanes.clip_norm is not None:
        clip_by_norm_(grads, lanes.clip_norm)
    method = OPTIMIZERS[lanes.optimizer]
    shared = method.factors(lr=lr_V1, step=number, **lanes.settings)
    for piece, grad in zip(pieces, grads, strict=True):
        method.step_(piece.params, grad, piece.state, **shared)


class BaseProgram(ABC):
    """Parameters, buffers and optimiser state of V members, and the step that moves them.

    Attributes:
        module: lends its forward pass.
        lanes: settings of the members.
        pieces: parameters and optimiser state.
        steps: optimiser steps taken.
    """

    def __init__(self, module: nn.Module, lanes: Lanes) -> None:
        self.module = module
        self.lanes = lanes
        self.key_places = key_places(module)
        self.num_keys = max((place.stop for place in self.key_places.values()), default=0)
        self.pieces: list[Piece] = []
        self.steps = 0

    @property
    def num_members(self) -> int:
        return self.pieces[0].params.shape[0]

    @abstractmethod
    def step(self, x_VBF: Tensor, y_VB: Tensor, keys_VK2: Tensor | None, lr_V: Tensor) -> Tensor:
        """One optimiser step for every member on its own batch; the loss of each before the step, (variants,)."""

    @abstractmethod
    def predict(self, x_NF: Tensor) -> Tensor:
        """Outputs of every member in evaluation mode, (variants, rows, outputs)."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Trainable parameters by name, live, each (variants, ...)."""

    @abstractmethod
    def buffers(self) -> dict[str, Tensor]:
        """Everything else of the module that belongs to a member, by name, live, each (variants, ...)."""

    def tensors(self) -> dict[str, Tensor]:
        """All that training changes, live, each (variants, ...): weights, buffers and whatever state the methods hold."""
        state = {f"state.{i}.{name}": t for i, piece in enumerate(self.pieces) for name, t in piece.state.items()}
        return {**{f"module.{n}": t for n, t in {**self.weights(), **self.buffers()}.items()}, **state}

    def state_dict(self, member: int, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One member's rows of ``tensors`` (weights and buffers by name) as the user's module names them, copied."""
        canonical = _canonical_names(self.module)
        return {n: tensors[canonical[n]][member].detach().cpu().clone() for n in self.module.state_dict()}


class Alone(BaseProgram):
    """One member: its own module, plain autograd. Its parameters are views of one flat piece, which one operation updates.

    Args:
        module: the member's.
        lanes: its settings.
        noise_seed: seeds the global generators anew for every step, for modules that draw from one; None: they do not.
    """

    def __init__(self, module: nn.Module, lanes: Lanes, *, noise_seed: int | None = None) -> None:
        super().__init__(module, lanes)
        self._noise_seed = noise_seed
        named = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self._parameters = list(named.values())
        flat = torch.cat([p.detach().reshape(1, -1) for p in self._parameters], dim=1)
        self._grad = torch.zeros_like(flat)
        sizes = [p.numel() for p in self._parameters]
        for parameter, part, grad in zip(self._parameters, flat[0].split(sizes), self._grad[0].split(sizes), strict=True):
            parameter.data = part.view(parameter.shape)
            parameter.grad = grad.view(parameter.shape)  # backward adds to it in place, so the flat gradient needs no copying
        weights = penalised_names(module)
        marks = [torch.full((p.numel(),), float(n in weights), dtype=flat.dtype, device=flat.device) for n, p in named.items()]
        penalised = torch.cat(marks)
        self.pieces = [Piece(flat, OPTIMIZERS[lanes.optimizer].init(flat), penalised)]
        self._weights = {n: p.detach().unsqueeze(0) for n, p in named.items()}

    def step(self, x_VBF: Tensor, y_VB: Tensor, keys_VK2: Tensor | None, lr_V: Tensor) -> Tensor:
        if not self.module.training:
            self.module.train()
        if keys_VK2 is not None:
            self._lay_keys(keys_VK2[0])
        with self._noise("noise"):
            outputs_BC = run_module(self.module, x_VBF[0], mixed=self.lanes.mixed)
            loss_V = training_loss(self.lanes, outputs_BC.unsqueeze(0), y_VB)
            self._grad.zero_()
            loss_V.backward()
        self.steps += 1
        with torch.no_grad():
            number = torch.full((), float(self.steps), dtype=lr_V.dtype, device=lr_V.device)
            update_(self.lanes, self.pieces, [self._grad], lr_V.unsqueeze(1), number)
        return loss_V.detach()

    def _lay_keys(self, keys_K2: Tensor) -> None:
        noises = keyed_noises(self.module)
        for name, place in self.key_places.items():
            noises[name].key = keys_K2[place]

    def _noise(self, purpose: str) -> AbstractContextManager[None]:
        if self._noise_seed is None:
            return nullcontext()
        return undrawn(derive_seed(self._noise_seed, purpose, self.steps))

    def predict(self, x_NF: Tensor) -> Tensor:
        self.module.eval()
        with torch.no_grad(), self._noise("noise in evaluation"):
            return run_module(self.module, x_NF, mixed=self.lanes.mixed).unsqueeze(0)

    def weights(self) -> dict[str, Tensor]:
        return self._weights

    def buffers(self) -> dict[str, Tensor]:
        frozen = ((n, p) for n, p in self.module.named_parameters() if not p.requires_grad)
        return {n: t.detach().unsqueeze(0) for n, t in [*frozen, *self.module.named_buffers()]}


def run_module(module: nn.Module, x: Tensor, *, mixed: bool, stacked: bool = False) -> Tensor:
    """The outputs of one forward pass, (batch, outputs): a regression may also answer (batch,).

    Args:
        module: in training or evaluation mode.
        x: (batch, *in_shape).
        mixed: run it in bfloat16, from and to float32.
        stacked: it runs under ``vmap``.
    """
    with mixed_precision(x.device, casts_above=stacked or not module.training) if mixed else nullcontext():
        outputs = noisy_forward(module, x)
    if not isinstance(outputs, Tensor):
        raise TypeError(f"the model must return one tensor, got {type(outputs).__name__}")
    outputs = outputs.float() if mixed else outputs
    return outputs.unsqueeze(-1) if outputs.dim() == 1 else outputs


def penalised_names(module: nn.Module) -> set[str]:
    """Parameters that L1 and L2 penalties apply to: those with two axes or more, outside norm layers."""
    in_norms = {id(p) for m in module.modules() if isinstance(m, _NORMS) for p in m.parameters(recurse=False)}
    return {n for n, p in module.named_parameters() if p.dim() >= 2 and id(p) not in in_norms}


def _canonical_names(module: nn.Module) -> dict[str, str]:
    """Every name of a parameter or buffer to the first name of the same tensor: tied weights have one value."""
    first: dict[int, str] = {}
    every = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    return {n: first.setdefault(id(t), n) for n, t in every}
