"""Which rows choose the epoch, and which score at it.

The oracle is a loop that keeps the outputs of every epoch, and scikit-learn's metrics of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from tests.data.datasets import CLASSES, FEATURES, Made
from tests.training import architectures
from torch import Tensor, nn

from winnow.data import PreparedData, prepare
from winnow.methods import SGD, AdamW
from winnow.metrics import METRICS
from winnow.models import build
from winnow.recipe import (
    Data,
    EarlyStopping,
    Model,
    Split,
    Train,
    Variant,
    derive_seed,
    metric_of,
)
from winnow.training import train_fleet
from winnow.training._digest import OutputDigest

Score = Callable[[np.ndarray, np.ndarray], float]  # of targets and outputs


def made(task: str, rows: int = 150) -> Data:
    """Rows that are learnt in a few epochs and overlearnt in a few more."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(rows, 12))
    signal = X[:, 0] + 0.5 * X[:, 1] * X[:, 2] + rng.normal(size=rows)
    y = np.digitize(signal, [-0.8, 0.9]) if task == "classification" else 40 * signal + 100
    return Data.arrays(X, y, task=task, split=Split(validation=0.3))  # type: ignore[arg-type]


class Net(nn.Sequential):
    def __init__(self, outputs: int = 3) -> None:
        super().__init__(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, outputs))


def variant(data: Data, metric: str, seed: int = 0, outputs: int = 3, **train: Any) -> Variant:
    settings = {
        "epochs": 25,
        "batch_size": 16,
        "precision": "float64",
        "optimizer": AdamW(lr=0.03),
        "drop_last": False,
        **train,
    }
    return Variant(
        data=data,
        model=Model(Net, outputs=outputs),
        train=Train(**settings),
        metric=metric,
        seed=seed,
    )


def outputs_of_every_epoch(one: Variant, prepared: PreparedData) -> list[np.ndarray]:
    """A loop of the textbook; outputs (validation rows, outputs) after each epoch."""
    shape, outputs = prepared.in_shape, prepared.out_features
    module = build(one.model, in_shape=shape, out_features=outputs, seed=one.seed).double()
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=0.03, weight_decay=float(one.train.optimizer.weight_decay)
    )
    x, y = prepared.tensors("train", torch.float64)
    loss_of = (
        nn.functional.cross_entropy if prepared.task == "classification" else nn.functional.mse_loss
    )
    kept = []
    for epoch in range(one.train.epochs):
        order = torch.randperm(
            len(x), generator=torch.Generator().manual_seed(derive_seed(one.seed, "order", epoch))
        )
        for rows in order.split(16):
            optimizer.zero_grad()
            out: Tensor = module(x[rows])
            loss_of(
                out if prepared.task == "classification" else out.squeeze(-1), y[rows]
            ).backward()
            optimizer.step()
        with torch.no_grad():
            kept.append(module(prepared.tensors("validation", torch.float64)[0]).numpy())
    return kept


def probabilities(logits: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.tensor(logits), dim=-1).numpy()


