"""Noise that is no dropout layer of its own: in attention, and in calls of
``torch.nn.functional``.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from tests.training import architectures
from tests.training.test_fleet import DATA, same, variant
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from winnow.data import PreparedData, prepare
from winnow.recipe import Model
from winnow.training import probe, train_fleet
from winnow.training._dropout import (
    CALLS,
    MemberDropout,
    dry_run,
    key_places,
    keyed_noises,
    noisy_forward,
    replace_dropout,
)
from winnow.training._functional import FunctionalNoise
from winnow.training._layers import free_noise
from winnow.training._noise import drop_threshold, dropout_keep, noise_keys


@pytest.fixture(scope="module")
def prepared() -> PreparedData:
    return prepare(DATA)


def ready(module: nn.Module, x: Tensor, *, seed: int = 0, step: int = 0) -> nn.Module:
    """Its noise replaced, tried, and the keys of one step laid."""
    assert not dry_run(free_noise(replace_dropout(module, None)), x)
    places, noises = key_places(module), keyed_noises(module)
    keys = torch.from_numpy(
        noise_keys([seed], max(p.stop for p in places.values()), range(step, step + 1))
    )[0, 0]
    for name, place in places.items():
        noises[name].key = keys[place]
    return module.train()


def within_binomial(kept: Tensor, keep: float) -> None:
    """The fraction of ``kept``, a truth for each independent draw, lies within five standard
    deviations of ``keep``.
    """
    assert abs(float(kept.double().mean()) - keep) < 5 * math.sqrt(keep * (1 - keep) / kept.numel())


class Calls(nn.Module):
    """Gives what functions make of ones, side by side."""

    def __init__(self, *functions: Any) -> None:
        super().__init__()
        self.functions = functions

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([f(torch.ones_like(x), self.training) for f in self.functions])


RATES = (0.1, 0.5, 0.8)


def test_functions_drop_at_their_rates_and_each_call_its_own_elements() -> None:
    x = torch.ones(100, 400)
    functions = [
        lambda x, training, p=p: functional.dropout(x, p, training) for p in (*RATES, *RATES)
    ]
    module = ready(Calls(*functions), x)
    found = noisy_forward(module, x)
    for call, rate in zip(found, (*RATES, *RATES), strict=True):
        assert set(call.unique().tolist()) == {
            0.0,
            float(torch.tensor(2**16 / (2**16 - round(rate * 2**16)))),
        }
        within_binomial(call > 0, 1 - rate)
    # The same rate twice: as often both as independence has it
    for a, b in zip(found[:3], found[3:], strict=True):
        keep = float((a > 0).double().mean() * (b > 0).double().mean())
        within_binomial((a > 0) & (b > 0), keep)
    assert torch.equal(noisy_forward(module, x), found)  # of the same step: a function of the keys
    assert not torch.equal(noisy_forward(ready(module, x, step=1), x), found)
    assert torch.equal(noisy_forward(module.eval(), x), torch.ones(6, 100, 400))


@pytest.mark.parametrize(
    ("name", "shape", "own"),
    [
        ("dropout1d", (40, 50, 7), 2),
        ("dropout1d", (600, 7), 1),
        ("dropout2d", (40, 50, 3, 4), 2),
        ("dropout2d", (40, 50, 4), 2),
        ("dropout3d", (40, 50, 2, 2, 2), 2),
        ("dropout3d", (600, 2, 2, 2), 1),
    ],
)
@pytest.mark.filterwarnings("ignore:dropout2d")
def test_whole_channels_are_dropped_where_pytorch_drops_them(
    name: str, shape: tuple[int, ...], own: int
) -> None:
    def shares_fate(y: Tensor, axes: int) -> bool:
        channels = y.flatten(axes)
        return bool((channels == channels[..., :1]).all())

    torch.manual_seed(0)
    theirs = getattr(functional, name)(torch.ones(shape), 0.3)
    assert shares_fate(theirs, own)
    assert not shares_fate(theirs, own - 1)
    layer = getattr(nn, f"Dropout{name[-2:]}")(0.3)
    for module in (
        Calls(lambda x, training: getattr(functional, name)(x, 0.3, training)),
        nn.Sequential(layer),
    ):
        x = torch.ones(shape)
        ours = noisy_forward(ready(module, x), x).reshape(shape)
        assert shares_fate(ours, own)
        within_binomial(ours.flatten(own)[..., 0] > 0, 0.7)


def test_in_place_dropout_changes_its_argument() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = x + 0
            functional.dropout(h, 0.5, self.training, inplace=True)
            return h

    x = torch.ones(8, 50)
    within_binomial(noisy_forward(ready(InPlace(), x), x) > 0, 0.5)


ATTENTION: list[dict[str, Any]] = [
    {},
    {"is_causal": True},
    {"scale": 0.3},
    {
        "attn_mask": torch.randn(
            5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
        )
    },
    {"attn_mask": torch.arange(35).view(5, 7) % 3 > 0},
    {"attn_mask": torch.arange(35).view(5, 7) >= 14},  # two rows see nothing
    {"enable_gqa": True},
]


@pytest.mark.parametrize("options", ATTENTION, ids=lambda o: "-".join(o) or "plain")
@pytest.mark.filterwarnings("ignore:Dropout mask should only be used for testing")
def test_attention_with_dropout_is_pytorchs_with_that_mask(options: dict[str, Any]) -> None:
    """PyTorch's own mathematics takes a mask of what to keep; values and gradients."""
    rng = torch.Generator().manual_seed(0)
    heads = 2 if options.get("enable_gqa") else 4
    query, key, value = (
        torch.randn(3, h, n, 6, dtype=torch.float64, generator=rng, requires_grad=True)
        for h, n in ((4, 5), (heads, 7), (heads, 7))
    )
    noise_key = torch.tensor([123, -456], dtype=torch.int32)
    keep = dropout_keep(torch.Size([3, 4, 5, 7]), noise_key, drop_threshold(0.25))
    scene = FunctionalNoise(lambda weights, rate, _: torch.where(keep, weights / (1 - rate), 0.0))
    with scene:
        found = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=0.25, **options
        )
    # Which PyTorch turns into numbers before
    if "attn_mask" in options and options["attn_mask"].dtype is torch.bool:
        options = {
            "attn_mask": torch.zeros(5, 7, dtype=torch.float64).masked_fill(
                ~options["attn_mask"], -math.inf
            )
        }
    expected, _ = torch.ops.aten._scaled_dot_product_attention_math(
        query, key, value, dropout_p=0.25, dropout_mask=keep, **options
    )
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for a, b in zip(
        *(torch.autograd.grad(y.square().sum(), (query, key, value)) for y in (found, expected)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    with scene:  # no rate, no noise, and PyTorch's own code
        plain = functional.scaled_dot_product_attention(query, key, value, **options)
    torch.testing.assert_close(
        plain, functional.scaled_dot_product_attention(query, key, value, **options)
    )


def test_attention_layers_drop_their_weights_at_the_rate() -> None:
    torch.manual_seed(0)
    x = torch.randn(20, 8, 10)
    own = nn.MultiheadAttention(10, 5, dropout=0.3, batch_first=True)

    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = copy.deepcopy(own)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x, average_attn_weights=False)[1]

    whole = own.eval()(x, x, x, average_attn_weights=False)[1].detach()
    module = ready(Weights(), x)
    dropped = noisy_forward(module, x).detach()
    within_binomial(dropped > 0, 0.7)
    torch.testing.assert_close(
        dropped, torch.where(dropped > 0, whole / 0.7, 0.0), rtol=2**-16, atol=0
    )
    assert set(module.state_dict()) == set(Weights().state_dict())
    torch.testing.assert_close(noisy_forward(module.eval(), x), whole)


@pytest.mark.parametrize(
    ("own", "asked", "expected"),
    [(0.2, None, 0.2), (0.2, 0.5, 0.5), (0.2, 0.0, 0.0), (0.0, 0.5, 0.0)],
)
def test_the_recipes_rate_holds_in_attention_that_drops(
    own: float, asked: float | None, expected: float
) -> None:
    layer = free_noise(nn.MultiheadAttention(4, 2, dropout=own), asked)
    drop = keyed_noises(layer)["drop"]
    assert isinstance(drop, MemberDropout)
    assert int(drop.threshold) == drop_threshold(expected)
    assert drop.active == (expected > 0)


def test_a_rate_of_attention_is_a_lane_setting(prepared: PreparedData) -> None:
    """Members of different rates, one of them 0, and one for which the recipe sets the rate,
    share a fleet.
    """

    def model(rate: float) -> Model:
        return Model(architectures.Transformer, dropout=rate)

    variants = [variant(model(rate), seed=i) for i, rate in enumerate((0.0, 0.1, 0.4))]
    variants.append(variant(model(0.2), seed=3, dropout=0.3))
    fleet = train_fleet(variants, prepared)
    assert fleet[0].outcome.fleet == "stacked x 4"
    for together, one in zip(fleet, variants, strict=True):
        same(together, train_fleet([one], prepared)[0])
    assert set(fleet[0].weights or {}) == set(architectures.Transformer().state_dict())


class TwoRates(nn.Module):
    def __init__(self, first: float, second: float) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Dropout(first), nn.Dropout(second), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.second(self.first(x) + x))


