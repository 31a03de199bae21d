"""What a recipe refuses: the setting, what was expected, what was given, the nearest right
name, and the line.
"""

from __future__ import annotations

import math
import re
import textwrap
from typing import Any

import numpy as np
import pytest

from winnow.errors import RecipeError
from winnow.methods import SGD, AdamW
from winnow.recipe import (
    Ablate,
    Choice,
    Data,
    EarlyStopping,
    Integer,
    Log,
    MLPArgs,
    Model,
    Recipe,
    Split,
    Train,
    Uniform,
    Variant,
)

HEAD = "data: {source: 'sklearn:digits'}\nmodel: {use: mlp}\n"  # two lines that are right

JARGON = (
    r"pydantic|validat(or|ed|ion,)|Input should|Value "
    r"error|\.value\b|[Ll]iteral|discriminator|[Tt]uple|\bdict|union"
)


def assert_plain_words(error: RecipeError) -> None:
    assert not re.search(JARGON, str(error))
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


# what stands in the section `train` from line 4 on: the line of the mistake, its setting, its
# message
TRAIN = [
    # names
    ("dropuot: 0.3", 4, "train.dropuot", "unknown setting - did you mean 'dropout'?"),
    ("zzz: 1", 4, "train.zzz", "unknown setting - known: epochs, batch_size"),
    (
        "optimizer: {kind: sdg}",
        4,
        "train.optimizer.kind",
        "expected one of sgd, adamw, lion, lamb, got 'sdg' - did you mean 'sgd'?",
    ),
    (
        "optimizer: {kind: zzz}",
        4,
        "train.optimizer.kind",
        "expected one of sgd, adamw, lion, lamb, got 'zzz'",
    ),
    (
        "optimizer: {kind: [sgd]}",
        4,
        "train.optimizer.kind",
        "expected one of sgd, adamw, lion, lamb, got ['sgd']",
    ),
    (
        "optimizer:\n  kind: sgd\n  beta1: 0.9",
        6,
        "train.optimizer.beta1",
        "unknown setting - known: kind, lr, momentum",
    ),
    ("optimizer: {lr: 0.1}", 4, "train.optimizer.kind", "missing: say which kind is meant"),
    (
        "optimizer: adam",
        4,
        "train.optimizer",
        "expected a mapping of settings, got 'adam' - did you mean {kind: adamw}?",
    ),
    (
        "schedule: zzz",
        4,
        "train.schedule",
        "expected a mapping of settings, got 'zzz' - write {kind: ...} with one of constant, "
        "cosine, one_cycle",
    ),
    (
        "optimizer: sgd",
        4,
        "train.optimizer",
        "expected a mapping of settings, got 'sgd' - write {kind: sgd}",
    ),
    ("optimizer: 3", 4, "train.optimizer", "expected a mapping of settings, got 3"),
    (
        "loss: crossentropy",
        4,
        "train.loss",
        "mse, focal, distillation, got 'crossentropy' - did you mean 'cross_entropy'?",
    ),
    (
        "loss: 3",
        4,
        "train.loss",
        "expected one of auto, cross_entropy, mse, focal, distillation, got 3",
    ),
    # types
    ("epochs: '30'", 4, "train.epochs", "expected a whole number, got '30' (text)"),
    ("epochs: thirty", 4, "train.epochs", "expected a whole number, got 'thirty'"),
    ("epochs: 2.5", 4, "train.epochs", "expected a whole number, got 2.5"),
    ("epochs: true", 4, "train.epochs", "expected a whole number, got true"),
    ("epochs:", 4, "train.epochs", "expected a whole number, got nothing"),
    ("epochs: [1, 2]", 4, "train.epochs", "expected a whole number, got [1, 2]"),
    ("epochs: {a: 1}", 4, "train.epochs", "expected a whole number, got a mapping with a"),
    (
        "epochs: {integer: [1, 5]}",
        4,
        "train.epochs",
        "got a range (integer) - this setting cannot be a range",
    ),
    ("dropout: '0.3'", 4, "train.dropout", "expected a number, got '0.3' (text)"),
    ("dropout: true", 4, "train.dropout", "expected a number, got true"),
    ("drop_last: 1", 4, "train.drop_last", "expected true or false, got 1"),
    ("drop_last: yes", 4, "train.drop_last", "expected true or false, got 'yes'"),
    ("early_stopping: true", 4, "train.early_stopping", "expected a mapping of settings, got true"),
    (
        "early_stopping: {patience: 2.0}",
        4,
        "train.early_stopping.patience",
        "expected a whole number, got 2.0",
    ),
    # bounds
    ("epochs: 0", 4, "train.epochs", "must be at least 1, got 0"),
    ("dropout: 1", 4, "train.dropout", "must be below 1, got 1"),
    ("dropout: -0.1", 4, "train.dropout", "must be at least 0, got -0.1"),
    ("clip_norm: 0", 4, "train.clip_norm", "must be above 0, got 0"),
    ("l1: .inf", 4, "train.l1", "expected a finite number, got inf"),
    ("l1: .nan", 4, "train.l1", "expected a finite number, got nan"),
    ("l1: 1e999", 4, "train.l1", "expected a finite number, got inf"),
    ("schedule: {kind: cosine, final: 2}", 4, "train.schedule.final", "must be at most 1, got 2"),
    # ranges
    (
        "dropout: {unifrom: [0, 0.5]}",
        4,
        "train.dropout",
        "unknown range 'unifrom', did you mean 'uniform'?",
    ),
    (
        "dropout: {Uniform: [0, 0.5]}",
        4,
        "train.dropout",
        "unknown range 'Uniform', did you mean 'uniform'?",
    ),
    (
        "optimizer: {chioce: [1]}",
        4,
        "train.optimizer",
        "unknown range 'chioce', did you mean 'choice'?",
    ),
    (
        "dropout: {uniform: [0, 0.5], log: [1, 2]}",
        4,
        "train.dropout",
        "a range is a mapping with one key",
    ),
    (
        "dropout: {uniform: [0.5, 0.1]}",
        4,
        "train.dropout",
        "the low end must be below the high end, got [0.5, 0.1]",
    ),
    (
        "dropout: {uniform: [0.5, 0.5]}",
        4,
        "train.dropout",
        "the low end must be below the high end, got [0.5, 0.5]",
    ),
    ("dropout: {uniform: [0.5]}", 4, "train.dropout", "expected {uniform: [low, high]}, got [0.5]"),
    ("dropout: {uniform: 0.5}", 4, "train.dropout", "expected {uniform: [low, high]}, got 0.5"),
    ("dropout: {uniform:}", 4, "train.dropout", "expected {uniform: [low, high]}, got nothing"),
    ("dropout: {uniform: [0, a]}", 4, "train.dropout.high", "expected a number, got 'a'"),
    ("dropout: {uniform: [0, .nan]}", 4, "train.dropout.high", "expected a finite number, got nan"),
    ("dropout: {uniform: [-1, 0.5]}", 4, "train.dropout.low", "must be at least 0, got -1"),
    ("dropout: {uniform: [0, 1]}", 4, "train.dropout.high", "must be below 1, got 1"),
    ("l1: {log: [0, 1]}", 4, "train.l1", "a log range must lie above 0, got low = 0"),
    ("l1: {log: [-1, 1]}", 4, "train.l1", "a log range must lie above 0, got low = -1"),
    (
        "batch_size: {integer: [1.5, 3]}",
        4,
        "train.batch_size.low",
        "expected a whole number, got 1.5",
    ),
    ("batch_size: {integer: [0, 3]}", 4, "train.batch_size.low", "must be at least 1, got 0"),
    (
        "batch_size: {uniform: [1, 3]}",
        4,
        "train.batch_size",
        "takes whole numbers, so its range is integer or choice, not uniform",
    ),
    (
        "batch_size: {log: [16, 256]}",
        4,
        "train.batch_size",
        "takes whole numbers, so its range is integer or choice, not log",
    ),
    (
        "optimizer: {uniform: [0, 1]}",
        4,
        "train.optimizer",
        "takes one of a few values, so its range is choice, not uniform",
    ),
    (
        "batch_size: {choice: []}",
        4,
        "train.batch_size",
        "a choice needs at least one option, got none",
    ),
    (
        "batch_size: {choice: 64}",
        4,
        "train.batch_size",
        "expected {choice: [one option, another, ...]}, got 64",
    ),
    ("batch_size: {choice: [64, 64]}", 4, "train.batch_size", "options must differ, got 64 twice"),
    ("dropout: {choice: [0.5, .nan]}", 4, "train.dropout", "options must be finite, got nan"),
    (
        "batch_size:\n  choice:\n    - 64\n    - '128'",
        7,
        "train.batch_size[1]",
        "expected a whole number, got '128' (text)",
    ),
    (
        "optimizer:\n  choice:\n    - sgd",
        6,
        "train.optimizer[0]",
        "expected a mapping of settings, got 'sgd' - write {kind: sgd}",
    ),
    (
        "optimizer:\n  choice:\n    - kind: sgd\n      lr: -1",
        7,
        "train.optimizer.sgd.lr",
        "must be above 0, got -1",
    ),
    (
        "optimizer:\n  choice:\n    - {kind: sgd}\n    - kind: sgd\n      lr: {log: [0, 1]}",
        8,
        "train.optimizer.sgd_2.lr",
        "a log range must lie above 0",
    ),
    # settings that do not go together
    (
        "optimizer: {kind: sgd, momentum: 0, nesterov: true}",
        4,
        "train.optimizer.nesterov",
        "needs momentum above 0",
    ),
    (
        "optimizer: {kind: sgd, momentum: {uniform: [0, 0.9]}, nesterov: {choice: [true, false]}}",
        4,
        "train.optimizer.nesterov",
        "needs momentum above 0, and momentum is or may become 0",
    ),
]


