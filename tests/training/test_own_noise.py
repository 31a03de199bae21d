"""Noise layers of the user's own: distribution, independence, fleets."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from winnow.models import BaseNoise
from winnow.testing import check_noise
from winnow.training._augment import _Draws
from winnow.training._dropout import dry_run, keyed_noises, replace_dropout
from winnow.training._layers import free_noise
from winnow.training._noise import noise_keys, uniforms


class GaussianNoise(BaseNoise):
    def noise(self, x: Tensor, uniform: object) -> Tensor:
        return x + 2**0.5 * torch.erfinv(2 * uniform(*x.shape) - 1)  # type: ignore[operator]


class Twice(BaseNoise):
    """Draws two numbers for each element."""

    def noise(self, x: Tensor, uniform: object) -> Tensor:
        return x * uniform(*x.shape) + uniform(*x.shape)  # type: ignore[operator]


def drawn(layer: BaseNoise, x: Tensor, seed: int = 0, step: int = 0) -> Tensor:
    """What the driver lets the layer make of ``x``."""
    free_noise(replace_dropout(layer, None))
    dry_run(layer, x)
    (name, noise), *_ = [(n, m) for n, m in keyed_noises(layer).items() if m.num_calls]
    keys = noise_keys([seed], noise.num_calls, range(step, step + 1))
    noise.key = torch.from_numpy(keys)[0, 0]
    assert name == "draws"
    return layer.train()(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_numbers_are_normal_and_finite(dtype: torch.dtype) -> None:
    found = drawn(GaussianNoise(), torch.zeros(500, 400, dtype=dtype))
    assert found.dtype == dtype
    assert bool(torch.isfinite(found).all())
    assert scipy.stats.kstest(found.double().flatten().numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_normal_numbers_are_finite_where_the_uniform_ones_are_outermost(dtype: torch.dtype) -> None:
    """Alone, as augmentations draw them, and from PyTorch's generator, which also gives 0."""
    assert bool(torch.isfinite(drawn(GaussianNoise(), torch.zeros(20_000, dtype=dtype))).all())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert bool(torch.isfinite(GaussianNoise()(torch.zeros(20_000, dtype=dtype))).all())
    # Found by trying: one number below 2 ** -26 at the end, and one above 1 - 2 ** -25
    for key, size in ((110_866, 3_562_718), (39_595, 286_141)):
        keys = torch.tensor([[key, 12_345]], dtype=torch.int32)
        outermost = uniforms(keys, size, call=1)[0, -1]
        assert outermost < 2**-26 or outermost > 1 - 2**-25
        numbers = _Draws(keys, dtype)(size)[0, -100:]
        assert bool((2 * numbers - 1).float().erfinv().isfinite().all())


def test_calls_steps_and_seeds_are_independent() -> None:
    ones, zeros = (f(4000, dtype=torch.float64) for f in (torch.ones, torch.zeros))
    columns = [
        (drawn(Twice(), ones) - drawn(Twice(), zeros)).numpy(),  # the first call
        drawn(Twice(), zeros).numpy(),  # the second
        drawn(Twice(), zeros, step=1).numpy(),
        drawn(Twice(), zeros, seed=1).numpy(),
    ]
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 4.5 / np.sqrt(4000)


@pytest.mark.parametrize("layer", [GaussianNoise(), Twice()])
def test_fleets_equal_solo_runs(layer: BaseNoise) -> None:
    check_noise(layer)


class Idle(BaseNoise):
    def noise(self, x: Tensor, uniform: object) -> Tensor:
        return x


class Always(BaseNoise):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)

    noise = forward  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("layer", "message"), [(Idle(), "makes no noise"), (Always(), "in evaluation mode")]
)
def test_a_layer_that_breaks_the_contract_is_told(layer: BaseNoise, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_noise(layer)
