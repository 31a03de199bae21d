"""Streamed rows the whole way: from YAML through search, ablation, training, evaluation and
compression to a bundle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from tests.data.datasets import FEATURES, Made, parts
from tests.pipeline.conftest import small
from torch.utils.data import Dataset

import winnow
from winnow.errors import RecipeError, WorkspaceError
from winnow.pipeline import run

YAML = """
name: streamed
data: {source: "tests.data.datasets:parts", prepare: {standardize: false}}
model: {use: mlp, args: {width: {choice: [4, 8]}, depth: 1}}
train: {epochs: 3, batch_size: 16, dropout: {uniform: [0.0, 0.5]}}
search: {trials: 4, batch: 2, leaders: 2, seeds: 2}
ablate: {seeds: 2}
final: {seeds: 2}
"""


def test_a_recipe_of_datasets_runs_to_its_bundle(tmp_path: Path) -> None:
    (tmp_path / "streamed.yaml").write_text(YAML)
    done = run(tmp_path / "streamed.yaml", out=tmp_path / "run")
    test = Made(30, start=2000)
    x, y = (
        np.stack([test[i][0].numpy() for i in range(30)]),
        np.array([test[i][1] for i in range(30)]),
    )

    assert done.evaluation.rows == 30
    np.testing.assert_array_equal(done.evaluation.truth, y)
    with torch.no_grad():
        expected = (
            done.trained.module()(torch.tensor(x, dtype=torch.float32)).softmax(dim=1).numpy()
        )
    np.testing.assert_allclose(done.evaluation.predictions, expected, atol=1e-6)
    assert done.evaluation.shipped["accuracy"] == metrics.accuracy_score(y, expected.argmax(axis=1))
    assert done.ablation is not None
    # Nothing is standardized, so it cannot be left out
    assert "standardize" not in done.ablation.verdicts()

    bundle = winnow.load(done.bundle)
    assert bundle.schema[0]["shape"] == [FEATURES]
    probabilities = bundle.predict_proba(x)  # of raw arrays
    np.testing.assert_allclose(probabilities, expected, atol=0.05)  # int8 may have been chosen
    np.testing.assert_array_equal(
        bundle.predict([{"x": row.tolist()} for row in x]), probabilities.argmax(axis=1)
    )
    assert done.documents["data"]["rows"] == {"train": 60, "validation": 30, "test": 30}
    assert done.documents["compression"]["rows"] == 30


def test_workers_may_change_when_a_run_goes_on_and_the_data_may_not(tmp_path: Path) -> None:
    def recipe(**settings: Any) -> Any:
        return small(data=winnow.Data.dataset(**parts(), classes=3, **settings), name="again")

    with winnow.Flow(recipe(), tmp_path) as flow:
        assert flow.recipe.data.workers == 0
    with winnow.Flow(recipe(workers=1), tmp_path) as flow:
        assert flow.recipe.data.workers == 1
    with pytest.raises(WorkspaceError, match=r"data\.version: nothing there, '2' now"):
        winnow.Flow(recipe(version="2"), tmp_path)


class Broken(Dataset):
    """``Made`` with a label of a class that there is not, where nobody looks at first."""

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.zeros(FEATURES), 7 if i == 500 else i % 3


def test_mistakes_are_told_under_their_setting(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"data\.source: the dataset is empty: expected at least 10"
    ):
        winnow.run(small(data=winnow.Data.dataset(Made(0))), out=tmp_path / "a")
    data = winnow.Data.dataset(Broken(), classes=3, split={"stratify": False})
    with pytest.raises(
        winnow.DataError,
        match=r"item 500 of the dataset: expected y as a class index \(0 to 2\), got 7",
    ):
        winnow.run(small(data=data), out=tmp_path / "b")