def test_a_layer_keeps_its_noise_where_another_is_off(prepared: PreparedData) -> None:
    variants = [
        variant(Model(TwoRates, first=a, second=b), seed=i)
        for i, (a, b) in enumerate(((0.0, 0.5), (0.5, 0.5), (0.3, 0.0)))
    ]
    for together, one in zip(train_fleet(variants, prepared), variants, strict=True):
        same(together, train_fleet([one], prepared)[0])


def test_validation_sees_no_noise(prepared: PreparedData) -> None:
    one = variant(architectures.Functional, epochs=1)
    finished = train_fleet([one, one.model_copy(update={"seed": 1})], prepared)[0]
    module = architectures.Functional().double().eval()
    module.load_state_dict(finished.weights or {})
    x, y = prepared.tensors("validation", torch.float64)
    with torch.no_grad():
        expected = functional.cross_entropy(module(x), y).item()
    np.testing.assert_allclose(finished.outcome.curves["validation_loss"], [expected], rtol=1e-12)


def test_functional_noise_under_activation_checkpointing_stays_pytorchs(
    prepared: PreparedData,
) -> None:
    """The backward pass makes the calls again, in another order: the model trains alone, and
    its gradients are right.
    """

    class Recomputing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.out = nn.Linear(12, 12), nn.Linear(12, 3)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(2):
                x = checkpoint(
                    lambda x: functional.dropout(self.body(x), 0.5, self.training),
                    x,
                    use_reentrant=False,
                )
            return self.out(x)

    one = variant(Model(use=Recomputing))
    module = Recomputing().double()
    x, _ = prepared.tensors("train", torch.float64)
    assert dry_run(replace_dropout(module, None), x[:4])
    assert not keyed_noises(module)[CALLS].active
    assert "global generator" in (probe(one, prepared).reason or "")
    same(train_fleet([one], prepared)[0], train_fleet([one], prepared)[0], 0.0)


def test_noise_goes_on_over_steps_as_it_does_alone_when_members_leave(
    prepared: PreparedData,
) -> None:
    variants = [variant(architectures.Functional, seed=i, epochs=2 + i) for i in range(3)]
    for together, one in zip(train_fleet(variants, prepared), variants, strict=True):
        same(together, train_fleet([one], prepared)[0])