@pytest.mark.parametrize(
    ("text", "line", "setting", "message"),
    TRAIN,
    ids=[case[0].replace("\n", "|") for case in TRAIN],
)
def test_training(text: str, line: int, setting: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(HEAD + "train:\n" + textwrap.indent(text, "  ") + "\n")

    assert [(p.setting, p.line) for p in caught.value.problems] == [(setting, line)]
    assert message in caught.value.problems[0].message
    assert str(caught.value).startswith(f"<recipe>:{line}: {setting}: ")
    assert_plain_words(caught.value)


# a whole recipe: the line of the mistake, its setting, its message
WHOLE = [
    # not a recipe at all
    (
        "",
        1,
        "",
        "expected a mapping with the sections of a recipe (name, data, model, train, metric",
    ),
    ("# nothing here", 1, "", "got nothing"),
    ("- data\n- model", 1, "", "got ['data', 'model']"),
    ("just text", 1, "", "got 'just text'"),
    ("data: [1, 2\nmodel: 3", 2, "", "not YAML: "),
    ("data:\n\tsource: x", 2, "", "not YAML: YAML is indented with spaces, and here is a tab"),
    ("data: {}\nmodel: a: b", 2, "", "not YAML: mapping values are not allowed here"),
    ("data: {}\n---\nmodel: {}", 2, "", "not YAML: expected one document, and here begins another"),
    ("data: {}\nx: \x07", 2, "", "not YAML: special characters are not allowed"),
    ("data: *nowhere", 1, "", "not YAML: found undefined alias 'nowhere'"),
    ("data: &a [*a]", 1, "data[0]", "refers to itself"),
    ("[" * 5000, None, "", "not a recipe: nested too deeply"),
    # sections
    ("model: {use: mlp}", 1, "data", "missing, and it has no default"),
    ("data: {source: 'sklearn:digits'}", 1, "model", "missing, and it has no default"),
    (HEAD + "trian: {}", 3, "trian", "unknown setting - did you mean 'train'?"),
    (
        HEAD + "train:",
        3,
        "train",
        "expected a mapping of settings, got nothing - leave the section out for its defaults",
    ),
    (HEAD + "train: 3", 3, "train", "expected a mapping of settings, got 3"),
    (HEAD + "train: [1]", 3, "train", "expected a mapping of settings, got [1]"),
    (HEAD + "seed: -1", 3, "seed", "must be at least 0, got -1"),
    (HEAD + "name: 3", 3, "name", "expected text, got 3"),
    (HEAD + "metric: acuracy", 3, "metric", "got 'acuracy' - did you mean 'accuracy'?"),
    (HEAD + "final: {seeds: 1}", 3, "final.seeds", "must be at least 2, got 1"),
    (
        HEAD + "search: {sampler: {choice: [tpe]}}",
        3,
        "search.sampler",
        "this setting cannot be a range",
    ),
    (
        HEAD + "search: {trials: 8}\nsearch: {trials: 9}",
        4,
        "search",
        "given twice, first on line 3",
    ),
    (HEAD + "train:\n  l1: 0.1\n  l1: 0.2", 5, "train.l1", "given twice, first on line 4"),
    (HEAD + "? [a]\n: b", 3, "", "expected the name of a setting, got a list or mapping as key"),
    (
        HEAD + "name: !!python/object:os.system x",
        3,
        "name",
        "unknown YAML tag 'tag:yaml.org,2002:python/object:os.system'",
    ),
    (HEAD + "name: !mine x", 3, "name", "unknown YAML tag '!mine'"),
    (HEAD + "seed: !!int x", 3, "seed", "expected a number, got 'x'"),
    # data
    (
        "data: sklearn:digits\nmodel: {use: mlp}",
        1,
        "data",
        "expected a mapping of settings, got 'sklearn:digits'",
    ),
    ("data: {}\nmodel: {use: mlp}", 1, "data.source", "missing, and it has no default"),
    (
        "data: {source: 'sklearn:digit'}\nmodel: {use: mlp}",
        1,
        "data.source",
        "did you mean 'sklearn:digits'?",
    ),
    (
        "data: {source: 'sklearn:linnerud'}\nmodel: {use: mlp}",
        1,
        "data.source",
        "known: digits, breast_cancer, wine, iris, diabetes",
    ),
    (
        "data: {source: digits}\nmodel: {use: mlp}",
        1,
        "data.source",
        "did you mean 'sklearn:digits'?",
    ),
    (
        "data: {source: digit}\nmodel: {use: mlp}",
        1,
        "data.source",
        "did you mean 'sklearn:digits'?",
    ),
    (
        "data: {source: 'sklern:digits'}\nmodel: {use: mlp}",
        1,
        "data.source",
        "did you mean 'sklearn:digits'?",
    ),
    (
        "data: {source: a.xlsx}\nmodel: {use: mlp}",
        1,
        "data.source",
        "expected sklearn:<name>, a path ending in .csv, .tsv or .parquet, or",
    ),
    (
        "data: {source: 3}\nmodel: {use: mlp}",
        1,
        "data.source",
        "expected the name of a data source, a frame or a function, got 3",
    ),
    (
        "data:\n  source: a.csv\nmodel: {use: mlp}",
        1,
        "data.target",
        "missing: name the column of the file to predict",
    ),
    (
        "data:\n  source: a.csv\n  target: y\n  drop: [x, y]\nmodel: {use: mlp}",
        4,
        "data.drop",
        "'y' is the target, so it cannot be dropped",
    ),
    (
        "data:\n  source: sklearn:iris\n  drop: x\nmodel: {use: mlp}",
        3,
        "data.drop",
        "expected a list, got 'x'",
    ),
    (
        "data:\n  source: sklearn:iris\n  drop:\n    - a\n    - 3\nmodel: {use: mlp}",
        5,
        "data.drop[1]",
        "expected text, got 3",
    ),
    (
        "data:\n  source: sklearn:iris\n  shape: [1, 0]\nmodel: {use: mlp}",
        3,
        "data.shape[1]",
        "must be at least 1, got 0",
    ),
    (
        "data:\n  source: sklearn:iris\n  shape: []\nmodel: {use: mlp}",
        3,
        "data.shape",
        "expected at least 1, got []",
    ),
    (
        "data:\n  source: sklearn:iris\n  split: {test: 0.6, validation: 0.5}\nmodel: {use: mlp}",
        3,
        "data.split",
        "test + validation must be below 1, got 0.6 + 0.5",
    ),
    (
        "data:\n  source: sklearn:iris\n  split:\n    test: 1.5\nmodel: {use: mlp}",
        4,
        "data.split.test",
        "must be below 1, got 1.5",
    ),
    (
        "data:\n  source: sklearn:iris\n  prepare: {imputer: mean}\nmodel: {use: mlp}",
        3,
        "data.prepare.imputer",
        "did you mean 'impute'?",
    ),
    (
        "data:\n  source: sklearn:iris\n  prepare: {standardize: {choice: [true, "
        "false]}}\nmodel: {use: mlp}",
        3,
        "data.prepare.standardize",
        "this setting cannot be a range",
    ),
    # model
    (
        "data: {source: 'sklearn:iris'}\nmodel: mlp",
        2,
        "model",
        "expected a mapping of settings, got 'mlp'",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {args: {}}",
        2,
        "model.use",
        "missing, and it has no default",
    ),
    ("data: {source: 'sklearn:iris'}\nmodel: {use:}", 2, "model.use", "got nothing"),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: mpl}",
        2,
        "model.use",
        "got 'mpl' - did you mean 'mlp'?",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: my.nets.Net}",
        2,
        "model.use",
        "expected a ready model (mlp, convnet) or an import",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: 3}",
        2,
        "model.use",
        "expected a model's name, a class or a function",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: mlp, width: 3}",
        2,
        "model.width",
        "the model's arguments stand under `args`",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: mlp, arg: {}}",
        2,
        "model.arg",
        "unknown setting - did you mean 'args'?",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: mlp, args: 3}",
        2,
        "model.args",
        "expected a mapping, got 3",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: mlp, without: fc1}",
        2,
        "model.without",
        "expected a list, got 'fc1'",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel:\n  use: mlp\n  args:\n    depth: 1\n    widht: 3",
        6,
        "model.args.widht",
        "unknown setting - did you mean 'width'?",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: mlp, args: {width: 2.5}}",
        2,
        "model.args.width",
        "expected a whole number, got 2.5",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: mlp, args: {norm: btach}}",
        2,
        "model.args.norm",
        "did you mean 'batch'?",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: convnet, args: {norm: layer}}",
        2,
        "model.args.norm",
        "expected one of none, batch",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: mlp, args: {width: {integer: [0, 8]}}}",
        2,
        "model.args.width.low",
        "must be at least 1, got 0",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: mlp, args: {dropout: 0.1}}",
        2,
        "model.args.dropout",
        "mlp has no such argument; the rate of its dropout is train.dropout",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: 'a:B', args: {x: {log: [0, 1]}}}",
        2,
        "model.args.x",
        "a log range must lie above 0",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: 'a:B', args: {x: {unifrom: [0, 1]}}}",
        2,
        "model.args.x",
        "unknown range 'unifrom' - did you mean 'uniform'?",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: 'a:B', args: {x: [{uniform: [0, 1]}]}}",
        2,
        "model.args.x[0]",
        "a range can be an argument or stand in a mapping, not in a list or another range",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: 'a:B', args: {x: {choice: [1, {uniform: "
        "[0, 1]}]}}}",
        2,
        "model.args.x[1]",
        "not in a list or another range",
    ),
    (
        "data: {source: 'sklearn:iris'}\nmodel: {use: 'a:B', args: {x: [1, .nan]}}",
        2,
        "model.args.x[1]",
        "expected a finite number",
    ),
    # parts
    (
        HEAD + "ablate: {parts: [dropout, momentun]}",
        3,
        "ablate.parts[1]",
        "no such part 'momentun' - did you mean 'momentum'?",
    ),
    (
        HEAD + "ablate: {parts: [model.args.width2]}",
        3,
        "ablate.parts[0]",
        "no such part 'model.args.width2'",
    ),
    (
        HEAD + "ablate: {parts: some}",
        3,
        "ablate.parts",
        "expected 'all' or a list of names, got 'some'",
    ),
    (HEAD + "ablate: {parts: 3}", 3, "ablate.parts", "expected a list, got 3"),
    (HEAD + "ablate: {parts: [1]}", 3, "ablate.parts[0]", "expected text, got 1"),
    # the task
    (
        "data: {source: 'sklearn:digits', task: classification}\nmodel: {use: mlp}\nmetric: rmse",
        3,
        "metric",
        "'rmse' is not for classification, whose metrics are accuracy, balanced_accuracy, "
        "roc_auc, log_loss, macro_f1",
    ),
    (
        "data: {source: 'sklearn:digits', task: regression}\nmodel: {use: mlp}\ntrain: {loss: "
        "cross_entropy}",
        3,
        "train.loss",
        "'cross_entropy' is not for regression, whose loss is mse",
    ),
    (
        "data: {source: 'sklearn:digits', task: regression}\nmodel: {use: mlp}\ntrain: "
        "{label_smoothing: 0.1}",
        3,
        "train.label_smoothing",
        "is for classification only",
    ),
]


@pytest.mark.parametrize(
    ("text", "line", "setting", "message"),
    WHOLE,
    ids=[case[0][-40:].replace("\n", "|") for case in WHOLE],
)
def test_a_whole_recipe(text: str, line: int | None, setting: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(text)

    assert [(p.setting, p.line) for p in caught.value.problems] == [(setting, line)]
    assert message in caught.value.problems[0].message
    assert_plain_words(caught.value)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
data:
  source: sklearn:digit
  sorce: x
model:
  use: mpl
  widht: 3
  args:
    x: {unifrom: [0, 1]}
train:
  epochs: "30"
  epochs: 20
  dropuot: 0.1
  optimizer:
    choice:
      - {kind: sgd, lr: 0, momentum: 2}
      - {kind: adamw, beta1: -1}
ablate: {seeds: 1, smallest_effect: .inf}
metrik: accuracy
"""
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(text)

    assert [(p.line, p.setting) for p in caught.value.problems] == [
        (2, "data.source"),
        (3, "data.sorce"),
        (5, "model.use"),
        (6, "model.widht"),
        (8, "model.args.x"),
        (11, "train.epochs"),
        (12, "train.dropuot"),
        (15, "train.optimizer.sgd.lr"),
        (15, "train.optimizer.sgd.momentum"),
        (16, "train.optimizer.adamw.beta1"),
        (17, "ablate.seeds"),
        (17, "ablate.smallest_effect"),
        (18, "metrik"),
    ]
    assert str(caught.value).startswith("13 problems in the recipe:\n  <recipe>:2: data.source: ")


def test_aliases_that_multiply_are_refused() -> None:
    levels = "\n".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 20)}]" for i in range(1, 9))

    with pytest.raises(RecipeError, match="a recipe of more than 100000 values"):
        Recipe.from_yaml(f"l0: &l0 [1]\n{levels}\n")


# -- from Python -----------------------------------------------------------------------------------

DATA = {"source": "sklearn:digits"}


class Net:
    """Stands for a user's module that was built already."""

    def __call__(self) -> None: ...


PYTHON: list[tuple[Any, str]] = [
    (
        lambda: Recipe(data=DATA, model={"use": "mpl"}, train={"epochs": "3"}),
        "2 problems in the recipe:\n  model.use: expected",
    ),
    (lambda: Recipe(model=Model("mlp")), "data: missing, and it has no default"),
    (
        lambda: Recipe(data=DATA, model=Model("mlp"), trian={}),
        "trian: unknown setting - did you mean 'train'?",
    ),
    (
        lambda: Recipe(data=DATA, model=Model("mlp"), train={3: 4}),
        "train.3: the names of settings are text, got 3",
    ),
    (lambda: Recipe(data=DATA, model=3), "model: expected a mapping of settings, got 3"),
    (
        lambda: Recipe(data=DATA, model=Model("mlp"), train=SGD()),
        "train: expected a mapping of settings, got a value of type SGD",
    ),
    (lambda: Train(dropuot=0.3), "dropuot: unknown setting - did you mean 'dropout'?"),
    (
        lambda: Train(epochs=Integer(1, 3)),
        "epochs: expected a whole number, got a range (integer) - this setting cannot be a range",
    ),
    (lambda: Train(dropout="0.3"), "dropout: expected a number, got '0.3' (text)"),
    (lambda: Train(dropout=math.nan), "dropout: expected a finite number, got nan"),
    (
        lambda: Train(optimizer={"kind": "sdg"}),
        "optimizer.kind: expected one of sgd, adamw, lion, lamb, got 'sdg' - did you mean 'sgd'?",
    ),
    (
        lambda: Train(optimizer="sgd"),
        "optimizer: expected a mapping of settings, got 'sgd' - write {kind: sgd}",
    ),
    (
        lambda: Train(optimizer=Choice(SGD(), 3)),
        "optimizer[1]: expected a mapping of settings, got 3",
    ),
    (
        lambda: Train(batch_size=Uniform(1, 2)),
        "batch_size: this setting takes whole numbers, so its range is integer or choice, not "
        "uniform",
    ),
    (lambda: Train(dropout=Uniform(0, 2)), "dropout.high: must be below 1, got 2"),
    (lambda: Train(l1=Choice(0.1, -1)), "l1[1]: must be at least 0, got -1"),
    (lambda: SGD(lr=0), "lr: must be above 0, got 0"),
    (lambda: SGD(lr=True), "lr: expected a number, got true"),
    (lambda: AdamW(lr=None), "lr: expected a number, got nothing"),
    (lambda: EarlyStopping(patience="3"), "patience: expected a whole number, got '3' (text)"),
    (lambda: Split(test=0.7, validation=0.3), "test + validation must be below 1, got 0.7 + 0.3"),
    (lambda: Uniform(1, 0), "the low end must be below the high end, got [1.0, 0.0]"),
    (lambda: Uniform("a", 0), "low: expected a number, got 'a'"),
    (lambda: Uniform(0, math.inf), "high: expected a finite number, got inf"),
    (lambda: Log(0, 1), "a log range must lie above 0, got low = 0"),
    (lambda: Integer(1.5, 3), "low: expected a whole number, got 1.5"),
    (lambda: Choice(), "a choice needs at least one option, got none"),
    (lambda: Choice([]), "a choice needs at least one option, got none"),
    (lambda: Choice(1, 2, 1), "options must differ, got 1 twice"),
    (lambda: Ablate(parts={"dropout"}), "parts: expected a list, got a value of type set"),
    (
        lambda: Data(source=3),
        "source: expected the name of a data source, a frame or a function, got 3",
    ),
    (lambda: Data(source="x.csv"), "target: missing: name the column of the file to predict"),
    (lambda: Model(), "use: missing, and it has no default"),
    (lambda: Model(3), "use: expected a model's name, a class or a function that builds it, got 3"),
    (
        lambda: Model(Net()),
        "use: expected a class or a function that builds the model, got a Net that is built: "
        "give Net itself",
    ),
    (lambda: Model("mlp", widht=3), "args.widht: unknown setting - did you mean 'width'?"),
    (
        lambda: Model("mlp", width=1, args={"width": 2}),
        "args.width: given twice, in `args` and by name",
    ),
    (
        lambda: Model(Net, x=Net()),
        "args.x: expected a number, text, true or false, a list, a mapping or a range, got a "
        "value of type Net",
    ),
    (lambda: Model(Net, x={1: 2}), "args.x: the keys of a mapping are text, got 1"),
    (lambda: Model(Net, x=np.zeros(3)), "args.x: expected a number, text"),
    (lambda: MLPArgs(depth=0), "depth: must be at least 1, got 0"),
    (
        lambda: Variant(data=Data(**DATA), model=Model("mlp"), train=Train(), metric="acc", seed=0),
        "metric: unknown metric 'acc'",
    ),
]


@pytest.mark.parametrize(("build", "message"), PYTHON, ids=[case[1][:50] for case in PYTHON])
def test_python_refuses_in_the_same_words(build: Any, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build()

    assert str(caught.value).startswith(message)
    assert all(p.line is None and p.file is None for p in caught.value.problems)
    assert_plain_words(caught.value)


def test_yaml_and_python_say_the_same() -> None:
    content = {
        "data": DATA,
        "model": {"use": "mpl"},
        "train": {"epochs": "3", "l1": {"log": [0, 1]}},
    }

    with pytest.raises(RecipeError) as from_python:
        Recipe(**content)
    with pytest.raises(RecipeError) as from_yaml:
        Recipe.from_yaml(
            "data: {source: 'sklearn:digits'}\nmodel: {use: mpl}\ntrain: {epochs: '3', l1: {log: "
            "[0, 1]}}\n"
        )

    assert [(p.setting, p.message) for p in from_python.value.problems] == [
        (p.setting, p.message) for p in from_yaml.value.problems
    ]


def test_nothing_can_be_changed() -> None:
    recipe = Recipe(data=DATA, model=Model("mlp"))

    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        recipe.train.epochs = 3  # type: ignore[misc]
