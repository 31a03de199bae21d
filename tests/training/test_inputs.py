"""Models of several inputs train in fleets as they do alone, and as hand-written PyTorch does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from tests.data.several import (
    Attention,
    Branches,
    PicturesAndNumbers,
    ScoresAndSize,
    Texts,
    pictures,
    texts,
)
from tests.training.test_batches import same
from tests.training.test_compiled import assert_same, train_compiled
from torch import nn

from winnow.data import Rows, prepare
from winnow.methods import SGD
from winnow.models import build
from winnow.recipe import Data, Model, Train, Variant, derive_seed
from winnow.training import probe, train_fleet


def in_memory() -> Data:
    inputs, labels = texts()
    return Data.arrays(inputs, labels)


def blocks() -> Data:
    """A real table in two blocks: the means of the cells, and their errors."""
    table = load_breast_cancer()
    rows = slice(0, 569, 4)
    return Data.arrays((table.data[rows, :10], table.data[rows, 10:20]), table.target[rows])


class Scans:
    """Pictures and numbers with two targets."""

    def __len__(self) -> int:
        return 120

    def __getitem__(self, i: int) -> Any:
        inputs, labels, sizes = pictures()
        return {name: x[i] for name, x in inputs.items()}, {"size": sizes[i], "label": labels[i]}


def scans() -> Data:
    return Data.dataset(Scans(), target="label", classes=3, split={"stratify": False})


def fleet(of: Data, model: Any, **train: Any) -> list[Variant]:
    settings = {"epochs": 3, "batch_size": 16, "precision": "float64", **train}
    return [
        Variant(
            data=of,
            model=Model(model),
            train=Train(**settings, optimizer=SGD(lr=lr, momentum=0.9)),
            metric="accuracy",
            seed=seed,
        )
        for seed, lr in enumerate([0.1, 0.03, 0.3])
    ]


CASES = {
    "tokens in memory": (in_memory, Attention, {}),
    "tokens from a dataset": (lambda: Data.dataset(Texts()), Attention, {}),
    "blocks of a table": (blocks, Branches, {}),
    "pictures and numbers": (scans, PicturesAndNumbers, {"loss": ScoresAndSize(weight=0.7)}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_member_equals_its_solo_run(case: str) -> None:
    of, model, settings = CASES[case]
    variants = fleet(of(), model, **settings)
    prepared = prepare(variants[0].data)
    assert probe(variants[0], prepared).reason is None
    for together, one in zip(train_fleet(variants, prepared), variants, strict=True):
        same(together, train_fleet([one], prepared)[0])


@pytest.mark.parametrize("case", ["tokens in memory", "pictures and numbers"])
def test_compiled_equals_uncompiled(case: str) -> None:
    of, model, settings = CASES[case]
    variants = fleet(of(), model, **settings)
    prepared = prepare(variants[0].data)
    assert_same(train_compiled(variants, prepared), train_fleet(variants, prepared))


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("case", ["tokens in memory", "pictures and numbers"])
def test_a_fleet_that_goes_on_ends_with_the_same_bits(case: str, tmp_path: Path) -> None:
    of, model, settings = CASES[case]
    variants = fleet(of(), model, **settings)
    prepared, place = prepare(variants[0].data), tmp_path / "fleet.safetensors"
    epochs = []

    def kill(report: Any) -> None:
        epochs.append(report)
        if len(epochs) == 2:
            raise Killed

    with pytest.raises(Killed):
        train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0, on_epoch=kill)
    went_on = train_fleet(variants, prepared, checkpoint=place)
    for a, b in zip(went_on, train_fleet(variants, prepared), strict=True):
        assert a.outcome.curves == b.outcome.curves
        assert all(torch.equal(t, (b.weights or {})[n]) for n, t in (a.weights or {}).items())


def test_alone_equals_a_hand_written_loop() -> None:
    of = in_memory()
    one = fleet(of, Attention, dropout=0.0)[0]
    prepared = prepare(of)
    inputs, labels = texts()
    assert isinstance(prepared.train, Rows)
    train, validation = prepared.train.index, prepared.validation.index
    module = build(one.model, in_shape=prepared.inputs, out_features=2, seed=one.seed).double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module.dropout.p = 0.0  # type: ignore[union-attr, assignment]

    def loss_of(rows: np.ndarray) -> torch.Tensor:
        ids, mask = (torch.tensor(inputs[name][rows]) for name in ("ids", "mask"))
        return nn.functional.cross_entropy(module(ids, mask), torch.tensor(labels[rows]))

    curves: dict[str, list[float]] = {"train_loss": [], "validation_loss": []}
    for epoch in range(3):
        generator = torch.Generator().manual_seed(derive_seed(one.seed, "order", epoch))
        order = torch.randperm(len(train), generator=generator).numpy()
        losses = []
        for start in range(0, len(train) // 16 * 16, 16):
            optimizer.zero_grad()
            loss = loss_of(train[order[start : start + 16]])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        curves["train_loss"].append(float(np.mean(losses)))
        with torch.no_grad():
            curves["validation_loss"].append(loss_of(validation).item())
    found = train_fleet([one], prepared)[0].outcome
    for name, curve in curves.items():
        np.testing.assert_allclose(found.curves[name], curve, rtol=1e-10)


def test_a_loss_of_two_outputs_is_what_it_says() -> None:
    one = fleet(scans(), PicturesAndNumbers, loss=ScoresAndSize(weight=0.7), epochs=1)[0]
    prepared = prepare(one.data)
    found = train_fleet([one], prepared)[0].outcome
    module = build(one.model, in_shape=prepared.inputs, out_features=3, seed=one.seed).double()
    inputs, labels, sizes = pictures()
    generator = torch.Generator().manual_seed(derive_seed(0, "order", 0))
    order = torch.randperm(len(prepared.train), generator=generator).numpy()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for start in range(0, len(order) // 16 * 16, 16):
        rows = prepared.train.index[order[start : start + 16]]
        image, numbers = (torch.tensor(inputs[name][rows]).double() for name in inputs)
        outputs = module(image, numbers)
        loss = nn.functional.cross_entropy(outputs["logits"], torch.tensor(labels[rows]))
        size = torch.tensor(sizes[rows]).double()
        loss = loss + 0.7 * nn.functional.mse_loss(outputs["aux"], size)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(found.curves["train_loss"], [np.mean(losses)], rtol=1e-10)
