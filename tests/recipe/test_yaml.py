"""Recipes written as YAML and read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from tests.recipe.strategies import recipes, texts

from winnow.errors import Problem, RecipeError
from winnow.methods import SGD, AdamW, Cosine
from winnow.recipe import (
    Choice,
    Data,
    EarlyStopping,
    Integer,
    Log,
    Model,
    Recipe,
    Train,
    Uniform,
    locate,
    sections,
)

PROPERTY = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)

MINIMAL = "data: {source: 'sklearn:digits'}\nmodel: {use: mlp}\n"


@PROPERTY
@given(recipe=recipes)
def test_a_recipe_reads_back_equal(recipe: Recipe) -> None:
    again = Recipe.from_yaml(recipe.to_yaml())

    assert again == recipe
    assert again.to_yaml() == recipe.to_yaml()
    assert Recipe.from_yaml(recipe.to_yaml(defaults=True)) == recipe


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=texts)
def test_text_stays_text_for_every_reader_of_yaml(text: str) -> None:
    written = Recipe(name=text, data=Data(source="sklearn:digits"), model=Model("mlp")).to_yaml()

    assert Recipe.from_yaml(written).name == text
    assert yaml.safe_load(written).get("name", "recipe") == text  # PyYAML itself reads YAML 1.1


def test_a_written_recipe_is_made_for_reading() -> None:
    recipe = Recipe(
        name="digits",
        data=Data(source="sklearn:digits", shape=[1, 8, 8]),
        model=Model("mlp", width=Choice(64, 128), depth=Integer(1, 3)),
        train=Train(
            epochs=40,
            optimizer=Choice(
                SGD(lr=Log(1e-3, 0.5), nesterov=True),
                AdamW(lr=Log(1e-4, 1e-1), weight_decay=Uniform(0, 0.1)),
            ),
            schedule=Cosine(warmup=0.1),
            dropout=Uniform(0, 0.6),
            early_stopping=EarlyStopping(),
        ),
        ablate={"modules": ["net.fc1"]},
    )

    assert (
        recipe.to_yaml()
        == """\
name: digits
data:
  source: sklearn:digits
  shape: [1, 8, 8]
model:
  use: mlp
  args:
    width: {choice: [64, 128]}
    depth: {integer: [1, 3]}
train:
  epochs: 40
  optimizer:
    choice:
      - {kind: sgd, lr: {log: [0.001, 0.5]}, nesterov: true}
      - kind: adamw
        lr: {log: [0.0001, 0.1]}
        weight_decay: {uniform: [0.0, 0.1]}
  schedule: {kind: cosine, warmup: 0.1}
  dropout: {uniform: [0.0, 0.6]}
  early_stopping: {}
ablate: {modules: [net.fc1]}
"""
    )


def test_defaults_are_written_when_asked_for() -> None:
    written = Recipe.from_yaml(MINIMAL).to_yaml(defaults=True)

    assert "epochs: 30\n" in written
    assert "clip_norm: null\n" in written
    assert "search: {sampler: tpe, trials: 64, batch: 16, leaders: 3, seeds: 5}\n" in written
    assert "epochs" not in Recipe.from_yaml(MINIMAL).to_yaml()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("1.e-4", 1e-4),
        (".5", 0.5),
        ("+0.5", 0.5),
        ("5e-1", 0.5),
        ("1", 1),
        ("-7", -7),
        ("010", 10),
        ("0x1f", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("off", "off"),
        ("2026-01-01", "2026-01-01"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("1e", "1e"),
        ("e1", "e1"),
        ("'1e-4'", "1e-4"),
        ('"true"', "true"),
        ("!!str 1", "1"),
        ("[1, 2e0]", [1, 2.0]),
        ("{a: 1}", {"a": 1}),
        ("|\n      two\n      lines\n", "two\nlines\n"),
    ],
)
def test_values_are_read_as_yaml_1_2_says(text: str, value: object) -> None:
    recipe = Recipe.from_yaml(
        f"data: {{source: 'sklearn:digits'}}\nmodel:\n  use: my.nets:Net\n  args:\n    x: {text}\n"
    )

    found = recipe.model.args["x"]
    assert found == value
    assert type(found) is type(value)


def test_an_anchor_stands_for_what_it_names() -> None:
    recipe = Recipe.from_yaml(MINIMAL + "train:\n  l1: &same {log: [1e-6, 1e-2]}\n  l2: *same\n")

    assert recipe.train.l1 == recipe.train.l2 == Log(1e-6, 1e-2)


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    recipe = Recipe.from_yaml("name: größe\n" + MINIMAL)

    recipe.save(tmp_path / "recipe.yaml")

    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert Recipe.load(str(tmp_path / "recipe.yaml")) == recipe


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())

    assert Recipe.load(tmp_path / "recipe.yaml") == Recipe.from_yaml(MINIMAL)


def test_a_missing_file_is_told_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text(MINIMAL)

    with pytest.raises(
        RecipeError, match=r"no such file '.*/digit.yaml' - did you mean '.*/digits.yaml'\?"
    ):
        Recipe.load(tmp_path / "digit.yaml")
    with pytest.raises(RecipeError, match=r"no such file '.*/q.txt'$"):
        Recipe.load(tmp_path / "q.txt")
    with pytest.raises(
        RecipeError,
        match=r"no such file '.*' - did you mean|no such file '.*': no folder '.*/nowhere'",
    ):
        Recipe.load(tmp_path / "nowhere" / "digits.yaml")


def test_what_is_no_text_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")

    with pytest.raises(RecipeError, match=r"cannot read '.*binary.yaml': it is not UTF-8 text"):
        Recipe.load(tmp_path / "binary.yaml")
    with pytest.raises(RecipeError, match=r"cannot read '.*': Is a directory"):
        Recipe.load(tmp_path)


def test_the_problems_of_a_file_name_it(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(MINIMAL + "train: {epoch: 3}\n")

    with pytest.raises(
        RecipeError, match=rf"^{path}:3: train.epoch: unknown setting - did you mean 'epochs'\?$"
    ) as caught:
        Recipe.load(path)

    assert caught.value.problems[0].file == str(path)


def test_problems_that_are_found_later_get_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(MINIMAL + "ablate:\n  modules: [fc9]\n")
    late = [
        Problem("ablate.modules", "no such module"),
        Problem("data.target", "no such column"),
        Problem("", "something else"),
    ]

    located = locate(late, path)

    assert [(p.setting, p.line, p.file) for p in located] == [
        ("data.target", 1, str(path)),
        ("", 1, str(path)),
        ("ablate.modules", 4, str(path)),
    ]
    path.unlink()
    assert locate(late, path) == late


def test_the_sound_sections_of_a_file_with_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: x\ndata: {source: a.csv, target: y}\nmodel: {use: mpl}\ntrain: {epochs: "
        "ten}\nablate: {seeds: 4}\n"
    )

    found = sections(path)

    assert found["data"] == Data(source="a.csv", target="y")
    assert set(found) == {"data", "ablate"}
    path.write_text("- not a mapping\n")
    assert sections(path) == {}
    assert sections(tmp_path / "absent.yaml") == {}
