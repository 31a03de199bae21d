"""Recipes built in Python: what is accepted, and what it becomes."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from pydantic import BaseModel
from tests.recipe.strategies import recipes

import winnow.recipe
from winnow.methods import SGD, AdamW, Constant, Cosine
from winnow.recipe import (
    READY,
    Choice,
    Data,
    EarlyStopping,
    Integer,
    Log,
    MLPArgs,
    Model,
    Recipe,
    Train,
    Uniform,
    is_range,
)

DATA = Data(source="sklearn:digits")


class Net:
    """A user's model."""

    class Wide:
        """One inside another."""


def make_net(width: int = 3) -> Net:
    return Net()


def test_ranges_are_written_alike_in_python_and_in_mappings() -> None:
    by_hand = Train(
        dropout={"uniform": [0, 0.5]},
        l1={"log": (1e-6, 1e-2)},
        batch_size={"choice": [32, 64]},
        optimizer={"kind": "sgd", "lr": Log(0.1, 1)},
    )

    assert by_hand == Train(
        dropout=Uniform(0, 0.5),
        l1=Log(1e-6, 1e-2),
        batch_size=Choice(32, 64),
        optimizer=SGD(lr=Log(0.1, 1)),
    )
    assert Integer(low=1, high=2) == Integer(1, 2)
    assert Choice(1, 2) == Choice([1, 2]) == Choice((1, 2)) == Choice(options=(1, 2))


def test_numbers_take_the_type_of_their_setting() -> None:
    train = Train(
        dropout=0, optimizer=SGD(lr=1), l1=Choice(0, 1), batch_size=np.int64(32), l2=np.float32(0.5)
    )

    assert [type(x) for x in (train.dropout, train.optimizer.lr, *train.l1.options)] == [float] * 4
    assert type(train.batch_size) is int
    assert type(train.l2) is float
    assert type(Uniform(np.float64(0), np.int32(1)).high) is float


def test_records_may_be_given_as_mappings() -> None:
    recipe = Recipe(
        data={"source": "sklearn:digits", "split": {"test": 0.3}},
        model={"use": "mlp", "args": {"width": {"choice": [8, 16]}}},
        train={"schedule": {"kind": "cosine"}, "early_stopping": {}},
    )

    assert recipe.data.split.test == 0.3
    assert recipe.model == Model("mlp", width=Choice(8, 16))
    assert recipe.train.schedule == Cosine()
    assert recipe.train.early_stopping == EarlyStopping()


def test_options_of_a_choice_are_records_too() -> None:
    train = Train(
        optimizer=Choice({"kind": "sgd"}, AdamW()), schedule={"choice": [{"kind": "constant"}]}
    )

    assert train.optimizer == Choice(SGD(), AdamW())
    assert train.schedule == Choice(Constant())


def test_the_labels_of_a_choice_stand_for_its_options() -> None:
    assert Choice(64, "a", True).labels == (64, "a", True)
    assert Choice(SGD(), AdamW(), SGD(lr=3)).labels == ("sgd", "adamw", "sgd_2")
    assert Choice([[1, 2], [3]]).labels == ((1, 2), (3,))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Uniform(0, 1), True),
        ({"log": [1, 2]}, True),
        ({"choice": []}, True),
        ({"log": [1, 2], "x": 1}, False),
        ({"lag": [1, 2]}, False),
        (3, False),
        ([1, 2], False),
    ],
)
def test_what_is_a_range(value: object, expected: bool) -> None:
    assert is_range(value) is expected


def test_a_model_is_named_by_its_import_path() -> None:
    assert Model(Net).use == f"{__name__}:Net"
    assert Model(Net.Wide).use == f"{__name__}:Net.Wide"
    assert Model(make_net).use == f"{__name__}:make_net"
    assert Model(functools.partial(make_net, width=4)).use.startswith("object:model-")
    assert Model(lambda: Net()).use.startswith("object:_lambda_-")


def test_arguments_of_a_user_s_model_stay_what_they_are() -> None:
    args = {
        "width": Choice(1, 2),
        "names": ("a", "b"),
        "nested": {"rate": {"uniform": [0, 1]}, "n": np.int64(3)},
        "none": None,
        "on": True,
    }

    model = Model(Net, **args)

    assert model.args == {
        "width": Choice(1, 2),
        "names": ["a", "b"],
        "nested": {"rate": Uniform(0, 1), "n": 3},
        "none": None,
        "on": True,
    }
    assert type(model.args["nested"]["n"]) is int
    assert Model(Net, args={"use": 1, "x": 2}, y=3).args == {"use": 1, "x": 2, "y": 3}


