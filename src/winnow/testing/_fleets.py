"""A tiny fleet, in double precision, against the solo runs of its members."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from winnow.data import PreparedData, prepare
from winnow.recipe import Data, Model, Train, Variant
from winnow.testing._contract import calling, expect
from winnow.training import MemberResult, probe, train_fleet

__all__ = ["Tiny", "check_fleet", "train"]

Task = Literal["classification", "regression"]

_EPOCHS = 3
_ROWS = 60
_TOLERANCE = 1e-8  # of weights after some dozen steps


class Tiny(nn.Module):
    """Two layers with a norm between them: matrices, vectors and one that penalties pass by."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(in_features, 4), nn.LayerNorm(4)
        self.last = nn.Linear(4, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.first(x)).tanh())


@functools.cache
def _rows(task: Task) -> tuple[Data, PreparedData]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(_ROWS, 3))
    signal = X @ rng.normal(size=3) + rng.normal(size=_ROWS) / 2
    y = signal if task == "regression" else np.digitize(signal, [-0.5, 0.5])
    data = Data.arrays(X, y, task=task)
    return data, prepare(data)


def train(settings: dict[str, object], *, epochs: int = _EPOCHS) -> Train:
    """Training settings of a tiny fleet in double precision."""
    return Train.model_validate(
        {"epochs": epochs, "batch_size": 8, "precision": "float64", **settings}
    )


def check_fleet(
    name: str,
    settings: Sequence[dict[str, object]],
    task: Task = "classification",
    *,
    model: type[nn.Module] = Tiny,
) -> list[list[float]]:
    """Train members as a fleet and alone, and compare.

    The first member is there twice, the second time with fewer epochs, so that it leaves the fleet
    while the others go on.

    Args:
        name: of the method, for sentences.
        settings: of ``Train``, one for each member.
        task: of the rows.
        model: that is trained.

    Returns:
        The course of the training loss of each member, (members, epochs).

    Raises:
        AssertionError: the members cannot be stacked, fail, or differ from their solo runs.
    """
    data, prepared = _rows(task)
    trains = [*(train(own) for own in settings), train(settings[0], epochs=_EPOCHS - 1)]
    metric = "accuracy" if task == "classification" else "rmse"
    section = Model(model)
    variants = [Variant(data=data, model=section, train=t, metric=metric, seed=0) for t in trains]
    with calling(f"{name}: a fleet"):
        reason = probe(variants[0], prepared).reason
        expect(reason is None, f"{name}: two members cannot be stacked: {reason}")
        together = train_fleet(variants, prepared, stacked=True)
        alone = [train_fleet([variant], prepared, stacked=False)[0] for variant in variants]
    for i, (found, expected) in enumerate(zip(together, alone, strict=True)):
        expect(
            expected.outcome.finished,
            f"{name}: a training fails: {expected.outcome.reason}",
        )
        expect(
            _same(found, expected),
            f"{name}: member {i} of a fleet of {len(variants)} ends with other weights than alone",
        )
    return [found.outcome.curves["train_loss"] for found in together[:-1]]


def _same(found: MemberResult, expected: MemberResult) -> bool:
    ours, theirs = found.weights or {}, expected.weights or {}
    return ours.keys() == theirs.keys() and all(
        torch.allclose(ours[n], theirs[n], rtol=_TOLERANCE, atol=_TOLERANCE) for n in ours
    )
