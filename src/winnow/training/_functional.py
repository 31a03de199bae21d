"""Noise drawn in calls of ``torch.nn.functional``, taken from keys instead of PyTorch's global
generator.

A ``FunctionalNoise`` is entered around a forward pass. PyTorch then hands it every call of its
functions; those that draw dropout noise are answered by a stand-in that gets its noise from the
``drop`` it was made with, all others pass.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["FunctionalNoise", "pass_on"]

# Of activations, rate, and trailing axes that share their fate
Drop = Callable[[Tensor, float, int | None], Tensor]


class FunctionalNoise(TorchFunctionMode):
    """While it is entered, in this thread: ``dropout``, ``dropout1d`` to ``dropout3d``,
    ``scaled_dot_product_attention`` and ``multi_head_attention_forward`` drop what ``drop`` drops,
    also when ``torch.autograd.backward`` computes them again.

    When not: around what runs without noise; every call of a PyTorch function costs a few
    microseconds more.

    Args:
        drop: called as ``drop(x, rate, spatial)`` for each call that drops with a rate above 0, in
            order.
    """

    def __init__(self, drop: Drop) -> None:
        super().__init__()
        self.drop = drop

    def __torch_function__(
        self, func: Any, _: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        stand_in = _STAND_INS.get(func)
        return (
            pass_on(self, func, args, kwargs or {})
            if stand_in is None
            else stand_in(self, func, *args, **(kwargs or {}))
        )


def _dropout(
    noise: FunctionalNoise,
    own: Any,
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor:
    spatial, axes = _DROPOUTS[own]
    if not training or not 0 < p <= 1 or input.dim() not in axes:
        return own(input, p, training, inplace)  # no noise, or an error of PyTorch's
    dropped = noise.drop(input, p, spatial)
    return input.copy_(dropped) if inplace else dropped


def _native_dropout(
    noise: FunctionalNoise, own: Any, input: Tensor, p: float, train: bool
) -> Tensor:
    return noise.drop(input, p, None) if train and 0 < p <= 1 else own(input, p, train)


def _attend(
    noise: FunctionalNoise,
    own: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return attention as PyTorch documents it, without a fused kernel. A row that may see nothing
    gets zeros.
    """
    if not 0 < dropout_p <= 1:
        return own(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if enable_gqa:
        key, value = (
            t.repeat_interleave(query.shape[-3] // t.shape[-3], dim=-3) for t in (key, value)
        )
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.mT
    if is_causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).triu(1)
        scores = scores.masked_fill(hidden, -torch.inf)
    if attn_mask is None:
        weights = scores.softmax(dim=-1)
    else:
        scores = (
            scores.masked_fill(~attn_mask, -torch.inf)
            if attn_mask.dtype is torch.bool
            else scores + attn_mask
        )
        blind = (scores == -torch.inf).all(dim=-1, keepdim=True)
        weights = scores.masked_fill(blind, 0.0).softmax(dim=-1).masked_fill(blind, 0.0)
    return noise.drop(weights, dropout_p, None) @ value


def pass_on(
    mode: TorchFunctionMode, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Pass a call on as it is. PyTorch leaves a mode while it handles a call; what some functions
    call meets it again.
    """
    if func not in _OPENED:
        return func(*args, **kwargs)
    with mode:
        return _OPENED[func](*args, **kwargs)


def _opened(function: Any) -> Any:
    """Return ``function`` without the question whether a mode wants to handle it, which it asks
    first: handled, it would ask for ever.
    """
    own_globals = {**function.__globals__, "has_torch_function": lambda _: False}
    copy = types.FunctionType(
        function.__code__,
        own_globals,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


_OPENED = {
    f: _opened(f) for f in (functional.multi_head_attention_forward, torch.autograd.backward)
}
# Trailing axes that share their fate (see MemberDropout), and the numbers of axes that PyTorch
# takes.
_DROPOUTS: dict[Any, tuple[int | None, range]] = {
    functional.dropout: (None, range(65)),
    functional.dropout1d: (1, range(2, 4)),
    functional.dropout2d: (2, range(2, 65)),
    functional.dropout3d: (3, range(1, 65)),
}
_STAND_INS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(_DROPOUTS, _dropout),
    torch.dropout: _native_dropout,
    functional.scaled_dot_product_attention: _attend,
}
