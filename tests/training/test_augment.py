"""Augmentations: members equal their solo runs, draws have their laws, targets mix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from tests.training.test_own_methods import DATA, NUMBERS, assert_equal_to_solo, fleet, same
from torch import Tensor, nn

from winnow.data import prepare
from winnow.errors import ModelError
from winnow.methods import MSE, SGD, BaseAugment, Batch, CrossEntropy, Focal, InputNoise, Mixup
from winnow.recipe import Data, Loss, Model, Recipe, Train, Uniform
from winnow.training import probe, train_fleet
from winnow.training._augment import Augmentation
from winnow.training._find_methods import check_methods
from winnow.training._noise import noise_keys, uniforms


class Masking(BaseAugment):
    rate: float = 0.2

    @staticmethod
    def apply(x_VBF: Tensor, targets: Tensor, uniform: Any, *, rate: Tensor) -> Any:
        keep = uniform(*x_VBF.shape[1:]) >= rate.view(-1, *[1] * (x_VBF.dim() - 1))
        return x_VBF * keep, targets


AUGMENTED: dict[str, list[Any]] = {
    "noise": [InputNoise(sd=0.3)],
    "mixup": [Mixup(alpha=0.4)],
    "own": [Masking(rate=0.3)],
    "several": [Masking(), Mixup(), InputNoise(sd=0.1)],
}


@pytest.mark.parametrize("augment", AUGMENTED.values(), ids=AUGMENTED)
@pytest.mark.parametrize("data", [DATA, NUMBERS], ids=["classes", "numbers"])
def test_members_of_a_fleet_equal_their_solo_runs(augment: list[Any], data: Data) -> None:
    variants = fleet(data, augment=augment, optimizer=SGD(lr=0.05), drop_last=False)
    assert probe(variants[0], prepare(data)).reason is None
    assert_equal_to_solo(variants)


@pytest.mark.slow
def test_a_compiled_fleet_augments_too() -> None:
    assert_equal_to_solo(
        fleet(augment=[Mixup(), InputNoise()], optimizer=SGD(lr=0.05)), compiled=True
    )


def test_settings_may_differ_and_a_neutral_one_leaves_its_member_alone() -> None:
    first, second = fleet(members=2, augment=[InputNoise(sd=0.0)], optimizer=SGD(lr=0.05))
    train = Train(**{**dict(second.train), "augment": [InputNoise(sd=0.5)]})
    noisy = second.model_copy(update={"train": train})
    prepared = prepare(DATA)
    together = train_fleet([first, noisy], prepared, stacked=True)
    (plain,) = train_fleet(fleet(members=1, optimizer=SGD(lr=0.05)), prepared)
    (alone,) = train_fleet([noisy], prepared)
    same(together[0], plain)
    same(together[1], alone)
    assert together[1].outcome.curves["train_loss"] != plain.outcome.curves["train_loss"]


def test_uniform_numbers_are_uniform_and_independent() -> None:
    """Kolmogorov and Smirnov's test, and correlations between members, steps, calls, places."""
    size = 20_000
    keys = torch.from_numpy(noise_keys([0, 1], 1, range(2), purpose="augment"))[:, :, 0]
    draws = {
        (step, call): uniforms(keys[step], size, call=call).numpy()
        for step in range(2)
        for call in (1, 2)
    }
    columns = [row for found in draws.values() for row in found]
    for column in columns:
        assert column.min() > 0
        assert column.max() < 1
        assert scipy.stats.kstest(column, "uniform").pvalue > 1e-3
        assert abs(np.corrcoef(column[1:], column[:-1])[0, 1]) < 4 / np.sqrt(size)
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 4.5 / np.sqrt(size)


def changed(augment: BaseAugment, steps: int, x_VBF: Tensor, y_VB: Tensor) -> list[Any]:
    trains = [Train(augment=[augment])] * len(x_VBF)
    seeds = list(range(len(x_VBF)))
    found = Augmentation(trains, seeds, range(steps), num_classes=3, like=x_VBF)
    batches = [found(Batch(x_VBF, y_VB), step) for step in range(steps)]
    return [(batch.inputs, batch.targets) for batch in batches]


