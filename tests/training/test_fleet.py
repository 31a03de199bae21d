"""The fleet's contract: a member gets what it would get alone, and alone it gets what a
hand-written PyTorch loop gives.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from tests.training import architectures
from torch import Tensor, nn

from winnow.data import PreparedData, prepare
from winnow.methods import SGD, AdamW, Constant, Cosine, OneCycle
from winnow.models import build
from winnow.recipe import Data, EarlyStopping, Model, Train, Variant, derive_seed
from winnow.training import MemberResult, _runners, probe, train_fleet
from winnow.training._layers import make_stackable

DATA = Data.arrays(
    np.random.default_rng(0).normal(size=(90, 12)),
    np.random.default_rng(1).integers(0, 3, size=90).astype(int),
    task="classification",
)


@pytest.fixture(scope="module")
def prepared() -> PreparedData:
    return prepare(DATA)


def variant(model: Any = architectures.Plain, seed: int = 0, **train: Any) -> Variant:
    settings = {"epochs": 4, "batch_size": 16, "precision": "float64", **train}
    return Variant(
        data=DATA,
        model=model if isinstance(model, Model) else Model(model),
        train=Train(**settings),
        metric="accuracy",
        seed=seed,
    )


SETTINGS: list[dict[str, Any]] = [
    {"optimizer": SGD(lr=0.1, momentum=0.9), "dropout": 0.5, "schedule": OneCycle()},
    {
        "optimizer": SGD(lr=0.3, momentum=0.0, weight_decay=0.01),
        "label_smoothing": 0.2,
        "schedule": Cosine(warmup=0.2),
    },
    {
        "optimizer": SGD(lr=0.05, momentum=0.8, nesterov=True),
        "clip_norm": 0.1,
        "l1": 1e-3,
        "epochs": 6,
    },
    {
        "optimizer": SGD(lr=0.2),
        "l2": 0.02,
        "dropout": 0.1,
        "early_stopping": EarlyStopping(patience=1),
        "schedule": Constant(),
    },
]


def same(a: MemberResult, b: MemberResult, tolerance: float = 1e-10) -> None:
    assert a.variant == b.variant
    assert (a.outcome.status, a.outcome.best_epoch, a.outcome.epochs) == (
        b.outcome.status,
        b.outcome.best_epoch,
        b.outcome.epochs,
    )
    for name, curve in a.outcome.curves.items():
        np.testing.assert_allclose(
            curve, b.outcome.curves[name], rtol=tolerance, atol=tolerance, err_msg=name
        )
    assert (a.weights is None) == (b.weights is None)
    for name, tensor in (a.weights or {}).items():
        torch.testing.assert_close(
            tensor,
            (b.weights or {})[name],
            rtol=tolerance,
            atol=tolerance,
            msg=lambda m, n=name: f"{n}: {m}",
        )


@pytest.mark.parametrize("model", architectures.STACKABLE, ids=lambda m: m.__name__)
def test_a_member_equals_its_solo_run(model: type[nn.Module], prepared: PreparedData) -> None:
    variants = [variant(model, seed=i, **own) for i, own in enumerate(SETTINGS)]
    assert probe(variants[0], prepared).reason is None
    fleet = train_fleet(variants, prepared)
    for together, one in zip(fleet, variants, strict=True):
        assert together.outcome.fleet == "stacked x 4"
        alone = train_fleet([one], prepared)[0]
        assert alone.outcome.fleet == "alone"
        same(together, alone)


def test_adamw_members_equal_their_solo_runs(prepared: PreparedData) -> None:
    optimizers = [
        AdamW(lr=0.01),
        AdamW(lr=0.003, beta1=0.5, weight_decay=0.3),
        AdamW(lr=0.02, beta2=0.9),
    ]
    variants = [
        variant(architectures.Normed, seed=i, optimizer=o) for i, o in enumerate(optimizers)
    ]
    for together, one in zip(train_fleet(variants, prepared), variants, strict=True):
        same(together, train_fleet([one], prepared)[0])


def test_a_member_does_not_depend_on_its_mates(prepared: PreparedData) -> None:
    variants = [variant(architectures.Normed, seed=i, **SETTINGS[i % 4]) for i in range(7)]
    whole = {f.variant.id: f for f in train_fleet(variants, prepared)}
    for mates in (variants[::-1], variants[2:5], [variants[6], variants[0]]):
        for finished in train_fleet(mates, prepared):
            same(finished, whole[finished.variant.id])


def test_float32_stays_within_rounding(prepared: PreparedData) -> None:
    variants = [
        variant(architectures.Normed, seed=i, precision="float32", epochs=10, **own)
        for i, own in enumerate(SETTINGS[:2])
    ]
    for together, one in zip(train_fleet(variants, prepared), variants, strict=True):
        alone = train_fleet([one], prepared)[0]
        np.testing.assert_allclose(
            together.outcome.curves["train_loss"],
            alone.outcome.curves["train_loss"],
            rtol=1e-5,
            atol=1e-5,
        )


@pytest.mark.parametrize("drop_last", [True, False])
def test_alone_equals_a_hand_written_loop(prepared: PreparedData, drop_last: bool) -> None:
    """Plain PyTorch, written as a user would: torch.optim, torch's losses, clipping and
    schedule.
    """
    one = variant(
        architectures.Normed,
        seed=3,
        epochs=5,
        dropout=0.0,
        drop_last=drop_last,
        optimizer=SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
        schedule=Cosine(),
        label_smoothing=0.1,
        clip_norm=0.5,
    )
    module = build(one.model, in_shape=(12,), out_features=3, seed=one.seed).double()
    x, y = prepared.tensors("train", torch.float64)
    optimizer = torch.optim.SGD(
        module.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3
    )
    module.drop.p = 0.0
    steps = len(x) // 16 if drop_last else math.ceil(len(x) / 16)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5 * steps)
    losses, validation = [], []
    for epoch in range(5):
        module.train()
        order = torch.randperm(
            len(x), generator=torch.Generator().manual_seed(derive_seed(3, "order", epoch))
        )
        for rows in order.split(16)[:steps]:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(x[rows]), y[rows], label_smoothing=0.1)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 0.5)
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
        module.eval()
        with torch.no_grad():
            xv, yv = prepared.tensors("validation", torch.float64)
            validation.append(nn.functional.cross_entropy(module(xv), yv).item())
    found = train_fleet([one], prepared)[0].outcome
    np.testing.assert_allclose(
        found.curves["train_loss"], np.reshape(losses, (5, -1)).mean(axis=1), rtol=1e-10
    )
    np.testing.assert_allclose(found.curves["validation_loss"], validation, rtol=1e-10)


def test_the_best_weights_are_returned(prepared: PreparedData) -> None:
    one = variant(architectures.Normed, epochs=12, optimizer=SGD(lr=0.3))
    finished = train_fleet([one], prepared)[0]
    outcome = finished.outcome
    curve = outcome.curves["validation_accuracy"]
    assert max(curve) == curve[outcome.best_epoch]
    ties = [i for i, score in enumerate(curve) if score == max(curve)]
    assert outcome.best_epoch == min(ties, key=lambda i: outcome.curves["validation_loss"][i])
    module = build(one.model, in_shape=(12,), out_features=3, seed=0).double()
    assert finished.weights is not None
    module.load_state_dict(finished.weights)
    module.eval()
    x, y = prepared.tensors("validation", torch.float64)
    with torch.no_grad():
        assert float((module(x).argmax(1) == y).double().mean()) == pytest.approx(max(curve))


def test_a_member_that_diverges_fails_with_a_reason_and_the_rest_go_on(
    prepared: PreparedData,
) -> None:
    good = [variant(seed=i) for i in range(3)]
    bad = variant(seed=9, optimizer=SGD(lr=1e200))
    fleet = train_fleet([good[0], bad, *good[1:]], prepared)
    assert fleet[1].outcome.status == "failed"
    assert fleet[1].weights is None
    assert "diverged: the loss was not finite at step" in (fleet[1].outcome.reason or "")
    assert "learning rate 1e+200" in (fleet[1].outcome.reason or "")
    for together, alone in zip([fleet[0], *fleet[2:]], train_fleet(good, prepared), strict=True):
        same(together, alone)


def test_one_layer_called_twice_gets_two_masks(prepared: PreparedData) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.out = nn.Dropout(0.5), nn.Linear(12, 3)
            self.masks: list[torch.Tensor] = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training and x.shape[0] == 16:
                ones = torch.ones_like(x)
                self.masks += [self.drop(ones), self.drop(ones)]
            return self.out(self.drop(self.drop(x)))

    made: list[Twice] = []

    def builder() -> Twice:
        made.append(Twice())
        return made[-1]

    train_fleet([variant(Model(use=builder), epochs=1)], prepared)
    masks = torch.stack(made[-1].masks)
    assert len({tuple(m.flatten().tolist()) for m in masks}) == len(masks)


def test_the_same_variant_gives_the_same_bits_again(prepared: PreparedData) -> None:
    one = variant(architectures.Recurrent, precision="float32")
    first, second = train_fleet([one], prepared)[0], train_fleet([one], prepared)[0]
    assert dataclasses.replace(first.outcome, seconds=0) == dataclasses.replace(
        second.outcome, seconds=0
    )
    assert first.weights is not None
    assert second.weights is not None
    assert all(torch.equal(first.weights[n], second.weights[n]) for n in first.weights)


def test_training_leaves_the_global_generator_alone(prepared: PreparedData) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train_fleet([variant(architectures.Normed)], prepared)
    assert torch.equal(torch.rand(3), expected)


def test_the_probe_names_what_cannot_be_stacked(prepared: PreparedData) -> None:
    assert "data-dependent control flow" in (
        probe(variant(architectures.Branching), prepared).reason or ""
    )
    reason = (
        "its forward pass draws random numbers from a global generator, of PyTorch, Python or NumPy"
    )
    assert probe(variant(architectures.OwnNoise), prepared).reason == reason


def test_large_inputs_do_not_make_a_fleet_look_wrong() -> None:
    data = Data.arrays(
        1e4 * np.random.default_rng(0).normal(size=(90, 12)),
        np.arange(90) % 3,
        prepare={"standardize": False},
    )
    one = variant(architectures.Plain, precision="float32").model_copy(update={"data": data})
    assert probe(one, prepare(data)).reason is None


def test_noise_of_the_users_own_depends_on_the_variant_alone(prepared: PreparedData) -> None:
    one = variant(architectures.OwnNoise)
    first = train_fleet([one], prepared)[0]
    torch.rand(5)
    same(first, train_fleet([one], prepared)[0], 0.0)
    other = train_fleet([variant(architectures.OwnNoise, seed=1)], prepared)[0]
    assert other.outcome.curves["train_loss"] != first.outcome.curves["train_loss"]


def test_two_layers_of_lstm_drop_between_them(prepared: PreparedData) -> None:
    variants = [
        variant(architectures.Deep, seed=i, dropout=rate) for i, rate in enumerate((0.0, 0.5, None))
    ]
    fleet = train_fleet(variants, prepared)
    for together, one in zip(fleet, variants, strict=True):
        same(together, train_fleet([one], prepared)[0])
    assert set(fleet[0].weights or {}) == set(architectures.Deep().state_dict())


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_stackable_recurrence_equals_torch(cell: str, bidirectional: bool) -> None:
    torch.manual_seed(0)
    layer = getattr(nn, cell)(
        3, 5, num_layers=2, bidirectional=bidirectional, batch_first=cell != "GRU"
    ).double()
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    h = torch.randn(
        4 if bidirectional else 2, 4 if layer.batch_first else 6, 5, dtype=torch.float64
    )
    for state in (None, (h, h.flip(0)) if cell == "LSTM" else h):
        expected, expected_state = layer(x, state)
        found, found_state = make_stackable(copy.deepcopy(layer))(x, state)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found_state, expected_state, rtol=1e-12, atol=1e-12)


def test_compiled_members_equal_their_solo_runs(prepared: PreparedData) -> None:
    """Eighteen members in blocks of sixteen or eight: the rest runs uncompiled or filled up with
    idle rows, some leave early, and the last batch of an epoch is smaller.
    """
    variants = [
        variant(
            seed=i, dropout=0.2, drop_last=False, optimizer=SGD(lr=0.1 + i / 50), epochs=3 + i % 3
        )
        for i in range(18)
    ]
    for together, one in zip(train_fleet(variants, prepared, compiled=True), variants, strict=True):
        assert together.outcome.fleet == "stacked x 18, compiled"
        same(together, train_fleet([one], prepared)[0])


@pytest.mark.slow
@pytest.mark.parametrize("model", architectures.STACKABLE, ids=lambda m: m.__name__)
def test_every_architecture_compiled_equals_its_solo_run(
    model: type[nn.Module], prepared: PreparedData
) -> None:
    variants = [variant(model, seed=i, **own) for i, own in enumerate(SETTINGS)]
    # A warning, which is an error here, says when it falls back
    fleet = train_fleet(variants, prepared, compiled=True)
    for together, one in zip(fleet, variants, strict=True):
        same(together, train_fleet([one], prepared)[0])


def test_a_step_that_cannot_be_compiled_runs_as_it_is(
    prepared: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError("buf63")

    monkeypatch.setattr(torch._inductor, "compile", fail)
    variants = [variant(architectures.Bilinear, seed=i, epochs=1, batch_size=13) for i in range(16)]
    with pytest.warns(
        RuntimeWarning,
        match="a fleet runs uncompiled, because its step cannot be compiled: 'buf63'",
    ):
        fleet = train_fleet(variants, prepared, compiled=True)
    for together, plain in zip(fleet, train_fleet(variants, prepared), strict=True):
        same(together, plain)


def test_thirty_two_members_with_norm_dropout_and_lstm_equal_their_solo_runs(
    prepared: PreparedData,
) -> None:
    variants = [
        variant(
            architectures.Recurrent,
            seed=i,
            epochs=2 + i % 2,
            dropout=0.01 * i,
            optimizer=AdamW(lr=0.003 * (i + 1), weight_decay=0.01 * (i % 3)),
            label_smoothing=0.1 * (i % 2),
        )
        for i in range(32)
    ]
    fleet = train_fleet(variants, prepared)
    assert {one.outcome.fleet for one in fleet} == {"stacked x 32"}
    for together, one in zip(fleet, variants, strict=True):
        same(together, train_fleet([one], prepared)[0])


@pytest.mark.parametrize("model", architectures.STACKABLE, ids=lambda m: m.__name__)
def test_single_precision_stays_close_over_a_hundred_steps(
    model: type[nn.Module], prepared: PreparedData
) -> None:
    """At a rate where training itself does not enlarge the rounding, and with seeds where no unit
    lies so near the kink of a ReLU that rounding decides its side (which would show as a jump to
    1e-4).
    """
    calm = {
        "epochs": 34,
        "early_stopping": None,
        "precision": "float32",
        "optimizer": SGD(lr=0.01, momentum=0.9),
    }
    settings = [{**own, **calm} for own in SETTINGS]
    variants = [variant(model, seed=10 + i, **own) for i, own in enumerate(settings)]
    for together, one in zip(train_fleet(variants, prepared), variants, strict=True):
        assert together.outcome.steps >= 100
        (alone,) = train_fleet([one], prepared)
        losses = [np.array(found.outcome.curves["train_loss"]) for found in (together, alone)]
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_a_step_on_a_gpu_is_captured_once_for_every_place_in_memory(
    prepared: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for the CUDA graph, which like it holds on to the tensors that it was
    captured with.
    """
    captured: list[int] = []

    class StandIn:
        def __init__(self, program: Any, own: list[Tensor], batch: list[Tensor]) -> None:
            self.program, self.own = program, own
            captured.append(len(own[0]))

        def __call__(self, batch: list[Tensor]) -> Tensor:
            return self.program([*self.own, *batch])

    monkeypatch.setattr(_runners, "can_capture", lambda _: True)
    monkeypatch.setattr(_runners, "CapturedGraph", StandIn)
    variants = [variant(seed=i, epochs=2 + (i < 6)) for i in range(8)]  # two leave: the others move
    fleet = train_fleet(variants, prepared, compiled=True)
    assert captured == [8, 8]
    for together, one in zip(fleet, variants, strict=True):
        same(together, train_fleet([one], prepared)[0])


class Counting(nn.Module):
    """Its forward pass changes an attribute that is no tensor, and computes with it."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(12, 3)
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return self.out(x) / self.passes


def test_a_module_that_keeps_count_in_python_is_not_captured(prepared: PreparedData) -> None:
    variants = [variant(Counting, seed=i, epochs=1) for i in range(8)]
    with pytest.warns(
        RuntimeWarning,
        match="its forward pass changes attributes of the module that are not tensors",
    ):
        train_fleet(variants, prepared, compiled=True)


class BeforeNorm(nn.Sequential):
    """Biases before batch normalization: their gradients are zero but for rounding, of which
    AdamW makes whole steps.
    """

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(12, 16),
            nn.BatchNorm1d(16),
            nn.Tanh(),
            nn.Linear(16, 8),
            nn.BatchNorm1d(8),
            nn.Linear(8, 3),
        )


def test_rounding_that_an_adaptive_method_makes_large_is_no_difference(
    prepared: PreparedData,
) -> None:
    asked = variant(BeforeNorm, optimizer=AdamW(lr=0.1), precision="float32")
    assert probe(asked, prepared).reason is None
