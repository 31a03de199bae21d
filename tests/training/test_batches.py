"""Streamed rows train as rows in memory do, but once for all members: the same batches for
each, whatever reads them.
"""

from __future__ import annotations

import math
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from tests.data.datasets import CLASSES, FEATURES, Made
from torch import nn
from torch.utils.data import DataLoader, Dataset

from winnow.data import prepare
from winnow.execution import Runner, Workspace
from winnow.methods import SGD, Cosine
from winnow.metrics import ROCAUC
from winnow.models import build
from winnow.recipe import Data, EarlyStopping, Model, Train, Variant, derive_seed
from winnow.training import MemberResult, probe, train_fleet
from winnow.training._batches import InMemoryBatches, StreamedBatches, open_batches
from winnow.training._build import build_members
from winnow.training._measure import measure
from winnow.training._memory import _HighWater
from winnow.training._metrics import (
    Metrics,
    MetricState,
    kept_bytes,
    membership,
    open_metric_state,
)

TRAIN, VALIDATION = 70, 30


def data(**settings: Any) -> tuple[Data, dict[str, Made]]:
    parts = {
        "train": Made(TRAIN),
        "validation": Made(VALIDATION, start=1000),
        "test": Made(20, start=2000),
    }
    return Data.dataset(**parts, **{"classes": CLASSES, **settings}), parts


def variant(of: Data, seed: int = 0, *, width: int = 8, **train: Any) -> Variant:
    settings = {"epochs": 3, "batch_size": 16, "precision": "float64", **train}
    model = Model("mlp", width=width, depth=1, norm="batch")
    return Variant(data=of, model=model, train=Train(**settings), metric="accuracy", seed=seed)


SETTINGS: list[dict[str, Any]] = [
    {"optimizer": SGD(lr=0.1), "dropout": 0.4, "schedule": Cosine()},
    {"optimizer": SGD(lr=0.05, momentum=0.0), "label_smoothing": 0.2, "epochs": 5},
    {"optimizer": SGD(lr=0.2), "l2": 0.02, "early_stopping": EarlyStopping(patience=1)},
]


def fleet(of: Data, **train: Any) -> list[Variant]:
    return [variant(of, seed=i, **{**own, **train}) for i, own in enumerate(SETTINGS)]


def same(a: MemberResult, b: MemberResult, tolerance: float = 1e-10) -> None:
    assert (a.variant, a.outcome.epochs, a.outcome.best_epoch) == (
        b.variant,
        b.outcome.epochs,
        b.outcome.best_epoch,
    )
    for name, curve in a.outcome.curves.items():
        np.testing.assert_allclose(curve, b.outcome.curves[name], rtol=tolerance, atol=tolerance)
    for name, tensor in (a.weights or {}).items():
        torch.testing.assert_close(tensor, (b.weights or {})[name], rtol=tolerance, atol=tolerance)


# -- training --------------------------------------------------------------------------------------


def test_a_member_equals_its_solo_run_in_any_fleet() -> None:
    of, _ = data()
    prepared = prepare(of)
    variants = fleet(of, drop_last=False)
    whole = train_fleet(variants, prepared)
    for together, one in zip(whole, variants, strict=True):
        same(together, train_fleet([one], prepared)[0])
    for together, again in zip(whole[:2], train_fleet(variants[:2], prepared), strict=True):
        same(together, again)


