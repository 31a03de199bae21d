"""Dropout whose rate and noise are data: the rate may differ between members, the mask depends on the member alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from winnow.errors import ModelError
from winnow.methods import drop_threshold, dropout_keep

__all__ = ["LaneDropout", "lane_dropouts", "rehearse", "replace_dropout"]

# How many leading axes of the activations get noise of their own; the others share it (whole channels are dropped).
_OWN_AXES: dict[type[nn.Module], int | None] = {nn.Dropout: None, nn.Dropout1d: 2, nn.Dropout2d: 2, nn.Dropout3d: 2}


class LaneDropout(nn.Module):
    """Stands for ``nn.Dropout`` and its channel-wise kin. Rate and noise keys are buffers, so that they travel through
    ``functional_call`` with a leading V.

    A layer that is called several times in one forward pass gets a key for each call.
    """

    key: Tensor
    threshold: Tensor
    scale: Tensor

    def __init__(self, rate: float, own_axes: int | None) -> None:
        super().__init__()
        self.rate = rate
        self.own_axes = own_axes
        self.active = rate > 0
        self.num_calls = 1
        self.call = 0
        self.register_buffer("key", torch.zeros(1, 2, dtype=torch.int32), persistent=False)
        self.register_buffer("threshold", torch.zeros((), dtype=torch.int32), persistent=False)
        self.register_buffer("scale", torch.ones(()), persistent=False)
        self.set_rate(rate)

    def set_rate(self, rate: float) -> None:
        """Drop each element with probability ``rate`` in [0, 1]; at 1 everything is dropped."""
        self.rate = rate
        self.active = rate > 0
        self.threshold.fill_(min(drop_threshold(rate), 2**31 - 1))
        self.scale.fill_(1 / (1 - rate) if rate < 1 else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.active:
            return x
        key = self.key[self.call]
        self.call = (self.call + 1) % self.num_calls  # back at 0 after each pass, so a compiled step sees one value
        shape = x.shape if self.own_axes is None else torch.Size([*x.shape[: self.own_axes], *[1] * (x.dim() - self.own_axes)])
        return torch.where(dropout_keep(shape, key, self.threshold), x * self.scale, 0.0)


def replace_dropout(module: nn.Module, rate: float | None) -> nn.Module:
    """Put a ``LaneDropout`` in the place of every dropout layer, in place; ``rate`` None keeps each layer's own rate."""
    replaced: dict[int, LaneDropout] = {}  # one layer used under two names stays one layer
    for name, child in list(module.named_modules(remove_duplicate=False)):
        if type(child) in _OWN_AXES:
            if id(child) not in replaced:
                own: Any = child
                replaced[id(child)] = LaneDropout(own.p if rate is None else rate, _OWN_AXES[type(child)])
            parent, _, attribute = name.rpartition(".")
            setattr(module.get_submodule(parent), attribute, replaced[id(child)])
    return module


def lane_dropouts(module: nn.Module) -> dict[str, LaneDropout]:
    """The replaced layers by dotted name."""
    return {name: m for name, m in module.named_modules() if isinstance(m, LaneDropout)}


def rehearse(module: nn.Module, x: Tensor) -> bool:
    """Run one small batch in training mode, to learn what a pass does: every dropout layer gets as many keys as it is called
    times. Buffers and PyTorch's generator stay as they were.

    Returns:
        Whether the pass draws from PyTorch's global generator, as noise that is not a dropout layer does.

    Raises:
        ModelError: the forward pass fails.
    """
    layers = lane_dropouts(module)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    calls = dict.fromkeys(layers, 0)

    def counter(name: str) -> Any:
        def hook(*_: Any) -> None:
            calls[name] += 1

        return hook

    handles = [layer.register_forward_hook(counter(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            generator = torch.get_rng_state()
            module.train()(x)
            draws = not torch.equal(generator, torch.get_rng_state())
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ModelError(f"the model fails in training mode on a batch of shape {tuple(x.shape)}: {what}") from error
    finally:
        for handle in handles:
            handle.remove()
        for name, buffer in module.named_buffers():
            buffer.copy_(before[name])
    for name, layer in layers.items():
        layer.num_calls, layer.call = max(calls[name], 1), 0
        layer.key = torch.zeros(layer.num_calls, 2, dtype=torch.int32)
    return draws