def score_of(prepared: PreparedData, name: str) -> Score:
    """scikit-learn's metric of targets as prepared and raw outputs."""
    scale = prepared.preparation.target_scale
    center = prepared.preparation.target_center
    found: dict[str, Score] = {
        "accuracy": lambda y, out: float(metrics.accuracy_score(y, out.argmax(axis=1))),
        "balanced_accuracy": lambda y, out: float(
            metrics.balanced_accuracy_score(y, out.argmax(axis=1))
        ),
        "log_loss": lambda y, out: float(
            metrics.log_loss(y, probabilities(out), labels=range(out.shape[1]))
        ),
        "roc_auc": lambda y, out: float(
            metrics.roc_auc_score(y, probabilities(out), multi_class="ovr")
        ),
        "rmse": lambda y, out: scale * math.sqrt(metrics.mean_squared_error(y, out[:, 0])),
        "mae": lambda y, out: scale * float(metrics.mean_absolute_error(y, out[:, 0])),
        "r2": lambda y, out: float(metrics.r2_score(y, out[:, 0])),
        "mse": lambda y, out: scale**2 * float(metrics.mean_squared_error(y, out[:, 0])),
        "average_precision": lambda y, out: float(
            np.mean(
                [
                    metrics.average_precision_score(y == c, probabilities(out)[:, c])
                    for c in np.unique(y)
                ]
            )
        ),
        "brier": lambda y, out: float(
            ((probabilities(out) - np.eye(out.shape[1])[y]) ** 2).sum(1).mean() / 2
        ),
        "ece": lambda y, out: calibration_error(y, probabilities(out)),
        "mape": lambda y, out: float(
            metrics.mean_absolute_percentage_error(scale * y + center, scale * out[:, 0] + center)
        ),
        "macro_f1": lambda y, out: float(
            metrics.f1_score(y, out.argmax(axis=1), average="macro", zero_division=0)
        ),
    }
    return found[name]


def calibration_error(y: np.ndarray, p: np.ndarray) -> float:
    """In 15 bins of the probability of the predicted class, by a loop."""
    right, confidence = p.argmax(axis=1) == y, p.max(axis=1)
    found = 0.0
    for k in range(15):
        mine = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        found += abs(float((confidence[mine] - right[mine]).sum()))
    return found / len(y)


def chosen_by(
    rows: np.ndarray,
    y: np.ndarray,
    kept: list[np.ndarray],
    score: Score,
    loss: Score,
    *,
    up: bool,
    stopping: EarlyStopping | None,
) -> tuple[int, int]:
    """The epoch that these rows choose, and how many they would train."""
    values = [score(y[rows], out[rows]) for out in kept]
    losses = [loss(y[rows], out[rows]) for out in kept]
    end = len(kept)
    if stopping is not None:
        reference, waited = -math.inf, 0
        for epoch, value in enumerate(values):
            signed = value if up else -value
            reference, waited = (
                (signed, 0)
                if signed - reference > float(stopping.min_delta)
                else (reference, waited + 1)
            )
            if waited == stopping.patience:
                end = epoch + 1
                break
    # best score first, then lower loss, then the earlier
    return min(
        range(end), key=lambda e: (round(-values[e] if up else values[e], 12), losses[e])
    ), end


CASES = [(metric.task, metric.name) for metric in METRICS]


@pytest.mark.parametrize(
    "stopping", [None, EarlyStopping(patience=3, min_delta=0.001)], ids=["whole", "stopped"]
)
@pytest.mark.parametrize(("task", "metric"), CASES)
def test_the_score_is_that_of_a_loop_that_keeps_every_epoch(
    task: str, metric: str, stopping: EarlyStopping | None
) -> None:
    data = made(task)
    prepared = prepare(data)
    half = prepared.halves(data.split.seed)
    assert half is not None
    outputs = prepared.out_features
    variants = [variant(data, metric, seed, outputs, early_stopping=stopping) for seed in range(4)]
    found = train_fleet(variants, prepared)
    y = prepared.validation.y.astype(np.float64 if task == "regression" else np.int64)
    different = 0
    for one, finished in zip(variants, found, strict=True):
        kept = outputs_of_every_epoch(one, prepared)
        loss = score_of(prepared, "log_loss" if task == "classification" else "mse")
        how: dict[str, Any] = {"up": metric_of(metric).higher_is_better, "stopping": stopping}
        choose = [
            chosen_by(rows, y, kept, score_of(prepared, metric), loss, **how)
            for rows in (half == 0, half == 1, half < 2)
        ]
        (by_a, _), (by_b, _), (by_all, _) = choose
        pooled = np.where((half == 0)[:, None], kept[by_b], kept[by_a])
        outcome = finished.outcome
        assert outcome.epochs == max(end for _, end in choose)
        assert outcome.best_epoch == by_all
        assert outcome.score == outcome.metrics[metric]
        for name, value in outcome.metrics.items():
            expected = score_of(prepared, name)(y, pooled)
            if name in (
                "roc_auc",
                "average_precision",
            ):  # compares rows with rows, and those of two epochs do not compare
                expected = np.mean(
                    [score_of(prepared, name)(y[half == h], pooled[half == h]) for h in (0, 1)]
                )
            assert value == pytest.approx(expected, rel=1e-9), name
        module = build(one.model, in_shape=(12,), out_features=outputs, seed=0).double()
        module.load_state_dict(finished.weights or {})
        with torch.no_grad():
            np.testing.assert_allclose(
                module(prepared.tensors("validation", torch.float64)[0]).numpy(),
                kept[by_all],
                atol=1e-10,
            )
        different += by_a != by_b
    assert different > 0  # else the test would say nothing


