"""Parts: what can be switched off, and what it is then."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from tests.recipe.strategies import recipes

from winnow.errors import RecipeError
from winnow.methods import EMA, SGD, AdamW, Constant, Cosine, InputNoise, OneCycle
from winnow.recipe import (
    Ablate,
    AuxiliaryLoss,
    Choice,
    Data,
    EarlyStopping,
    Integer,
    Log,
    Model,
    Prepare,
    Recipe,
    Train,
    Uniform,
)

FULL = Recipe(
    data=Data(source="sklearn:digits", prepare=Prepare(missing_indicator=True)),
    model=Model("my.nets:Net", gate=True, bias=False, drop_rate=0.1, width=64),
    train=Train(
        optimizer=SGD(nesterov=True, weight_decay=1e-4),
        schedule=OneCycle(),
        dropout=0.3,
        label_smoothing=0.1,
        l1=1e-5,
        l2=1e-4,
        clip_norm=1.0,
        early_stopping=EarlyStopping(patience=5),
    ),
    ablate=Ablate(modules=["block.fc2"]),
)

PHRASES = {
    "standardize": "standardized numbers",
    "missing_indicator": "indicators of missing values",
    "model.args.gate": "gate of the model",
    "model.args.drop_rate": "dropout at rate 0.1 in the model",
    "model.block.fc2": "module block.fc2",
    "momentum": "momentum 0.9",
    "nesterov": "Nesterov momentum",
    "weight_decay": "weight decay 0.0001",
    "schedule": "one-cycle schedule",
    "dropout": "dropout at rate 0.3",
    "label_smoothing": "label smoothing 0.1",
    "l1": "L1 penalty 1e-05",
    "l2": "L2 penalty 0.0001",
    "clip_norm": "gradients clipped at norm 1",
    "early_stopping": "early stopping after 5 epochs without progress",
}


def recipe(**train: Any) -> Recipe:
    return Recipe(data=Data(source="sklearn:digits"), model=Model("mlp"), train=Train(**train))


def at(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value[step] if isinstance(value, dict) else getattr(value, step)
    return value


def test_every_part_is_found_and_put_in_words() -> None:
    assert {name: part.what for name, part in FULL.parts().items()} == PHRASES


def test_what_is_off_is_no_part() -> None:
    assert list(recipe(optimizer=SGD(momentum=0)).parts()) == ["standardize"]


@pytest.mark.parametrize("name", [name for name in PHRASES if name != "model.block.fc2"])
def test_switching_a_part_off_changes_its_setting_alone(name: str) -> None:
    part = FULL.parts()[name]

    without = FULL.without(name)

    assert at(FULL, part.path) == part.now
    assert at(without, part.path) == part.off
    gone = {"momentum", "nesterov"} if name == "momentum" else {name}
    assert list(without.parts()) == [other for other in PHRASES if other not in gone]
    before, after = FULL.model_dump(), without.model_dump()
    assert before["ablate"] == after["ablate"]
    assert {
        path for path in _leaves(before) if _leaves(before)[path] != _leaves(after).get(path)
    } <= {
        path
        for path in _leaves(before)
        if path.startswith(part.path) or (name == "momentum" and path.endswith("nesterov"))
    }


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    return {
        k: v
        for name, item in value.items()
        for k, v in _leaves(item, f"{path}.{name}".strip(".")).items()
    }


def test_a_module_is_switched_off_by_name() -> None:
    without = FULL.without("model.block.fc2", "model.other")

    assert without.model.without == ("block.fc2", "other")
    assert "model.block.fc2" not in without.parts()


def test_several_parts_go_together_in_any_order() -> None:
    names = list(PHRASES)

    assert FULL.without(*names) == FULL.without(*reversed(names))
    assert FULL.without(*names).parts() == {}
    assert (
        FULL.without("momentum", "nesterov")
        == FULL.without("nesterov", "momentum")
        == FULL.without("momentum")
    )
    assert FULL.without() == FULL


def test_without_momentum_there_is_no_nesterov() -> None:
    assert FULL.without("momentum").train.optimizer == SGD(momentum=0, weight_decay=1e-4)


def test_an_open_setting_counts_as_on() -> None:
    found = recipe(
        dropout=Uniform(0, 0.6),
        l1=Log(1e-6, 1e-2),
        l2=Choice(0, 0.1),
        schedule=Choice(Constant(), Cosine()),
        early_stopping=EarlyStopping(patience=Integer(3, 9)),
        optimizer=SGD(nesterov=Choice(True, False)),
    )

    parts = found.parts()

    assert list(parts) == [
        "standardize",
        "momentum",
        "nesterov",
        "schedule",
        "dropout",
        "l1",
        "l2",
        "early_stopping",
    ]
    assert parts["dropout"].now == Uniform(0, 0.6)
    assert parts["dropout"].what == "dropout at rate 0 to 0.6"
    assert parts["schedule"].what == "constant or cosine schedule"
    assert parts["l2"].what == "L2 penalty 0 or 0.1"
    assert parts["early_stopping"].what == "early stopping after 3 to 9 epochs without progress"
    assert found.without("dropout", "schedule").train == found.train.model_copy(
        update={"dropout": 0.0, "schedule": Constant()}
    )


def test_a_choice_of_nothing_but_off_is_off() -> None:
    assert "l2" not in recipe(l2=Choice(0.0)).parts()
    assert "schedule" not in recipe(schedule=Choice(Constant())).parts()


def test_a_part_of_an_open_optimizer_is_switched_off_in_every_option() -> None:
    found = recipe(
        optimizer=Choice(
            SGD(lr=Log(0.01, 1), weight_decay=1e-4), AdamW(weight_decay=Uniform(0, 0.1))
        )
    )

    parts = found.parts()

    assert parts["weight_decay"].now == {"sgd": 1e-4, "adamw": Uniform(0, 0.1)}
    assert parts["weight_decay"].what == "weight decay 0.0001 (sgd), 0 to 0.1 (adamw)"
    assert parts["momentum"].what == "momentum 0.9 (sgd)"
    assert found.without("weight_decay").train.optimizer == Choice(
        SGD(lr=Log(0.01, 1)), AdamW(weight_decay=0)
    )
    assert found.without("momentum").train.optimizer == Choice(
        SGD(lr=Log(0.01, 1), momentum=0, weight_decay=1e-4), AdamW(weight_decay=Uniform(0, 0.1))
    )


def test_options_that_become_the_same_become_one() -> None:
    found = recipe(optimizer=Choice(SGD(momentum=0.9), SGD(momentum=0.5), AdamW()))

    assert found.without("momentum").train.optimizer == Choice(SGD(momentum=0), AdamW())


def test_arguments_of_a_model_are_parts() -> None:
    model = Model(
        "my.nets:Net",
        a=True,
        b=Choice(True, False),
        c=False,
        dropout=0.0,
        p=Uniform(0, 1),
        drop_rate=True,
        n=1,
        s="yes",
    )
    found = Recipe(data=Data(source="sklearn:digits"), model=model)

    assert [name for name in found.parts() if name.startswith("model.")] == [
        "model.args.a",
        "model.args.b",
        "model.args.p",
        "model.args.drop_rate",
    ]
    assert found.without("model.args.b", "model.args.p").model.args == {
        **model.args,
        "b": False,
        "p": 0.0,
    }


def test_the_normalization_of_a_ready_model_is_a_part_when_it_is_named() -> None:
    found = Recipe(
        data=Data(source="sklearn:digits"), model=Model("mlp", norm="batch", residual=True)
    )

    assert found.parts()["model.args.norm"].what == "batch normalization"
    assert found.without("model.args.norm", "model.args.residual").model == Model(
        "mlp", norm="none", residual=False
    )
    assert "model.args.norm" not in Recipe(data=found.data, model=Model("convnet")).parts()


def test_the_dropout_of_a_user_s_model_can_be_switched_off_unseen() -> None:
    found = Recipe(data=Data(source="sklearn:digits"), model=Model("my.nets:Net"))

    assert "dropout" not in found.parts()
    assert found.without("dropout").train.dropout == 0.0


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["dropuot"], r"^dropuot: no such part - did you mean 'dropout'\?$"),
        (["model.args.gat"], r"^model.args.gat: no such part - did you mean 'model.args.gate'\?$"),
        (["model.args.bias"], r"^model.args.bias: this part is off already$"),
        (["model."], r"^model.: no such part"),
        (
            ["zzz", "yyy"],
            r"^2 problems in the recipe:\n  zzz: no such part - known: standardize, "
            r"missing_indicator.*\n  yyy: no such part",
        ),
    ],
)
def test_a_name_that_is_no_part_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        FULL.without(*names)


def test_what_is_off_cannot_be_switched_off() -> None:
    bare = recipe(optimizer=SGD(momentum=0))

    for name in ("dropout", "momentum", "nesterov", "schedule", "clip_norm", "early_stopping"):
        with pytest.raises(RecipeError, match=rf"^{name}: this part is off already$"):
            bare.without(name)
    with pytest.raises(RecipeError, match=r"^model.fc1: this part is off already$"):
        bare.without("model.fc1").without("model.fc1")


def test_a_recipe_may_ask_for_parts_that_a_search_may_switch_off() -> None:
    found = Recipe(
        data=Data(source="sklearn:digits"),
        model=Model("mlp"),
        train=Train(optimizer=SGD(nesterov=Choice(True, False))),
        ablate=Ablate(parts=["nesterov", "model.net.fc1"]),
    )

    assert found.resolve({"train.optimizer.nesterov": False}).ablate.parts == (
        "nesterov",
        "model.net.fc1",
    )
    assert found.without("nesterov").ablate == found.ablate


@settings(max_examples=40, deadline=None, derandomize=True)
@given(recipe=recipes)
def test_every_part_of_any_recipe_can_be_switched_off(recipe: Recipe) -> None:
    for name, part in recipe.parts().items():
        without = recipe.without(name)
        assert without != recipe
        assert name not in without.parts()
        assert part.what
    assert recipe.without(*recipe.parts()).parts() == {}


def test_a_method_that_changes_nothing_is_no_part() -> None:
    """A search may have ended at such a value; to leave it out would be to compare equals."""

    def parts(weight: object, decay: object, sd: object) -> list[str]:
        train = Train(
            auxiliary_losses=[AuxiliaryLoss("again", weight=weight)],
            averaging=EMA(decay=decay),
            augment=[InputNoise(sd=sd)],
            optimizer=SGD(momentum=0.0),
        )
        recipe = Recipe(data=Data(source="sklearn:iris"), model=Model("mlp"), train=train)
        return [name for name in recipe.parts() if name != "standardize"]

    on = ["averaging", "loss.again", "augment.input_noise"]
    assert parts(0.0, 0.0, 0.0) == []
    assert parts(0.1, 0.9, 0.1) == on
    assert parts(Uniform(0.0, 1.0), Uniform(0.0, 0.9), Uniform(0.0, 1.0)) == on
