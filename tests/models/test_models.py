"""Building, checking and switching off, on ready models and on modules the project does not
know.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.training import architectures
from torch import Tensor, nn

from winnow.errors import ModelError
from winnow.models import (
    build,
    check_output,
    gives_probabilities,
    model_digest,
    module_names,
    switch_off,
)
from winnow.recipe import Model


def make(model: Any, shape: tuple[int, ...] = (12,), outputs: int = 3, seed: int = 0) -> nn.Module:
    return build(
        model if isinstance(model, Model) else Model(model),
        in_shape=shape,
        out_features=outputs,
        seed=seed,
    )


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_mlp_has_the_size_it_says() -> None:
    module = make(Model("mlp", width=128, depth=2), shape=(64,), outputs=10)
    assert count(module) == 64 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10
    assert module(torch.zeros(5, 64)).shape == (5, 10)
    assert make(Model("mlp"), shape=(1, 8, 8), outputs=10)(torch.zeros(5, 1, 8, 8)).shape == (5, 10)


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "silu"])
def test_mlp_takes_its_arguments(norm: str, activation: str) -> None:
    module = make(Model("mlp", width=16, depth=3, norm=norm, activation=activation, residual=True))
    check_output(module, in_shape=(12,), out_features=3, task="classification")
    block = module.get_submodule("block2")
    x = torch.randn(4, 16)
    module.eval()
    plain = block.get_submodule("activation")(
        block.get_submodule("norm")(block.get_submodule("linear")(x))
    )
    torch.testing.assert_close(block(x), x + plain)


def test_convnet_has_the_size_it_says() -> None:
    module = make(Model("convnet", channels=4, depth=2, width=8), shape=(1, 8, 8), outputs=10)
    convolutions = (4 * 9 + 4 + 2 * 4) + (8 * 4 * 9 + 8 + 2 * 8)
    assert count(module) == convolutions + (8 * 2 * 2 * 8 + 8) + (8 * 10 + 10)
    assert module(torch.zeros(5, 1, 8, 8)).shape == (5, 10)


@pytest.mark.parametrize(
    ("shape", "depth", "message"),
    [
        (
            (64,),
            2,
            r"convnet needs rows of shape \(channels, height, width\), got \(64,\): set data.shape",
        ),
        ((1, 8, 8), 4, "leaves none"),
    ],
)
def test_convnet_refuses_what_is_no_image(shape: tuple[int, ...], depth: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make(Model("convnet", depth=depth), shape=shape)


def test_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, again, other = make("mlp", seed=1), make("mlp", seed=1), make("mlp", seed=2)
    assert torch.equal(torch.rand(2), expected)
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)
    )
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


class Sized(nn.Module):
    def __init__(self, in_features: int, num_classes: int, width: int = 4) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(in_features, width), nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


def test_sizes_are_offered_to_those_that_ask() -> None:
    assert count(make(Model(Sized, width=7))) == 12 * 7 + 7 + 7 * 3 + 3
    assert (
        count(make(Model(Sized, width=7, in_features=12, num_classes=5))) == 12 * 7 + 7 + 7 * 5 + 5
    )
    assert make(Model(use="tests.models.test_models:Sized"))(torch.zeros(2, 12)).shape == (2, 3)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model(Sized, widht=3), "takes no argument 'widht' - did you mean 'width'"),
        (Model(Sized, width=-3), "could not be built with"),
        (Model(lambda: 3), "expected a torch.nn.Module, got int"),
        (Model("tests.models.test_models:Sizd"), "has no 'Sizd' - did you mean 'Sized'"),
        (Model("tests.models.nowhere:Net"), "^model.use: cannot import 'tests.models.nowhere'"),
    ],
)
def test_what_cannot_be_built_is_refused(model: Model, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(model)


@pytest.mark.parametrize(
    ("module", "task", "message"),
    [
        (
            nn.Linear(12, 4),
            "classification",
            r"does not fit the 3 classes: expected \(batch, 3\), got \(batch, 4\)",
        ),
        (nn.Linear(12, 2), "regression", r"expected \(batch, 1\), got \(batch, 2\)"),
        (nn.Linear(11, 3), "classification", r"fails on a batch of shape \(2, 12\)"),
        (
            nn.LSTM(12, 4),
            "classification",
            r"main output \(`logits` or the first of 0, 1.0, 1.1\) does not fit the 3 classes",
        ),
    ],
)
def test_an_output_that_does_not_fit_is_refused(module: nn.Module, task: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_output(module, in_shape=(12,), out_features=3, task=task)


class OnlyPredicts(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise RuntimeError("no such thing as training")
        return super().forward(x)


class Detached(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            OnlyPredicts(12, 3),
            r"fails in training mode on a batch of shape \(2, 12\).*: RuntimeError: no such "
            r"thing as training",
        ),
        (
            Detached(12, 3),
            "cannot be trained: no parameter that takes gradients has a part in its output",
        ),
        (nn.Linear(12, 3).requires_grad_(False), "cannot be trained"),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_output(module, in_shape=(12,), out_features=3, task="classification")


def test_trying_a_model_leaves_it_and_the_generator_as_they_were() -> None:
    module = nn.Sequential(nn.BatchNorm1d(12), nn.Dropout(0.5), nn.Linear(12, 3)).eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = torch.get_rng_state()

    check_output(module, in_shape=(12,), out_features=3, task="classification")

    assert not module.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_one_output_for_two_classes_says_so() -> None:
    with pytest.raises(ModelError, match="two classes need two outputs"):
        check_output(nn.Linear(12, 1), in_shape=(12,), out_features=2, task="classification")


def test_a_module_of_one_shape_becomes_the_identity() -> None:
    torch.manual_seed(0)
    module = make(architectures.Normed, seed=4).eval()
    x = torch.randn(5, 12)
    expected_inputs = torch.cat([module.left(x).relu(), module.right(x).tanh()], dim=1)
    switch_off(module, ("norm",), in_shape=(12,))
    torch.testing.assert_close(
        module(x), module.out(expected_inputs + module.layer(expected_inputs))
    )


def test_a_module_of_two_shapes_becomes_zero() -> None:
    module = make(Model(architectures.Normed, without=("left",)), seed=4).eval()
    whole = make(architectures.Normed, seed=4).eval()
    with torch.no_grad():
        whole.left.weight.zero_()
        whole.left.bias.zero_()
    x = torch.randn(5, 12)
    torch.testing.assert_close(module(x), whole(x))
    assert count(module) == count(whole) - (12 * 8 + 8)


def test_a_module_that_gives_a_tuple_becomes_zeros_of_its_structure() -> None:
    module = make(Model(architectures.Recurrent, without=("rnn",)), seed=4).eval()
    out = module(torch.randn(5, 12))
    torch.testing.assert_close(out, module.out(module.norm(torch.zeros(5, 8))))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nrom", "has no module 'nrom' - did you mean 'norm'"),
        ("unused", "'unused' cannot be switched off: the model's forward pass never"),
    ],
)
def test_what_cannot_be_switched_off_is_refused(name: str, message: str) -> None:
    class Spare(architectures.Normed):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Linear(2, 2)

    with pytest.raises(ModelError, match=message):
        make(Model(Spare, without=(name,)))


def test_names_and_digests() -> None:
    assert module_names(make("mlp"))[:3] == ["block1", "block1.linear", "block1.norm"]
    assert (
        model_digest(Model("mlp")) != model_digest(Model("convnet")) != model_digest(Model(Sized))
    )
    assert model_digest(Model(Sized)) == model_digest(Model("tests.models.test_models:Sized"))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1)), True),
        (nn.Linear(4, 3), False),
        # Cross-entropy of these is what is meant
        (nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=1)), False),
        (nn.Sequential(nn.Linear(4, 3), nn.Sigmoid()), False),
    ],
)
def test_outputs_that_look_like_probabilities(module: nn.Module, expected: bool) -> None:
    module.train()
    before = torch.get_rng_state()

    assert gives_probabilities(module, in_shape=(4,), out_features=3) is expected
    assert module.training
    assert torch.equal(torch.get_rng_state(), before)