def test_rows_that_are_too_few_to_halve_score_at_the_epoch_that_they_choose() -> None:
    data = made("classification", rows=30)
    prepared = prepare(data)
    assert len(prepared.validation) < 10
    assert prepared.halves(data.split.seed) is None
    assert "which is optimistic; raise data.split.validation" in prepared.notes[-1]
    outcome = train_fleet([variant(data, "accuracy")], prepared)[0].outcome
    assert (
        outcome.score
        == max(outcome.curves["validation_accuracy"])
        == outcome.curves["validation_accuracy"][outcome.best_epoch]
    )


@pytest.mark.parametrize("stopping", [None, EarlyStopping(patience=2)], ids=["whole", "stopped"])
def test_streamed_rows_score_in_the_same_way(stopping: EarlyStopping | None) -> None:
    """Halved by position: of the same rows in memory, cut in the same halves, the same score."""
    parts = {"train": Made(70), "validation": Made(30, start=1000), "test": Made(20, start=2000)}
    data = Data.dataset(**parts, classes=CLASSES)
    prepared = prepare(data)
    half = prepared.halves(data.split.seed)
    assert half is not None
    assert sorted(np.bincount(half)) == [15, 15]
    model = Model("mlp", width=8, depth=1)
    settings = Train(
        epochs=8, batch_size=16, precision="float64", optimizer=SGD(lr=0.3), early_stopping=stopping
    )
    one = Variant(data=data, model=model, train=settings, metric="log_loss", seed=0)
    outcome = train_fleet([one], prepared)[0].outcome
    x, y = prepared.head("validation", 30, torch.float64)
    module = build(model, in_shape=(FEATURES,), out_features=CLASSES, seed=0).double().eval()
    kept = []
    optimizer = torch.optim.SGD(module.parameters(), lr=0.3, momentum=settings.optimizer.momentum)  # type: ignore[union-attr]
    xt, yt = prepared.head("train", 70, torch.float64)
    for epoch in range(8):
        order = torch.randperm(
            70,
            generator=torch.Generator().manual_seed(derive_seed(data.split.seed, "order", epoch)),
        )
        for rows in order.split(16)[: 4 if settings.drop_last else 5]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(xt[rows]), yt[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            kept.append(module(x).numpy())
    loss = score_of(prepared, "log_loss")
    y_N = y.numpy()
    by_a, by_b = (
        chosen_by(half == h, y_N, kept, loss, loss, up=False, stopping=stopping)[0] for h in (0, 1)
    )
    pooled = np.where((half == 0)[:, None], kept[by_b], kept[by_a])
    assert outcome.score == pytest.approx(loss(y_N, pooled), rel=1e-9)


def test_a_member_that_one_half_would_stop_goes_on_for_the_other() -> None:
    """Nobody's patience ends another's choice: what a half chooses is what stopping on that
    half would have given.
    """
    data = made("classification")
    prepared = prepare(data)
    stopping = EarlyStopping(patience=2)
    ends = set()
    for seed in range(6):
        one = variant(data, "accuracy", seed, early_stopping=stopping)
        kept = outputs_of_every_epoch(one, prepared)
        half = prepared.halves(data.split.seed)
        assert half is not None
        score, loss = score_of(prepared, "accuracy"), score_of(prepared, "log_loss")
        y = prepared.validation.y
        three = [
            chosen_by(r, y, kept, score, loss, up=True, stopping=stopping)[1]
            for r in (half == 0, half == 1, half < 2)
        ]
        ends.add(len(set(three)))
        assert train_fleet([one], prepared)[0].outcome.epochs == max(three)
    assert max(ends) > 1


# -- digests ---------------------------------------------------------------------------------------


def digests(outputs: Tensor, *, size: int = 1000) -> list[int]:
    digest = OutputDigest(outputs.shape[1], outputs.device)
    for piece in outputs.split(size, dim=1):
        digest.add(piece)
    return digest.values().tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_digest_is_that_of_the_bits(dtype: torch.dtype) -> None:
    out = torch.randn(3, 200, 4, dtype=dtype, generator=torch.Generator().manual_seed(0))
    whole = digests(out)
    assert len(set(whole)) == 3
    assert all(digests(out, size=size) == whole for size in (1, 7, 150))  # in whatever pieces
    assert [digests(out[i : i + 1])[0] for i in range(3)] == whole  # whoever else is in the fleet
    # However they lie in memory
    assert digests(out.transpose(1, 2).contiguous().transpose(1, 2)) == whole


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_small_change_changes_the_digest(dtype: torch.dtype) -> None:
    rng = np.random.default_rng(0)
    base = torch.tensor(rng.normal(size=(20, 3)), dtype=dtype)
    changed = [base]
    for row in range(20):
        for column in range(3):
            one = base.clone()
            # The last bit
            one[row, column] = torch.nextafter(one[row, column], torch.tensor(9.0, dtype=dtype))
            flipped = base.clone()
            flipped[row, column] *= -1  # the first
            changed += [one, flipped]
    for row in range(19):
        swapped, signs = base.clone(), base.clone()
        swapped[[row, row + 1]] = swapped[[row + 1, row]]
        # Two signs, whose difference is the same at the top of the number
        signs[[row, row + 1]] *= -1
        across = base.clone()
        across[row] = across[row].flip(0)
        changed += [swapped, signs, across]
    assert len(set(digests(torch.stack(changed)))) == len(changed)


def test_outcomes_have_equal_digests_where_the_kept_weights_predict_the_same() -> None:
    data = made("classification")
    prepared = prepare(data)
    same = [variant(data, "accuracy", epochs=6), variant(data, "accuracy", epochs=6, dropout=0.0)]
    other = variant(data, "accuracy", seed=1, epochs=6)
    found = (
        train_fleet([same[0]], prepared)
        + train_fleet([same[1]], prepared)
        + train_fleet([other], prepared)
    )
    texts = [f.outcome.predictions_digest for f in found]
    assert texts[0] == texts[1] != texts[2]
    # that of the weights that were kept, not of the last epoch's
    module = build(other.model, in_shape=(12,), out_features=3, seed=1).double()
    module.load_state_dict(found[2].weights or {})
    with torch.no_grad():
        out = module(prepared.tensors("validation", torch.float64)[0]).unsqueeze(0)
    assert OutputDigest.text(digests(out)[0]) == texts[2]


def test_a_failed_training_has_none() -> None:
    data = made("classification")
    model = Model(architectures.Plain)
    one = variant(data, "accuracy", optimizer=SGD(lr=1e200)).model_copy(update={"model": model})
    outcome = train_fleet([one], prepare(data))[0].outcome
    assert (outcome.status, outcome.predictions_digest) == ("failed", None)
    assert math.isnan(outcome.score)
