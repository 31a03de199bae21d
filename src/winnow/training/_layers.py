"""Layers that stack well: the same parameters, names, arguments and mathematics as PyTorch's, in
operations that suit ``vmap``.

``nn.LSTM``, ``nn.GRU`` and ``nn.RNN`` run one fused kernel, for which ``vmap`` has no rule, and
draw the dropout between layers from the global generator, as ``nn.MultiheadAttention`` does that of
its weights. ``nn.Linear`` has a rule, but the gradient of its weight comes out transposed, and
turning it round costs more than the rest of the update. Axes: B batch, T time, F features, H
hidden, G gates times hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from winnow.models import BaseNoise
from winnow.training._dropout import KeyedUniform, MemberDropout
from winnow.training._functional import FunctionalNoise

__all__ = ["free_noise", "make_stackable"]

Cell = Callable[[Tensor, Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]


def _lstm_cell(into_BG: Tensor, back_BG: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    i, f, g, o = (into_BG + back_BG).chunk(4, dim=-1)
    c_BH = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * c_BH.tanh(), c_BH


def _gru_cell(into_BG: Tensor, back_BG: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    ri, zi, ni = into_BG.chunk(3, dim=-1)
    rh, zh, nh = back_BG.chunk(3, dim=-1)
    z_BH = (zi + zh).sigmoid()
    n_BH = (ni + (ri + rh).sigmoid() * nh).tanh()
    return (n_BH + z_BH * (state[0] - n_BH),)


def _tanh_cell(into_BG: Tensor, back_BG: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return ((into_BG + back_BG).tanh(),)


def _relu_cell(into_BG: Tensor, back_BG: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return ((into_BG + back_BG).relu(),)


_CELLS: dict[str, Cell] = {
    "LSTM": _lstm_cell,
    "GRU": _gru_cell,
    "RNN_TANH": _tanh_cell,
    "RNN_RELU": _relu_cell,
}


class _StackableLinear(nn.Linear):
    """``(W x.T).T``: the gradient of ``W`` is then a product whose result lies as ``W`` does."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 2:
            return super().forward(x)
        y_NF = (self.weight @ x.flatten(0, -2).mT).mT
        y = y_NF.unflatten(0, x.shape[:-1])
        # Of a lower precision under autocast
        return y if self.bias is None else y + self.bias.to(y.dtype)


class _StackableAttention(nn.MultiheadAttention):
    """Drops attention weights by a layer within it, ``drop``, so that rate and noise are data."""

    @property
    def dropout(self) -> float:
        """What PyTorch's code asks: above 0 when there is noise. The rate is the layer's."""
        return float(self.training and self._drop.active)

    @property
    def _drop(self) -> MemberDropout:
        drop = self.get_submodule("drop")
        assert isinstance(drop, MemberDropout)
        return drop

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        if not self.dropout:
            return super().forward(*args, **kwargs)
        with FunctionalNoise(lambda weights, *_: self._drop(weights)):
            return super().forward(*args, **kwargs)


class _Stackable(nn.RNNBase):
    """Mixed in before the layer's own class."""

    def forward(self, x: Any, hx: Any = None) -> Any:
        if isinstance(x, PackedSequence) or x.dim() != 3 or self.proj_size:
            raise NotImplementedError(
                "packed or unbatched sequences and projections in recurrent layers"
            )
        x_BTF = x if self.batch_first else x.transpose(0, 1)
        directions = 2 if self.bidirectional else 1
        parts = 2 if self.mode == "LSTM" else 1
        first = x_BTF.new_zeros(self.num_layers * directions, x_BTF.shape[0], self.hidden_size)
        starts = (first,) * parts if hx is None else hx if parts == 2 else (hx,)
        finals = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                at = layer * directions + direction
                y_BTH, last = self._scan(
                    x_BTF, tuple(s[at] for s in starts), layer, reverse=direction == 1
                )
                outputs.append(y_BTH)
                finals.append(last)
            x_BTF = torch.cat(outputs, dim=-1) if directions == 2 else outputs[0]
            if layer + 1 < self.num_layers and "between" in self._modules:
                x_BTF = self.get_submodule("between")(x_BTF)
        states = tuple(torch.stack([f[p] for f in finals]) for p in range(parts))
        return (x_BTF if self.batch_first else x_BTF.transpose(0, 1)), (
            states if parts == 2 else states[0]
        )

    def _scan(
        self, x_BTF: Tensor, state: tuple[Tensor, ...], layer: int, *, reverse: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        tail = f"l{layer}" + ("_reverse" if reverse else "")
        bias_ih, bias_hh = (
            getattr(self, f"bias_{n}_{tail}") if self.bias else None for n in ("ih", "hh")
        )
        w_hh = getattr(self, f"weight_hh_{tail}")
        cell = _CELLS[self.mode]
        # the inputs of all steps go through their matrix at once; only the recurrence is a loop
        into_BTG = nn.functional.linear(x_BTF, getattr(self, f"weight_ih_{tail}"), bias_ih)
        steps = range(x_BTF.shape[1])
        outputs = []
        for t in reversed(steps) if reverse else steps:
            state = cell(into_BTG[:, t], nn.functional.linear(state[0], w_hh, bias_hh), state)
            outputs.append(state[0])
        return torch.stack(outputs[::-1] if reverse else outputs, dim=1), state


class _StackableLSTM(_Stackable, nn.LSTM):
    pass


class _StackableGRU(_Stackable, nn.GRU):
    pass


class _StackableRNN(_Stackable, nn.RNN):
    pass


_RECURRENT: dict[type[nn.Module], type[nn.Module]] = {
    nn.LSTM: _StackableLSTM,
    nn.GRU: _StackableGRU,
    nn.RNN: _StackableRNN,
}
_STACKABLE: dict[type[nn.Module], type[nn.Module]] = {nn.Linear: _StackableLinear, **_RECURRENT}


def make_stackable(module: nn.Module) -> nn.Module:
    """Turn layers of ``module`` into their stackable kin, in place; parameters and their names
    stay.
    """
    for layer in list(module.modules()):
        if type(layer) in _STACKABLE:
            layer.__class__ = _STACKABLE[type(layer)]
    return module


def free_noise(module: nn.Module, rate: float | None = None) -> nn.Module:
    """Turn layers of ``module`` that drop something within into kin that do so by a
    ``MemberDropout``, in place; for fleets of one, too. Parameters and their names stay. Layers of
    the user's own that make noise are given a source of numbers.

    Args:
        module: changed.
        rate: of those layers that drop anything; None: the layer's.
    """
    layer: Any
    for layer in list(module.modules()):
        if type(layer) is nn.MultiheadAttention:
            own = vars(layer).pop("dropout")
            layer.__class__ = _StackableAttention
            layer.add_module("drop", MemberDropout(own if rate is None or not own else rate))
        elif type(layer) in _RECURRENT and layer.dropout > 0 and layer.num_layers > 1:
            layer.__class__ = _RECURRENT[type(layer)]
            layer.add_module("between", MemberDropout(layer.dropout if rate is None else rate))
            layer.dropout = 0.0
        elif isinstance(layer, BaseNoise):
            layer.add_module("draws", KeyedUniform())
    return module