@pytest.mark.parametrize("drop_last", [True, False])
def test_alone_equals_a_hand_written_loop_over_torchs_loader(drop_last: bool) -> None:
    of, parts = data(split={"seed": 5})
    one = variant(of, seed=3, drop_last=drop_last, optimizer=SGD(lr=0.1, momentum=0.9), epochs=4)
    module = build(one.model, in_shape=(FEATURES,), out_features=CLASSES, seed=3).double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    train_loss, validation_loss = [], []
    for epoch in range(4):
        # The data's seed
        order = torch.randperm(
            TRAIN, generator=torch.Generator().manual_seed(derive_seed(5, "order", epoch))
        )
        loader = DataLoader(
            parts["train"], batch_size=16, sampler=order.tolist(), drop_last=drop_last
        )
        losses = []
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module.train()(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        train_loss.append(np.mean(losses))
        x, y = next(iter(DataLoader(parts["validation"], batch_size=VALIDATION)))
        with torch.no_grad():
            validation_loss.append(nn.functional.cross_entropy(module.eval()(x), y).item())
    found = train_fleet([one], prepare(of))[0].outcome
    np.testing.assert_allclose(found.curves["train_loss"], train_loss, rtol=1e-10)
    np.testing.assert_allclose(found.curves["validation_loss"], validation_loss, rtol=1e-10)


def test_one_pass_over_the_data_serves_all_members() -> None:
    of, parts = data()
    prepared = prepare(of)
    variants = [variant(of, seed=i, epochs=4, drop_last=False) for i in range(12)]
    train_fleet(variants[:2], prepared)  # reads the first rows, which are kept
    for part in parts.values():
        part.reads = 0
    train_fleet(variants, prepared)
    assert (parts["train"].reads, parts["validation"].reads, parts["test"].reads) == (
        4 * TRAIN,
        4 * VALIDATION,
        0,
    )


def test_the_runner_reads_once_for_all_variants_of_equal_shape(tmp_path: Path) -> None:
    of, parts = data()
    with Workspace(tmp_path) as workspace:
        runner = Runner(workspace)
        prepared = runner.prepared(of)
        # In memory: a fleet for each core
        variants = [variant(of, seed=i, drop_last=False) for i in range(40)]
        probe(variants[0], prepared)
        measure(variants[0], prepared)
        parts["train"].reads = 0
        outcomes = runner.train(variants)
    assert all(o.fleet == "stacked x 40" for o in outcomes)
    assert parts["train"].reads <= 3 * TRAIN + 64  # and what tries the model out


class Deciding(nn.Module):
    """Control flow on values: cannot be stacked."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(x) if x.sum() > 0 else self.out(-x)


def test_variants_that_cannot_be_stacked_train_in_this_process(tmp_path: Path) -> None:
    of, _ = data()
    settings = Train(epochs=1, batch_size=16)
    variants = [
        Variant(data=of, model=Model(Deciding), train=settings, metric="accuracy", seed=i)
        for i in range(2)
    ]
    assert variants[0].model.use == "tests.training.test_batches:Deciding"
    with Workspace(tmp_path) as workspace:
        runner = Runner(workspace)
        outcomes = runner.train(variants)
    assert [o.fleet for o in outcomes] == ["alone", "alone"]
    assert "; in this process, because its rows are streamed" in runner.fleets[0].reason


def test_workers_change_no_number() -> None:
    alone, helped = (data(workers=n)[0] for n in (0, 2))
    first, second = (train_fleet(fleet(of), prepare(of)) for of in (alone, helped))
    for a, b in zip(first, second, strict=True):
        assert a.variant.id == b.variant.id
        assert a.weights is not None
        assert b.weights is not None
        assert a.outcome.curves == b.outcome.curves
        assert all(torch.equal(a.weights[n], b.weights[n]) for n in a.weights)


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_fleet_that_goes_on_ends_with_the_same_bits(tmp_path: Path) -> None:
    of, _ = data()
    prepared, place = prepare(of), tmp_path / "fleet.safetensors"
    variants = fleet(of, precision="float32")

    def kill(report: Any) -> None:
        kill.epochs += 1  # type: ignore[attr-defined]
        if kill.epochs == 2:  # type: ignore[attr-defined]
            raise Killed

    kill.epochs = 0  # type: ignore[attr-defined]
    with pytest.raises(Killed):
        train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0, on_epoch=kill)
    assert place.exists()
    for a, b in zip(
        train_fleet(variants, prepared, checkpoint=place),
        train_fleet(variants, prepared),
        strict=True,
    ):
        assert a.outcome.curves == b.outcome.curves
        assert a.weights is not None
        assert b.weights is not None
        assert all(torch.equal(a.weights[n], b.weights[n]) for n in a.weights)


def test_the_order_follows_from_the_data_alone() -> None:
    prepared = prepare(data()[0])

    def first(seed: int, seeds: list[int], epoch: int = 0) -> torch.Tensor:
        batches = open_batches(prepared, torch.float64, seed)
        assert isinstance(batches, StreamedBatches)
        batch, *_ = batches.epoch(epoch, seeds, size=8, steps=2)
        batches.close()
        x: torch.Tensor = batch.inputs
        return x

    x = first(0, [1, 2, 3])
    assert x.shape == (3, 8, FEATURES)
    assert x.stride(0) == 0  # one copy
    assert torch.equal(x[:1], first(0, [9]))
    assert not torch.equal(x, first(1, [1, 2, 3]))
    assert not torch.equal(x, first(0, [1, 2, 3], epoch=1))


@pytest.mark.parametrize("streamed", [True, False])
def test_an_epoch_holds_every_row_once(streamed: bool) -> None:
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    plain = Data.arrays(x, y, prepare={"standardize": False})
    of = (
        Data.dataset(torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y)))
        if streamed
        else plain
    )
    prepared = prepare(of)
    batches = open_batches(prepared, torch.float64, 0)
    assert isinstance(batches, StreamedBatches if streamed else InMemoryBatches)
    for steps, expected in ((3, 12), (2, 10)):
        epoch = batches.epoch(0, [5, 6], size=5, steps=steps)
        found = [(batch.inputs, batch.targets) for batch in epoch]
        rows = torch.cat([x_VBF for x_VBF, _ in found], dim=1)[:, :, 0]
        assert rows.shape == (2, expected)
        wanted = set((prepared.train.index * 2).tolist())
        for member in rows.tolist():
            assert Counter(member) <= Counter(wanted)
        assert torch.equal(rows[0], rows[1]) == streamed
    np.testing.assert_array_equal(
        torch.cat([x_BF for x_BF, _ in batches.validation(3)])[:, 0], prepared.validation.index * 2
    )


class Heavy(Dataset):
    """Items of a megabyte each."""

    def __len__(self) -> int:
        return 300

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        return np.full(2**18, i % 2, dtype=np.float32), i % 2


class Meaning(nn.Module):
    """Has next to no activations, so that nothing but the batch itself bounds how many rows are
    validated at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(x.mean(dim=1, keepdim=True))


def test_no_more_than_a_few_batches_are_held() -> None:
    of = Data.dataset(Heavy(), classes=2, split={"stratify": False})
    settings = Train(epochs=1, batch_size=8)
    variants = [
        Variant(data=of, model=Model(Meaning), train=settings, metric="accuracy", seed=i)
        for i in range(3)
    ]
    prepared = prepare(of)
    batches = open_batches(prepared, torch.float32, 0)
    train_fleet(variants, prepared)  # what is imported on the way does not count
    tracemalloc.start()
    try:
        train_fleet(variants, prepared)
        assert (
            len(prepared.validation.y) == sum(len(y_B) for _, y_B in batches.validation(1000)) == 60
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # sixteen items are what a part is gone through by: as they come, as one array, and the array
    # before
    assert 2 * 8 * 2**20 < peak < 3.5 * 16 * 2**20


def test_the_models_try_out_takes_the_first_rows() -> None:
    of, parts = data()
    prepared = prepare(of)
    parts["train"].reads = 0
    assert probe(variant(of), prepared).reason is None
    assert measure(variant(of), prepared).stacked_seconds > 0
    assert parts["train"].reads <= 4 + 16


# -- metrics in pieces -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 40, 100])
def test_classification_metrics_in_pieces_are_those_of_scikit_learn(size: int) -> None:
    rng = np.random.default_rng(0)
    # The last class does not occur
    logits, labels = 3 * rng.normal(size=(2, 100, 4)), rng.integers(0, 3, 100)
    part = torch.tensor(rng.integers(0, 2, 100))
    metric_state = open_metric_state("classification", "", parts=2)
    for x, y, p in zip(
        torch.tensor(logits).split(size, dim=1),
        torch.tensor(labels).split(size),
        part.split(size),
        strict=True,
    ):
        metric_state.add(x, y, membership(p, 2))
    for found, rows in views(metric_state, part):
        compare(found, logits[:, rows], labels[rows])


def views(
    metric_state: MetricState, part: torch.Tensor
) -> list[tuple[dict[str, np.ndarray], np.ndarray]]:
    """The metrics of each half and of all rows, each (variants,), with a mask of their rows."""
    found = metric_state.metrics(metric_state.sums().numpy(), metric_state.groups)
    masks = [part.numpy() == 0, part.numpy() == 1, np.full(len(part), True)]
    return [({n: v[:, g] for n, v in found.items()}, mask) for g, mask in enumerate(masks)]


def compare(found: Metrics, logits: np.ndarray, labels: np.ndarray) -> None:
    """With scikit-learn's, of two members."""
    for member in range(2):
        exponents = np.exp(logits[member])
        p, predicted = (
            exponents / exponents.sum(axis=1, keepdims=True),
            logits[member].argmax(axis=1),
        )
        recall = metrics.recall_score(labels, predicted, labels=np.unique(labels), average="macro")
        assert float(found["log_loss"][member]) == pytest.approx(
            metrics.log_loss(labels, p, labels=range(4)), rel=1e-12
        )
        assert float(found["accuracy"][member]) == metrics.accuracy_score(labels, predicted)
        assert float(found["balanced_accuracy"][member]) == pytest.approx(recall, rel=1e-12)


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("absent", [False, True])
def test_areas_under_the_curve_in_pieces_are_those_of_scikit_learn(
    size: int, classes: int, absent: bool
) -> None:
    rng = np.random.default_rng(1)
    logits = rng.integers(-2, 3, (3, 100, classes)).astype(float)  # many rows have the same
    labels = rng.integers(0, classes - absent * (classes > 2), 100)
    part = torch.tensor(rng.integers(0, 2, 100))
    metric_state = open_metric_state("classification", "roc_auc", parts=2)
    for x, y, h in zip(
        torch.tensor(logits).split(size, dim=1),
        torch.tensor(labels).split(size),
        part.split(size),
        strict=True,
    ):
        metric_state.add(x, y, membership(h, 2))
    for found, rows in views(metric_state, part):
        y = labels[rows]
        for member in range(3):
            p = torch.log_softmax(torch.tensor(logits[member][rows]), dim=-1).exp().numpy()
            occur = [1] if classes == 2 else np.unique(y)
            expected = np.mean([metrics.roc_auc_score(y == c, p[:, c]) for c in occur])
            assert float(found["roc_auc"][member]) == pytest.approx(expected, rel=1e-12)
            if len(set(y)) == classes:
                whole = metrics.roc_auc_score(y, p[:, 1] if classes == 2 else p, multi_class="ovr")
                assert float(found["roc_auc"][member]) == pytest.approx(whole, rel=1e-12)
    first, second, _ = (found["roc_auc"] for found, _ in views(metric_state, part))
    pooled = metric_state.metrics(
        metric_state.sums()[:, :2].sum(dim=1, keepdim=True).numpy(), [[0, 1]]
    )["roc_auc"][:, 0]
    # Of different epochs: no pairs across the halves
    np.testing.assert_allclose(pooled, (first + second) / 2, rtol=1e-12)


def test_without_a_second_class_the_area_is_that_of_a_constant() -> None:
    metric_state = open_metric_state("classification", "roc_auc")
    metric_state.add(torch.randn(2, 5, 2), torch.ones(5, dtype=torch.int64))
    assert metric_state.metrics(metric_state.sums().numpy(), metric_state.groups)[
        "roc_auc"
    ].tolist() == [[0.5], [0.5]]


@pytest.mark.parametrize("classes", [2, 4])
def test_what_the_area_keeps_is_foreseen(classes: int) -> None:
    logits, labels = torch.randn(3, 4096, classes), torch.randint(0, classes, (4096,))
    peaks = []
    for ranks in (False, True):
        with _HighWater() as held:
            metric_state = open_metric_state("classification", "roc_auc" if ranks else "", parts=2)
            for x, y in zip(logits.split(256, dim=1), labels.split(256), strict=True):
                metric_state.add(x, y, membership(torch.arange(256) % 2, 2))
            metric_state.sums()
        peaks.append(held.peak)
    foreseen = 3 * kept_bytes(ROCAUC, 4096, classes)
    assert 0.6 * foreseen < peaks[1] < foreseen + peaks[0]


def test_members_are_chosen_by_the_area_where_it_is_the_metric() -> None:
    of = Data(source="sklearn:breast_cancer")
    settings = Train(epochs=3, optimizer=SGD(lr=0.01))
    variants = [
        Variant(data=of, model=Model("mlp", width=8), train=settings, metric="roc_auc", seed=i)
        for i in range(2)
    ]
    prepared = prepare(of)
    for done in train_fleet(variants, prepared):
        curve = done.outcome.curves["validation_roc_auc"]
        assert done.outcome.metrics["roc_auc"] == done.outcome.score > 0.9
        module = build_members([done.variant], prepared)[0]
        module.load_state_dict(done.weights)
        x, y = prepared.tensors("validation")
        p = torch.softmax(module.eval()(x).detach().double(), dim=1).numpy()
        assert metrics.roc_auc_score(y.numpy(), p[:, 1]) == pytest.approx(max(curve), abs=1e-6)


@pytest.mark.parametrize("size", [1, 7, 40, 100])
@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_regression_metrics_in_pieces_are_those_of_scikit_learn(size: int, offset: float) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=100) + offset
    predictions = y + 0.3 * rng.normal(size=(2, 100))
    part = torch.tensor(rng.integers(0, 2, 100))
    metric_state = open_metric_state("regression", "", scale=2.5, parts=2)
    outputs = torch.tensor(predictions).unsqueeze(-1)
    for p, t, h in zip(
        outputs.split(size, dim=1), torch.tensor(y).split(size), part.split(size), strict=True
    ):
        metric_state.add(p, t, membership(h, 2))
    for found, rows in views(metric_state, part):
        for member, p in enumerate(predictions):
            mse = metrics.mean_squared_error(y[rows], p[rows])
            assert found["loss"][member] == pytest.approx(mse, rel=1e-12)
            assert found["rmse"][member] == pytest.approx(2.5 * math.sqrt(mse), rel=1e-12)
            assert found["mae"][member] == pytest.approx(
                2.5 * metrics.mean_absolute_error(y[rows], p[rows]), rel=1e-12
            )
            assert found["r2"][member] == pytest.approx(
                metrics.r2_score(y[rows], p[rows]), rel=1e-9
            )


def test_a_streamed_regression_trains() -> None:
    parts = {
        "train": Made(60, quantity=True),
        "validation": Made(30, quantity=True),
        "test": Made(30, quantity=True),
    }
    of = Data.dataset(**parts)
    settings = Train(epochs=30, batch_size=20, optimizer=SGD(lr=0.02))
    model = Model(use="torch.nn:Linear", args={"in_features": FEATURES, "out_features": 1})
    one = Variant(data=of, model=model, train=settings, metric="r2", seed=0)
    assert train_fleet([one], prepare(of))[0].outcome.score > 0.99
