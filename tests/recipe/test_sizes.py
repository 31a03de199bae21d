"""What is far too large is told before any work is done for it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from winnow.errors import ModelError, RecipeError
from winnow.models import build
from winnow.recipe import Data, Model, Recipe, Search, Train

SOUND = 'data: {source: "sklearn:iris"}\nmodel: {use: mlp}\n'


def refused(text: str) -> str:
    began = time.perf_counter()
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(text)
    # Seconds; a bomb would take for ever, or all the memory
    assert time.perf_counter() - began < 20
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model: {use: mlp, args: {depth: 1000000}}",
            "model.args.depth: must be at most 1000, got 1000000",
        ),
        (
            "model: {use: mlp, args: {depth: {integer: [1, 5000]}}}",
            "model.args.depth.high: must be at most 1000, got 5000",
        ),
        (
            "model: {use: mlp}\ntrain: {epochs: 10000000}",
            "train.epochs: must be at most 100000, got 10000000",
        ),
        ("model: {use: mlp}\nsearch: {trials: 1000000}", "search.trials: must be at most 100000"),
        ("model: {use: mlp}\nfinal: {seeds: 100000}", "final.seeds: must be at most 10000"),
        (
            f"model: {{use: mlp}}\nname: {'n' * 300}",
            "name: names a folder, so it takes at most 200 bytes, got 300",
        ),
        (
            f"model: {{use: mlp}}\nname: {'漢' * 80}",
            "name: names a folder, so it takes at most 200 bytes, got 240",
        ),
        (
            f"model: {{use: mlp}}\nname: {'n' * 20_000}",
            "name: a value of 20,000 characters: at most 10,000 are taken",
        ),
        (
            f"model: {{use: mlp}}\n? {'n' * 20_000}\n: 1",
            "a name of 20,000 characters: at most 10,000 are taken",
        ),
        (f"model: {{use: mlp}}\nseed: {'9' * 6000}", "seed: expected a number"),
        ("#" * (2**20 + 1), "no recipe: it has more than 1,048,576 characters"),
    ],
)
def test_values_have_an_upper_end(text: str, message: str) -> None:
    assert message in refused(f'data: {{source: "sklearn:iris"}}\n{text}')


def test_aliases_that_multiply_each_other_are_told() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    # A billion values
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]

    assert "a recipe of more than 100000 values" in refused("\n".join(lines))


def test_nesting_without_end_is_told() -> None:
    assert "nested too deeply" in refused("a: " + "[" * 5000)


def test_a_giant_file_is_not_read(tmp_path: Path) -> None:
    place = tmp_path / "giant.yaml"
    with place.open("wb") as file:
        file.truncate(10**12)  # a terabyte of nothing, which takes no room

    with pytest.raises(
        RecipeError, match=r"giant.yaml' is no recipe: it has more than 1,048,576 bytes"
    ):
        Recipe.load(place)


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")

    with pytest.raises(RecipeError, match=r"pipe.yaml' is no file"):
        Recipe.load(tmp_path / "pipe.yaml")


def test_lines_count_as_they_did(tmp_path: Path) -> None:
    (tmp_path / "windows.yaml").write_bytes(
        "\ufeff".encode() + SOUND.replace("\n", "\r\n").encode() + b"sed: 1\r\n"
    )

    with pytest.raises(
        RecipeError, match=r"windows.yaml:3: sed: unknown setting - did you mean 'seed'\?"
    ):
        Recipe.load(tmp_path / "windows.yaml")


def test_a_wide_model_is_counted_before_it_is_built() -> None:
    with pytest.raises(
        ModelError, match=r"a model of 10,000,\d{3},\d{3} parameters, more than 536,870,912"
    ):
        build(Model("mlp", width=100_000, depth=2), in_shape=(3,), out_features=2, seed=0)
    with pytest.raises(ModelError, match=r"model"):
        build(
            Model("convnet", kernel=10**9, channels=10**9),
            in_shape=(1, 8, 8),
            out_features=2,
            seed=0,
        )
    assert (
        build(Model("mlp", width=5000, depth=1), in_shape=(3,), out_features=2, seed=0) is not None
    )


def test_from_python_the_same_ends_hold() -> None:
    for wrong in (
        lambda: Train(epochs=10**7),
        lambda: Search(trials=10**7),
        lambda: Model("mlp", depth=10**6),
    ):
        with pytest.raises(RecipeError, match="must be at most"):
            wrong()
    with pytest.raises(RecipeError, match="names a folder"):
        Recipe(name="n" * 201, data=Data(source="sklearn:iris"), model=Model("mlp"))
