"""A model of tokens and a mask goes the whole way, from check to server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from tests.data.several import (
    VOCABULARY,
    Attention,
    Branches,
    PicturesAndNumbers,
    ScoresAndSize,
    Texts,
    pictures,
    texts,
)
from tests.serving.doubles import Client
from tests.training.test_inputs import scans
from torch import nn

import winnow
from winnow.errors import InputError, RecipeError
from winnow.evaluation import fit_baselines
from winnow.methods import AdamW, BaseAugment
from winnow.pipeline import check
from winnow.recipe import Ablate, Choice, Data, Final, Model, Recipe, Search, Train
from winnow.serving import create_app


def recipe(data: Data, model: Any = Attention, **train: Any) -> Recipe:
    settings = {"epochs": 2, "batch_size": 32, "optimizer": AdamW(lr=0.02), **train}
    return Recipe(
        name="texts",
        data=data,
        model=Model(model),
        train=Train(**settings),
        search=Search(trials=2, batch=2, leaders=1, seeds=2),
        ablate=Ablate(modules=("norm",), seeds=3),
        final=Final(seeds=2),
    )


@pytest.fixture(scope="module", params=["in memory", "streamed"])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    data = Data.dataset(Texts()) if request.param == "streamed" else Data.arrays(*texts())
    asked = recipe(data)
    asked = asked.model_copy(update={"model": Model(Attention, width=Choice(4, 8))})
    return winnow.run(asked, out=tmp_path_factory.mktemp("run") / "texts")


def test_every_stage_is_done(done: Any) -> None:
    assert {"accuracy", "log_loss"} <= done.evaluation.metrics.keys()
    assert "norm" in str(done.ablation.to_dict())
    assert done.path.joinpath("report.html").is_file()


def test_the_bundle_predicts_what_the_module_does(done: Any) -> None:
    bundle = winnow.load(done.bundle)
    inputs, _ = texts()
    module = done.trained.module()
    with torch.inference_mode():
        expected = module(*(torch.tensor(x) for x in inputs.values())).argmax(dim=1)
    np.testing.assert_array_equal(bundle.predict(inputs), expected)
    records = [{name: x[i].tolist() for name, x in inputs.items()} for i in range(5)]
    np.testing.assert_array_equal(bundle.predict(records), expected[:5])
    assert [(c["name"], c["dtype"]) for c in bundle.schema] == [("ids", "int64"), ("mask", "bool")]


def test_ids_beyond_the_vocabulary_are_an_input_error(done: Any) -> None:
    row = {"ids": [1000] * 7, "mask": [True] * 7}
    with pytest.raises(InputError, match="does not take these values of ids, mask"):
        winnow.load(done.bundle).predict([row])


def test_the_server_answers_records(done: Any) -> None:
    client = Client(create_app(done.bundle))
    inputs, _ = texts()
    rows = [{name: x[i].tolist() for name, x in inputs.items()} for i in range(4)]
    answer = client.post("/predict", json={"rows": rows}).json()
    assert answer["predictions"] == winnow.load(done.bundle).predict(rows).tolist()
    wrong = [{**rows[0], "mask": [0.5] * 7}, {**rows[0], "ids": rows[0]["ids"][1:]}]
    refused = client.post("/predict", json={"rows": wrong})
    assert refused.status_code == 422
    told = [problem["message"] for problem in refused.json()["error"]["problems"]]
    assert told[0].startswith("expected true or false in nested lists of shape 7, got 0.5")
    assert told[1].startswith("expected whole numbers in nested lists of shape 7, got 6 values")
    assert client.get("/").status_code == client.get("/docs").status_code == 200


def test_what_cannot_be_is_told_before_training(tmp_path: Path) -> None:
    data = Data.arrays(*texts())
    with pytest.raises(
        RecipeError, match="mlp takes one input of floats, and the data has ids int"
    ):
        check(recipe(data, "mlp"))
    with pytest.raises(RecipeError, match=r"fails on a batch of shape ids \(2, 7\), mask \(2, 7\)"):
        check(recipe(data, PicturesAndNumbers))


class Scaled(BaseAugment):
    """Changes one input."""

    @staticmethod
    def apply(x_VBF: Any, targets: Any, uniform: Any) -> Any:
        return x_VBF * uniform(1), targets


def test_an_augmentation_of_one_input_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"train.augment\[0\]: Scaled changes one input and one"):
        check(recipe(Data.arrays(*texts()), augment=(Scaled(),)))


class Bag(nn.Module):
    """The mean of embedded ids: one input, which is not of floats."""

    def __init__(self, out_features: int) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(VOCABULARY, 4), nn.Linear(4, out_features)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.tokens(ids).mean(dim=1))


class Ids(Texts):
    """Ids alone."""

    def __getitem__(self, i: int) -> Any:
        inputs, label = super().__getitem__(i)
        return inputs["ids"], label


def test_one_input_of_ids_goes_the_whole_way(tmp_path: Path) -> None:
    asked = recipe(Data.dataset(Ids()), Bag).model_copy(update={"ablate": Ablate()})
    done = winnow.run(asked, out=tmp_path / "ids", ablate=False)
    bundle, (inputs, _) = winnow.load(done.bundle), texts()
    with torch.inference_mode():
        expected = done.trained.module()(torch.tensor(inputs["ids"])).argmax(dim=1)
    np.testing.assert_array_equal(bundle.predict(inputs["ids"]), expected)
    np.testing.assert_array_equal(bundle.predict([{"x": [1] * 7}]).shape, (1,))


def test_a_regression_on_two_blocks_of_a_table(tmp_path: Path) -> None:
    table = load_diabetes()
    blocks = table.data[:160, :4], table.data[:160, 4:]
    asked = recipe(Data.arrays(blocks, table.target[:160]), Branches, epochs=10)
    done = winnow.run(asked, out=tmp_path / "blocks", ablate=False)
    bundle = winnow.load(done.bundle)
    assert [column["name"] for column in bundle.schema] == ["x0", "x1"]
    prepared = done.trained.prepared
    scaled = prepared.preparation.transform(blocks)
    with torch.inference_mode():
        outputs = done.trained.module()(*map(torch.from_numpy, scaled))
    expected = prepared.preparation.decode(outputs)
    np.testing.assert_allclose(bundle.predict(blocks), expected, rtol=1e-3)
    records = [{"x0": blocks[0][i].tolist(), "x1": blocks[1][i].tolist()} for i in range(3)]
    np.testing.assert_allclose(bundle.predict(records), expected[:3], rtol=1e-3)
    constant, *others = fit_baselines(prepared, metric="rmse")
    assert constant.predictions is not None
    assert [one.baseline.note for one in others] == [
        "left out: a row has several inputs (x0, x1)"
    ] * 2


def test_the_main_of_several_outputs_is_what_ships(tmp_path: Path) -> None:
    asked = recipe(scans(), PicturesAndNumbers, loss=ScoresAndSize(weight=0.3))
    asked = asked.model_copy(update={"ablate": Ablate()})
    done = winnow.run(asked, out=tmp_path / "scans", ablate=False)
    bundle, (inputs, _, _) = winnow.load(done.bundle), pictures()
    with torch.inference_mode():
        outputs = done.trained.module()(**{n: torch.from_numpy(x) for n, x in inputs.items()})
    np.testing.assert_allclose(bundle.logits(inputs), outputs["logits"], atol=1e-4)
    assert bundle.preparation.target.name == "label"