def test_noise_is_normal_with_its_deviation() -> None:
    x = torch.zeros(2, 50, 40, dtype=torch.float64)
    y = torch.zeros(2, 50, dtype=torch.int64)
    noise = torch.stack([x for x, _ in changed(InputNoise(sd=0.7), 3, x, y)]).flatten().numpy()
    assert scipy.stats.kstest(noise / 0.7, "norm").pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_draws_its_share_from_the_beta_distribution(alpha: float) -> None:
    x = torch.tensor([[[1.0], [0.0]]] * 4, dtype=torch.float64)
    y = torch.tensor([[2, 0]] * 4)
    batches = changed(Mixup(alpha=alpha), 1000, x, y)
    shares = torch.stack([x[:, 0, 0] for x, _ in batches]).flatten().numpy()
    assert scipy.stats.kstest(shares, scipy.stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    mixed, targets = batches[0]
    torch.testing.assert_close(targets[:, 0, 2], mixed[:, 0, 0])
    torch.testing.assert_close(targets.sum(dim=-1), torch.ones(4, 2, dtype=torch.float64))


@pytest.mark.parametrize("smoothing", [None, torch.tensor([[0.0], [0.2]], dtype=torch.float64)])
def test_the_loss_of_mixed_targets_is_the_mixed_loss(smoothing: Tensor | None) -> None:
    """Zhang et al. 2018: lambda * loss(y1) + (1 - lambda) * loss(y2); linear in the targets."""
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator)
    one, other = (torch.randint(0, 3, (2, 5), generator=generator) for _ in range(2))
    hard = [nn.functional.one_hot(labels, 3).double() for labels in (one, other)]
    soft = 0.3 * hard[0] + 0.7 * hard[1]
    settings = {} if smoothing is None else {"label_smoothing": smoothing}
    found = CrossEntropy.per_row(outputs, soft, **settings)
    expected = 0.3 * CrossEntropy.per_row(outputs, one, **settings)
    expected += 0.7 * CrossEntropy.per_row(outputs, other, **settings)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gamma = {"gamma": torch.tensor([[2.0], [0.5]], dtype=torch.float64)}
    focal = 0.3 * Focal.per_row(outputs, one, **gamma)
    focal += 0.7 * Focal.per_row(outputs, other, **gamma)
    torch.testing.assert_close(Focal.per_row(outputs, soft, **gamma), focal)


def test_what_is_given_stays_as_it_is() -> None:
    x = torch.ones(1, 4, 2, dtype=torch.float64).expand(3, 4, 2)
    y = torch.zeros(1, 4, dtype=torch.int64).expand(3, 4)
    for augment in (Mixup(), InputNoise(), Masking()):
        changed(augment, 1, x, y)
        assert (x == 1).all()
        assert (y == 0).all()


def test_a_loss_that_takes_no_soft_targets_is_refused_with_mixup() -> None:
    train = Train(augment=[Mixup()], loss=Loss("tests.training.test_augment:Hard"))
    with pytest.raises(ModelError, match=r"train.augment\[0\]: Mixup mixes the targets"):
        check_methods(train, "classification")
    check_methods(Train(augment=[Mixup()], loss=MSE()), "regression")


class Hard(CrossEntropy):
    soft_targets = False


def test_augmentations_are_searched_and_are_parts() -> None:
    recipe = Recipe(
        data=Data(source="sklearn:wine"),
        model=Model("mlp"),
        train=Train(augment=[Mixup(alpha=Uniform(0.1, 1.0)), Masking(rate=0.1)]),
    )
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    parts = recipe.parts()
    assert parts["augment.mixup"].what == "mixup augmentation"
    assert parts["augment.Masking"].what == "Masking augmentation"
    assert len(recipe.without("augment.mixup").train.augment) == 1
    assert list(recipe.ranges()) == ["train.augment.mixup.alpha"]
    resolved = recipe.resolve({"train.augment.mixup.alpha": 0.5})
    assert resolved.train.augment[0] == Mixup(alpha=0.5)
    assert not resolved.is_open


def test_two_of_a_kind_are_two_parts() -> None:
    train = Train(augment=[InputNoise(sd=0.1), InputNoise(sd=0.1)])
    recipe = Recipe(data=Data(source="sklearn:wine"), model=Model("mlp"), train=train)
    assert {"augment.input_noise", "augment.input_noise_2"} <= set(recipe.parts())
    assert len(recipe.without("augment.input_noise_2").train.augment) == 1
    assert recipe.without("augment.input_noise", "augment.input_noise_2").train.augment == ()
