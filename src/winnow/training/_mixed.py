"""Mixed precision: a forward pass in bfloat16 where autocast has it so, from parameters in float32.

``torch.autocast`` casts the arguments of an operation when it is called. Under ``vmap`` it comes
after the batching rules: it casts the matrix products they end in, but not convolutions or
attention, and the biases that the rules add and the weights of norms bring float32 back. So a
stacked pass casts above ``vmap``, by the function that was called, what autocast casts below.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from winnow.training._functional import pass_on

__all__ = ["mixed_precision"]


@contextmanager
def mixed_precision(device: torch.device, *, casts_above: bool) -> Iterator[None]:
    """Run a forward pass in mixed precision, in this thread.

    Args:
        device: that the pass runs on.
        casts_above: whether the pass runs under ``vmap``, or in evaluation mode: PyTorch's fused
            attention for inference fails under autocast on a CPU, and is left alone while something
            looks on.
    """
    with (
        torch.autocast(device.type, dtype=torch.bfloat16),
        _CastAbove() if casts_above else nullcontext(),
    ):
        yield


class _CastAbove(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, _: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _LOWERED:
            return func(*map(_lower, args), **{n: _lower(a) for n, a in kwargs.items()})
        if func in _NORMS:
            x, *rest = args
            return func(x.to(torch.float32), *rest, **kwargs).to(x.dtype)
        return pass_on(self, func, args, kwargs)


def _lower(argument: Any) -> Any:
    return (
        argument.bfloat16()
        if isinstance(argument, Tensor) and argument.dtype == torch.float32
        else argument
    )


# Of autocast's list, those that batching rules take apart or pass by.
_LOWERED = {
    functional.linear,
    functional.conv1d,
    functional.conv2d,
    functional.conv3d,
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
    functional.prelu,
    functional.scaled_dot_product_attention,
    torch.addmm,
    torch.baddbmm,
    torch.prelu,
}
# These take bfloat16 with weights in float32, reckon in float32 and give bfloat16, which the
# batching rules cannot.
_NORMS = {
    functional.batch_norm,
    functional.group_norm,
    functional.instance_norm,
    functional.layer_norm,
}
