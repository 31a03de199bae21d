"""The prepared data: nothing leaks, everything repeats, tensors are what training needs."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch

from winnow.data import describe, load_table, prepare
from winnow.data._frames import ColumnNote
from winnow.errors import DataError
from winnow.recipe import Data, Prepare, Split


def test_nothing_is_learned_from_validation_and_test_rows(frame: pl.DataFrame) -> None:
    """The canary: rows that are not for training become wild, and nothing fitted moves by a bit."""
    settings = {
        "split": Split(stratify=False),
        "prepare": Prepare(missing_indicator=True, max_categories=6),
        "task": "classification",
    }
    before = prepare(Data.frame(frame, "label", **settings))
    held_out = np.concatenate([before.validation.index, before.test.index])
    is_held_out = pl.Series(np.isin(np.arange(frame.height), held_out))
    wild = frame.with_columns(
        age=pl.when(is_held_out).then(pl.lit(1e12)).otherwise("age"),
        rooms=pl.when(is_held_out).then(None).otherwise("rooms"),
        color=pl.when(is_held_out).then(pl.lit("never seen")).otherwise("color"),
        member=pl.when(is_held_out).then(None).otherwise("member"),
        since=pl.when(is_held_out).then(pl.date(1800, 1, 1)).otherwise("since"),
        label=pl.when(is_held_out)
        .then(pl.col("label").replace({"yes": "no", "no": "yes"}))
        .otherwise("label"),
    )

    after = prepare(Data.frame(wild, "label", **settings))

    assert json.dumps(after.preparation.to_dict()) == json.dumps(before.preparation.to_dict())
    assert after.preparation.schema == before.preparation.schema
    np.testing.assert_array_equal(after.train.index, before.train.index)
    for a, b in zip(after.tensors("train"), before.tensors("train"), strict=True):
        assert torch.equal(a, b)
    assert not np.array_equal(after.test.X, before.test.X)
    assert not np.array_equal(after.test.y, before.test.y)


@pytest.mark.parametrize("shape", [(6,), (2, 3, 1)])
def test_nothing_is_learned_from_validation_and_test_rows_of_arrays(shape: tuple[int, ...]) -> None:
    X, y = (
        np.random.default_rng(0).normal(size=(80, *shape)),
        np.random.default_rng(1).normal(size=80),
    )
    before = prepare(Data.arrays(X, y))
    held_out = np.concatenate([before.validation.index, before.test.index])
    X, y = X.copy(), y.copy()
    X[held_out] *= 1e9
    y[held_out] -= 1e9

    after = prepare(Data.arrays(X, y))

    assert json.dumps(after.preparation.to_dict()) == json.dumps(before.preparation.to_dict())
    np.testing.assert_array_equal(after.train.X, before.train.X)
    np.testing.assert_array_equal(after.train.y, before.train.y)


def test_rows_know_where_they_came_from() -> None:
    frame = pl.DataFrame({"a": [float(i) for i in range(40)], "y": [None, "u", "v", "u"] * 10})
    prepared = prepare(Data.frame(frame, "y", prepare=Prepare(standardize=False)))

    for part in (prepared.train, prepared.validation, prepared.test):
        np.testing.assert_array_equal(part.X[:, 0], part.index)
        assert [prepared.classes[i] for i in part.y] == [frame["y"][int(i)] for i in part.index]  # type: ignore[index]
    assert sum(map(len, (prepared.train, prepared.validation, prepared.test))) == 30


def test_the_same_in_another_process() -> None:
    code = (
        "import hashlib, json\nfrom winnow.data import prepare\nfrom winnow.recipe import Data\n"
        "p = prepare(Data(source='sklearn:wine'))\n"
        "content = json.dumps(p.preparation.to_dict()).encode() + p.train.X.tobytes() + "
        "p.test.index.tobytes()\n"
        "digest = hashlib.sha256(content).hexdigest()\n"
    )
    here: dict[str, str] = {}
    exec(code, here)

    there = subprocess.run(
        [sys.executable, "-c", code + "print(digest)"], capture_output=True, check=True, text=True
    )

    assert there.stdout.strip() == here["digest"]


def test_a_table_that_was_loaded_before_is_used(frame: pl.DataFrame) -> None:
    data = Data.frame(frame, "label")
    table = load_table(data)

    again = prepare(data, table=table)

    assert again.preparation == prepare(data).preparation
    assert again.digest == table.digest


def test_there_are_no_folds_yet() -> None:
    with pytest.raises(DataError, match="expected fold=None, got 2"):
        prepare(Data(source="sklearn:iris"), fold=2)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float32", torch.float32), (torch.float64, torch.float64)]
)
def test_tensors(dtype: torch.dtype | str, expected: torch.dtype) -> None:
    classes, numbers = (
        prepare(Data(source="sklearn:iris")),
        prepare(Data(source="sklearn:diabetes")),
    )

    X, y = classes.tensors("validation", dtype)  # type: ignore[arg-type]
    _, targets = numbers.tensors("train", dtype)  # type: ignore[arg-type]

    assert (X.dtype, X.shape, y.dtype, y.shape) == (expected, (30, 4), torch.int64, (30,))
    assert (targets.dtype, targets.shape) == (expected, (266,))
    np.testing.assert_array_equal(X.numpy(), classes.validation.X)
    assert classes.tensors("validation", expected)[0] is X


def test_prepared_data_travels_to_other_processes_without_its_tensors() -> None:
    prepared = prepare(Data(source="sklearn:iris"))
    size = len(pickle.dumps(prepared))
    prepared.tensors("train")

    again = pickle.loads(pickle.dumps(prepared))

    assert len(pickle.dumps(prepared)) == size
    assert torch.equal(again.tensors("train")[0], prepared.tensors("train")[0])


def test_the_facts_for_the_report(frame: pl.DataFrame) -> None:
    prepared = prepare(Data.frame(frame, "label"))

    facts = describe(prepared).to_dict()

    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["rows"] == {"train": 120, "validation": 40, "test": 40}
    assert facts["classes"] == ["no", "yes"]
    assert (facts["task"], facts["target"], facts["source"]) == (
        "classification",
        "label",
        "frame from Python",
    )
    assert [c["name"] for c in facts["columns"]] == [
        "age",
        "rooms",
        "color",
        "member",
        "since",
        "city",
    ]
    assert facts["columns"][0]["fill"] == frame["age"][prepared.train.index].median()
    assert facts["digest"] == prepared.digest
    table = describe(load_table(Data.frame(frame, "label"))).to_dict()
    assert table["rows"] == {"all": 200}
    assert table["digest"] == prepared.digest


def test_importing_the_room_loads_neither_torch_nor_scikit_learn(tmp_path: object) -> None:
    """Serving needs the preparation and nothing that trains."""
    preparation = prepare(Data(source="sklearn:wine")).preparation
    code = (
        "import json, sys\nfrom winnow.data import Preparation\n"
        f"p = Preparation.from_dict(json.loads({json.dumps(json.dumps(preparation.to_dict()))}))\n"
        "p.decode(p.transform([[1.0] * 13])[:, :3])\n"
        "assert not {'torch', 'sklearn', 'pandas'} & set(sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_a_note_about_one_column_knows_it_and_travels_as_text() -> None:
    note = ColumnNote("a: b", "taken as text")

    assert note == "column 'a: b': taken as text"
    assert note.column == "a: b"
    for again in (pickle.loads(pickle.dumps(note)), copy.deepcopy(note)):
        assert again == note
        assert type(again) is str