def test_a_mapping_of_one_key_is_an_argument_like_any_other() -> None:
    assert Model(Net, x={"height": [1, 2]}).args == {"x": {"height": [1, 2]}}
    assert Model(Net, x={"log": 3, "y": 1}).args == {"x": {"log": 3, "y": 1}}


def test_the_order_of_switching_modules_off_does_not_matter() -> None:
    assert Model(Net, without=["b", "a", "b"]) == Model(Net, without=("a", "b"))


def test_arguments_of_ready_models_have_types_and_defaults() -> None:
    assert MLPArgs().model_dump() == {
        "width": 128,
        "depth": 2,
        "activation": "relu",
        "norm": "none",
        "residual": False,
    }
    assert READY["convnet"]().model_dump() == {
        "channels": 16,
        "depth": 2,
        "kernel": 3,
        "activation": "relu",
        "norm": "batch",
        "width": 64,
    }
    assert Model("mlp", residual={"choice": [True, False]}).args == {
        "residual": Choice(True, False)
    }


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "iris", "diabetes"])
def test_bundled_data_sets_are_known(name: str) -> None:
    assert Data(source=f"sklearn:{name}").source == f"sklearn:{name}"


@pytest.mark.parametrize(
    "source",
    [
        "a.csv",
        "folder/b.CSV",
        "C:\\data\\c.parquet",
        "my.module:load",
        "pkg:deep.load",
        "object:frame-1",
    ],
)
def test_sources_go_by_their_form(source: str) -> None:
    assert Data(source=source, target="y").source == source


def test_arrays_and_frames_are_named_by_their_content() -> None:
    X, y = np.arange(6.0).reshape(3, 2), np.arange(3)

    data = Data.arrays(X, y, task="regression")

    assert data.source.startswith("object:arrays-")
    assert data == Data.arrays(X.copy(), y.copy(), task="regression")
    assert data != Data.arrays(X + 1, y, task="regression")
    assert winnow.recipe.resolve_object(data.source)[0] is not None


def test_a_recipe_says_whether_anything_is_open() -> None:
    assert not Recipe(data=DATA, model=Model("mlp")).is_open
    assert Recipe(data=DATA, model=Model("mlp", width=Choice(1, 2))).is_open
    assert Recipe(data=DATA, model=Model("mlp"), train=Train(optimizer=Choice(SGD()))).is_open


@settings(max_examples=25, deadline=None, derandomize=True)
@given(recipe=recipes)
def test_a_recipe_travels_to_another_process(recipe: Recipe) -> None:
    again = pickle.loads(pickle.dumps(recipe))

    assert again == recipe
    assert again.to_yaml() == recipe.to_yaml()


def test_the_task_decides_what_auto_means() -> None:
    recipe = Recipe(data=DATA, model=Model("mlp"))

    recipe.check_task("classification")
    recipe.check_task("regression")
    assert recipe.metric_for("classification") == "accuracy"
    assert recipe.metric_for("regression") == "rmse"


def test_a_recipe_is_held_against_the_task_once_it_is_known() -> None:
    recipe = Recipe(
        data=DATA,
        model=Model("mlp"),
        metric="r2",
        train=Train(loss="mse", label_smoothing=Uniform(0, 0.1)),
    )

    with pytest.raises(
        ValueError,
        match=r"2 problems in the recipe:\n  metric: 'r2' is not for classification.*\n  "
        r"train.loss: 'mse' is",
    ):
        recipe.check_task("classification")
    with pytest.raises(
        ValueError,
        match=r"^train.label_smoothing: is for classification only, and the task is regression$",
    ):
        recipe.check_task("regression")


def test_every_setting_that_is_a_record_is_frozen_and_strict() -> None:
    records = [
        r for r in vars(winnow.recipe).values() if isinstance(r, type) and issubclass(r, BaseModel)
    ]

    assert len(records) > 20
    assert all(r.model_config["frozen"] and r.model_config["extra"] == "forbid" for r in records)
