"""The contract of layers that make noise in training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["BaseNoise", "Uniform"]

Uniform = Callable[..., Tensor]


class BaseNoise(nn.Module):
    """A layer of the user's own that makes noise in training, and none in evaluation.

    A layer that draws from ``torch.rand`` gets other numbers in every fleet, so its members train
    alone. This one is given its numbers: in winnow's training they are a function of the member's
    seed, the step, the layer and the element, and so the same alone and in any fleet. In a plain
    PyTorch loop they come from PyTorch's generator.

    ``nn.Dropout`` and its kin, ``F.dropout`` and attention's dropout need none of this: they are
    known.

    Example:
        >>> class GaussianNoise(BaseNoise):
        ...     def __init__(self, sd: float) -> None:
        ...         super().__init__()
        ...         self.sd = sd
        ...
        ...     def noise(self, x, uniform):
        ...         return x + self.sd * 2**0.5 * torch.erfinv(2 * uniform(*x.shape) - 1)
        >>> layer = GaussianNoise(0.1)
        >>> bool((layer(torch.zeros(3)) != 0).all()), layer.eval()(torch.zeros(3)).tolist()
        (True, [0.0, 0.0, 0.0])
    """

    @abstractmethod
    def noise(self, x: Tensor, uniform: Uniform) -> Tensor:
        """Return what becomes of ``x`` in training.

        Args:
            x: of one member, (batch, ...).
            uniform: ``uniform(*shape)`` gives numbers in (0, 1) of the type of ``x``, others at
                each call. It is called equally often in every pass.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with noise in training, and as it is in evaluation."""
        if not self.training:
            return x
        draws = getattr(self, "draws", None)  # the driver's, once it has seen the layer
        if draws is None:
            return self.noise(x, lambda *shape: _drawn(shape, x))
        return self.noise(x, lambda *shape: draws(shape, x))


def _drawn(shape: tuple[int, ...], x: Tensor) -> Tensor:
    """Return numbers of PyTorch's generator, of which 0 is one, in (0, 1)."""
    found = torch.rand(shape, dtype=x.dtype, device=x.device)
    return found.clamp_(min=torch.finfo(x.dtype).eps / 4)
