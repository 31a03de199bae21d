"""The contract of layers that make noise."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from winnow.models import BaseNoise
from winnow.testing._contract import calling, expect
from winnow.testing._fleets import Tiny, check_fleet

__all__ = ["check_noise"]

_SHAPE = (6, 4)


def check_noise(layer: BaseNoise) -> None:
    """Check that a layer keeps the contract of ``BaseNoise``.

    In evaluation it leaves its input as it is; in training it changes it, not in place, to finite
    numbers of the same shape, others at each pass, through which gradients flow. A tiny model with
    the layer in it is trained as a fleet and alone, in double precision.

    Args:
        layer: with settings at which it does something; it is not changed.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> class Flip(BaseNoise):
        ...     def noise(self, x, uniform):
        ...         return torch.where(uniform(*x.shape) < 0.2, -x, x)
        >>> check_noise(Flip())
    """
    name = type(layer).__name__
    expect(isinstance(layer, BaseNoise), f"{name}: expected a subclass of BaseNoise")
    own = copy.deepcopy(layer)
    x = torch.randn(_SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = x.clone()
    with calling(f"{name}: noise"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        expect(torch.equal(own.eval()(x), x), f"{name}: it makes noise in evaluation mode")
        first, second = own.train()(x), own(x)
        _check_numbers(name, x, first)
        expect(torch.equal(x, before), f"{name}: it changes what it is given, in place")
        expect(not torch.equal(first, second), f"{name}: two passes get the same noise")
        leaf = x.clone().requires_grad_()
        own(leaf).sum().backward()
        has_gradient = leaf.grad is not None and bool((leaf.grad != 0).any())
        expect(has_gradient, f"{name}: no gradient flows through it")

    class Noisy(Tiny):
        def __init__(self, in_features: int, out_features: int) -> None:
            super().__init__(in_features, out_features)
            self.noisy = copy.deepcopy(layer).train()

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.noisy(self.norm(self.first(x)).tanh()))

    check_fleet(name, [{}, {}], model=Noisy)


def _check_numbers(name: str, x: Tensor, found: Tensor) -> None:
    fits = found.shape == x.shape and found.dtype == x.dtype
    shape = f"{found.dtype} {tuple(found.shape)}"
    expect(fits, f"{name}: it gives {shape} for {x.dtype} {tuple(x.shape)}")
    expect(bool(torch.isfinite(found).all()), f"{name}: it gives numbers that are not finite")
    expect(not torch.equal(found, x), f"{name}: it makes no noise in training")
