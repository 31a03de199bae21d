"""Averages of weights against ``torch.optim.swa_utils.AveragedModel`` in loops of plain PyTorch:
alone, in fleets, compiled, over a stop and in a copy.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training import architectures
from tests.training.test_compiled import Mixture, assert_same, check_pair, fleet_of, side_by_side
from tests.training.test_own_methods import SAM, Muon, Stopped, stop_at_the_second_report
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from winnow.data import PreparedData, prepare
from winnow.errors import ModelError
from winnow.methods import EMA, SGD, SWA, AdamW, BaseAveraging, Centralize, ClipValue, Cosine
from winnow.models import build
from winnow.recipe import (
    Averaging,
    Choice,
    Data,
    EarlyStopping,
    Log,
    Model,
    Recipe,
    Train,
    Uniform,
    Variant,
    derive_seed,
)
from winnow.testing import check_averaging
from winnow.training import _checkpoint, build_members, methods_key, probe, stacking, train_fleet
from winnow.training._driver import _Run
from winnow.training._find_methods import check_methods, code_digest
from winnow.training._member import MemberResult

DATA = Data.arrays(
    np.random.default_rng(0).normal(size=(90, 12)),
    np.random.default_rng(1).integers(0, 3, size=90).astype(int),
    task="classification",
)
EPOCHS = 6


class Anchored(BaseAveraging):
    """One from elsewhere: the mean of the first weights and the present ones, both by shares."""

    share: float = 0.5

    @staticmethod
    def update_(
        average: Tensor, param: Tensor, *, share: Tensor, number: Tensor, num_steps: Tensor
    ) -> None:
        average.add_(share * (param - average) * number / num_steps)


@pytest.fixture(scope="module")
def prepared() -> PreparedData:
    return prepare(DATA)


def variant(averaging: Any = None, seed: int = 0, model: Any = None, **train: Any) -> Variant:
    settings = {
        "epochs": EPOCHS,
        "batch_size": 16,
        "precision": "float64",
        "dropout": 0.0,
        "optimizer": SGD(lr=0.3),
        "averaging": averaging,
        **train,
    }
    return Variant(
        data=DATA,
        model=Model(model or architectures.Normed),
        train=Train(**settings),
        metric="accuracy",
        seed=seed,
    )


class ByHand:
    """A loop as a user would write it, with PyTorch's average of the model.

    Attributes:
        losses: of the averaged model on the validation rows, one an epoch.
        states: of the averaged model, one an epoch.
    """

    def __init__(self, one: Variant, averaged: Callable[[nn.Module], AveragedModel], start: int):
        prepared = prepare(DATA)
        module = build(one.model, in_shape=(12,), out_features=3, seed=one.seed).double()
        for layer in module.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        model = averaged(module)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.3, momentum=0.9)
        x, y = prepared.tensors("train", torch.float64)
        xv, yv = prepared.tensors("validation", torch.float64)
        self.losses: list[float] = []
        self.states: list[dict[str, Tensor]] = []
        step = 0
        for epoch in range(one.train.epochs):
            module.train()
            seed = derive_seed(one.seed, "order", epoch)
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
            for rows in order.split(16)[: len(x) // 16]:
                optimizer.zero_grad()
                nn.functional.cross_entropy(module(x[rows]), y[rows]).backward()
                optimizer.step()
                step += 1
                if step > start:
                    model.update_parameters(module)
            evaluated = model.module if step > start else module
            evaluated.eval()
            with torch.no_grad():
                self.losses.append(nn.functional.cross_entropy(evaluated(xv), yv).item())
            self.states.append(copy.deepcopy(evaluated.state_dict()))


def by_hand(one: Variant) -> ByHand:
    averaging = one.train.averaging
    if isinstance(averaging, EMA):
        decay = float(averaging.decay)
        return ByHand(
            one, lambda m: AveragedModel(m, multi_avg_fn=get_ema_multi_avg_fn(decay)), start=0
        )
    assert isinstance(averaging, SWA)
    steps = len(prepare(DATA).train) // 16 * one.train.epochs
    return ByHand(one, AveragedModel, start=int(averaging.start * steps))


def check(found: MemberResult, expected: ByHand) -> None:
    curve = found.outcome.curves["validation_loss"]
    np.testing.assert_allclose(curve, expected.losses, rtol=1e-10)
    assert found.weights is not None
    state = expected.states[found.outcome.best_epoch]
    assert found.weights.keys() == state.keys()
    for name, tensor in found.weights.items():
        torch.testing.assert_close(tensor, state[name], rtol=1e-10, atol=1e-10)


AVERAGES = [EMA(decay=0.9), EMA(decay=0.5), SWA(start=0.5), SWA(start=0.0), SWA(start=0.71)]


@pytest.mark.parametrize("averaging", AVERAGES, ids=str)
def test_alone_it_is_the_averaged_model_of_torch(
    averaging: BaseAveraging, prepared: PreparedData
) -> None:
    """With batch normalization: running means are those of the last step, as there."""
    one = variant(averaging)
    (found,) = train_fleet([one], prepared)
    check(found, by_hand(one))
    (plain,) = train_fleet([variant()], prepared)
    assert plain.outcome.curves["train_loss"] == found.outcome.curves["train_loss"]
    assert plain.outcome.curves["validation_loss"] != found.outcome.curves["validation_loss"]


FLEETS: dict[str, list[BaseAveraging]] = {
    "ema": [EMA(decay=0.9), EMA(decay=0.5), EMA(decay=0.99)],
    "swa": [SWA(start=0.5), SWA(start=0.0), SWA(start=0.71)],
}


def fleet(kind: str) -> list[Variant]:
    """Of different settings and seeds, and with different numbers of epochs."""
    return [
        variant(averaging, seed=i, epochs=EPOCHS - i % 2)
        for i, averaging in enumerate(FLEETS[kind])
    ]


@pytest.mark.parametrize("kind", FLEETS)
def test_in_a_fleet_each_is_the_averaged_model_of_torch(kind: str, prepared: PreparedData) -> None:
    variants = fleet(kind)
    assert len({methods_key(v.train) for v in variants}) == 1
    assert probe(variants[0], prepared).reason is None
    for found, one in zip(train_fleet(variants, prepared), variants, strict=True):
        check(found, by_hand(one))


def test_a_member_with_decay_zero_is_one_without_an_average(prepared: PreparedData) -> None:
    """Beside others, and where all have it."""
    variants = [variant(EMA(decay=decay)) for decay in (0.9, 0.0)]
    (plain,) = train_fleet([variant()], prepared)
    for found in (train_fleet(variants, prepared)[1], train_fleet(variants[1:], prepared)[0]):
        assert_same([found], [plain])


def test_members_share_a_fleet_only_with_those_of_their_kind() -> None:
    kinds = [None, EMA(), SWA(), Anchored()]
    assert len({methods_key(Train(averaging=kind)) for kind in kinds}) == len(kinds)
    assert methods_key(Train(averaging=EMA(decay=0.5))) == methods_key(Train(averaging=EMA()))


OPTIMIZERS = {
    "adamw": AdamW(lr=0.01),
    "matrix-shaped": Muon(lr=0.02),
    "two calls": SAM(lr=0.1),
    "layer-wise": {"kind": "lamb"},
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_with_any_optimizer_members_equal_their_solo_runs(
    optimizer: Any, prepared: PreparedData
) -> None:
    variants = [
        variant(Anchored(share=0.3 * i), seed=i, optimizer=optimizer, dropout=0.2, epochs=4 + i % 2)
        for i in range(1, 4)
    ]
    alone = [train_fleet([v], prepared)[0] for v in variants]
    assert_same(train_fleet(variants, prepared), alone)


@pytest.mark.parametrize("model", architectures.STACKABLE, ids=lambda m: m.__name__)
def test_any_architecture_equals_its_solo_run(model: Any, prepared: PreparedData) -> None:
    variants = [variant(EMA(decay=d), seed=i, model=model) for i, d in enumerate((0.9, 0.5))]
    alone = [train_fleet([v], prepared)[0] for v in variants]
    assert_same(train_fleet(variants, prepared), alone)


def test_early_stopping_goes_by_the_average(prepared: PreparedData) -> None:
    stopping = EarlyStopping(patience=2)
    one = variant(EMA(decay=0.95), epochs=30, early_stopping=stopping)
    (found,) = train_fleet([one], prepared)
    scores = found.outcome.curves["validation_loss"]
    np.testing.assert_allclose(scores, by_hand(one).losses[: len(scores)], rtol=1e-10)
    assert found.outcome.epochs < 30


# -- compiled --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ema", pytest.param("swa", marks=pytest.mark.slow)])
def test_compiled_each_is_the_averaged_model_of_torch(kind: str, prepared: PreparedData) -> None:
    """Nine members: a block of eight and one that runs uncompiled."""
    variants = [v.model_copy(update={"seed": i}) for i, v in enumerate(fleet(kind) * 3)]
    found = train_fleet(variants, prepared, compiled=True)
    for one, own in zip(variants, found, strict=True):
        assert own.outcome.fleet.endswith("compiled")
        check(own, by_hand(one))


@pytest.mark.slow
def test_compiled_fleets_that_differ_in_the_average_share_no_program() -> None:
    kinds = (None, EMA(decay=0.9), SWA(start=0.3))
    fleets = [fleet_of(Mixture, averaging=kind) for kind in kinds]
    check_pair((fleets[1], fleets[0]))
    check_pair((fleets[2], fleets[1]))


@pytest.mark.slow
def test_random_pairs_of_methods_in_two_threads() -> None:
    rng = random.Random(0)
    for _ in range(6):
        pair = [
            fleet_of(
                Mixture,
                members=rng.choice((5, 8)),
                epochs=rng.choice(((2,), (1, 3))),
                averaging=rng.choice((None, EMA(decay=0.9), EMA(decay=0.0), SWA(start=0.3))),
                gradient_rules=rng.choice(([], [Centralize()], [ClipValue(max_value=0.1)])),
                optimizer=rng.choice((SGD(lr=0.1), AdamW(lr=0.01))),
            )
            for _ in range(2)
        ]
        plain = [train_fleet(own, prepare(own[0].data)) for own in pair]
        for mine, expected in zip(side_by_side(pair), plain, strict=True):
            assert_same(mine, expected)


# -- stopped, copied -------------------------------------------------------------------------------


def equal(found: Sequence[MemberResult], expected: Sequence[MemberResult]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.outcome.curves == b.outcome.curves
        assert a.weights is not None
        assert all(torch.equal(t, (b.weights or {})[n]) for n, t in a.weights.items())


@pytest.mark.parametrize("kind", [*FLEETS, "alone", "shaped"])
def test_a_stopped_training_goes_on_to_the_same_bits(
    kind: str, prepared: PreparedData, tmp_path: Path
) -> None:
    common: dict[str, Any] = {"precision": "float32", "schedule": Cosine(), "dropout": 0.3}
    own = FLEETS.get(kind, [EMA(decay=0.9)])
    if kind == "shaped":
        common["optimizer"] = Muon(lr=0.02)
    variants = [variant(a, seed=i, epochs=EPOCHS - i % 2, **common) for i, a in enumerate(own)]
    place = tmp_path / "fleet.safetensors"
    unbroken = train_fleet(variants, prepared)
    for _ in range(3):
        stop = stop_at_the_second_report()
        with pytest.raises(Stopped):
            train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0.0, on_epoch=stop)
    begun = _checkpoint.read(place, [v.id for v in variants])
    assert begun is not None
    assert begun.epoch == 3
    equal(train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0.0), unbroken)


@pytest.mark.parametrize("kind", FLEETS)
def test_a_copy_goes_on_as_its_source_would(kind: str, prepared: PreparedData) -> None:
    """With the same seed both end alike, and the source as if it had not been copied."""
    variants = [v.model_copy(update={"seed": 0}) for v in fleet(kind)]
    expected = train_fleet(variants, prepared)

    def run() -> list[MemberResult]:
        members = build_members(variants, prepared)
        going = _Run(variants, prepared, members, stacked=True, compiled=False)
        with closing(going.batches), stacking():

            def copy_once(report: Any) -> None:
                if going.epoch == 2:
                    going.copy([0], [2])

            return going.train(copy_once)

    found = run()
    equal(found[:2], expected[:2])
    for name, tensor in (found[2].weights or {}).items():
        assert torch.equal(tensor, (found[0].weights or {})[name])


# -- one from elsewhere, and in a recipe -----------------------------------------------------------


class OverMembers(BaseAveraging):
    @staticmethod
    def update_(average: Tensor, param: Tensor, *, number: Tensor, num_steps: Tensor) -> None:
        average.copy_((average + param.mean(dim=0)) / 2)


class Looks(BaseAveraging):
    @staticmethod
    def update_(average: Tensor, param: Tensor, *, number: Tensor, num_steps: Tensor) -> None:
        average.copy_(param if float(number) % 2 else (average + param) / 2)


class Sums(BaseAveraging):
    @staticmethod
    def update_(average: Tensor, param: Tensor, *, number: Tensor, num_steps: Tensor) -> None:
        average.add_(param)


class StandsStill(BaseAveraging):
    @staticmethod
    def update_(average: Tensor, param: Tensor, *, number: Tensor, num_steps: Tensor) -> None:
        average = (average + param) / 2


class Idle(BaseAveraging):
    share: float = 0.5

    @staticmethod
    def update_(
        average: Tensor, param: Tensor, *, share: Tensor, number: Tensor, num_steps: Tensor
    ) -> None:
        average.add_(param).div_(2)


class Mixes(BaseAveraging):
    @staticmethod
    def update_(average: Tensor, param: Tensor, *, number: Tensor, num_steps: Tensor) -> None:
        change = param - average
        average.add_(change / (1 + change.norm(dim=1, keepdim=True)))


@pytest.mark.parametrize(
    ("averaging", "words"),
    [
        (OverMembers(), "it gives others, so it is no average"),
        (Looks(), "it looks at values of tensors"),
        (Sums(), "it gives others, so it is no average"),
        (StandsStill(), "does not change the average in place"),
        (Idle(), "its setting 'share' has no effect"),
        (Mixes(), "depends on other elements"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_average_that_breaks_its_contract_is_told(averaging: BaseAveraging, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_averaging(averaging)


def test_one_from_elsewhere_keeps_the_contract_and_is_tried_before_a_fleet(
    prepared: PreparedData,
) -> None:
    check_averaging(Anchored(share=0.3))
    assert probe(variant(Anchored()), prepared).reason is None
    assert probe(variant(OverMembers()), prepared).reason == (
        "its averaging of weights, stacked, gives other numbers than alone"
    )


def test_averages_stand_in_yaml_and_read_back_equal() -> None:
    path = f"{Anchored.__module__}:Anchored"
    kinds = Choice(EMA(decay=Uniform(0.9, 0.999)), Averaging(Anchored, share=Log(0.1, 1.0)))
    recipe = Recipe(
        data=Data(source="sklearn:wine"), model=Model("mlp"), train=Train(averaging=kinds)
    )
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert list(recipe.ranges()) == [
        "train.averaging",
        "train.averaging.ema.decay",
        "train.averaging.Anchored.args.share",
    ]
    settings = {"train.averaging": "Anchored", "train.averaging.Anchored.args.share": 0.25}
    assert recipe.resolve(settings).train.averaging == Averaging(path, share=0.25)


def test_an_average_is_a_part_that_can_be_switched_off() -> None:
    for averaging, what in ((EMA(), "ema"), (SWA(), "swa"), (Anchored(), "Anchored")):
        train = Train(averaging=averaging)
        recipe = Recipe(data=Data(source="sklearn:wine"), model=Model("mlp"), train=train)
        assert recipe.parts()["averaging"].what == f"{what} averaging of weights"
        assert recipe.without("averaging").train.averaging is None


def test_what_cannot_be_used_is_said_with_its_setting() -> None:
    for averaging, words in (
        (Averaging(architectures.Normed), "expected a subclass of winnow.methods.averaging.BaseAv"),
        (Averaging(Anchored, shar=1.0), "did you mean 'share'?"),
    ):
        with pytest.raises(ModelError, match=r"^train.averaging") as caught:
            check_methods(Train(averaging=averaging), "classification")
        assert words in str(caught.value)


def test_averages_are_part_of_the_identity() -> None:
    model = Model("mlp")
    assert code_digest(model, Train(averaging=Anchored())) != code_digest(model, Train())
    assert "averaging" not in variant().canonical()  # ids of older ledgers still hold
    assert "averaging" in variant(EMA()).canonical()
