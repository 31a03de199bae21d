"""Several inputs: what is taken, in what type the model gets it, and what is refused in words."""

from __future__ import annotations

import json
from collections import UserDict
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from tests.data.several import Texts, texts

from winnow.data import InputArrays, Preparation, Rows, prepare
from winnow.errors import DataError, InputError
from winnow.recipe import Data
from winnow.trees import Input

ROWS, LENGTH = 150, 7
ONE = {"ids": [1, 2, 3, 0, 0, 0, 0], "mask": [True, True, True, False, False, False, False]}


def from_items(*items: Any, **settings: Any) -> Any:
    """Data of these items again and again."""

    class Items:
        def __len__(self) -> int:
            return 40

        def __getitem__(self, i: int) -> Any:
            return items[i % len(items)]

    return prepare(Data.dataset(Items(), **settings))


# -- what is taken ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ids_stay_integers_and_masks_booleans(dtype: Any) -> None:
    inputs, labels = texts()
    held = prepare(Data.arrays(inputs, labels, split={"seed": 3}))
    streamed = prepare(Data.dataset(Texts(), split={"seed": 3}))
    expected = {"ids": Input((LENGTH,), "int64"), "mask": Input((LENGTH,), "bool")}
    for prepared in (held, streamed):
        assert prepared.inputs == expected
        assert prepared.in_shape == {"ids": (LENGTH,), "mask": (LENGTH,)}
        for part in ("train", "validation", "test"):
            rows = getattr(prepared, part)
            x = {name: [] for name in expected}
            for x_B, _ in prepared.batches(part, 32, dtype=dtype):
                for name in x:
                    x[name].append(x_B[name])
            for name, pieces in x.items():
                found = torch.cat(pieces)
                assert found.dtype == getattr(torch, expected[name].dtype)
                np.testing.assert_array_equal(found, inputs[name][rows.index])
            few, _ = prepared.head(part, 5, dtype)
            np.testing.assert_array_equal(few["ids"], inputs["ids"][rows.index[:5]])
    np.testing.assert_array_equal(held.train.y, streamed.train.y)
    np.testing.assert_array_equal(held.train.index, streamed.train.index)


def test_floats_in_memory_are_scaled_each_by_itself() -> None:
    rng = np.random.default_rng(0)
    table, image = rng.normal(3, 2, size=(60, 4)), 5 * rng.random((60, 2, 3, 3))
    age, count = rng.normal(40, 9, size=60), rng.integers(0, 9, size=60)
    inputs = (table, image, age, count)
    prepared = prepare(Data.arrays(inputs, np.arange(60) % 2))
    assert isinstance(prepared.train, Rows)
    train = prepared.train.index

    def scaled(rows: np.ndarray) -> np.ndarray:
        return StandardScaler().fit(rows[train]).transform(rows)

    by_channel = np.moveaxis(image, 1, -1)
    channels = StandardScaler().fit(by_channel[train].reshape(-1, 2))
    expected = (
        scaled(table),
        np.moveaxis(channels.transform(by_channel.reshape(-1, 2)).reshape(by_channel.shape), -1, 1),
        scaled(age[:, None])[:, 0],
        count,
    )
    for found, wanted in zip(prepared.train.X[:], expected, strict=True):
        np.testing.assert_allclose(found, wanted[train], atol=1e-5)
    assert [one.dtype for one in prepared.inputs] == ["float32"] * 3 + ["int64"]

    plain = prepare(Data.arrays(inputs, np.arange(60) % 2, prepare={"standardize": False}))
    for found, wanted in zip(plain.train.X[:], inputs, strict=True):
        np.testing.assert_array_equal(found, wanted[train].astype(found.dtype))


def test_one_input_of_ids_and_one_of_pixels() -> None:
    tokens = from_items((torch.tensor([1, 2, 3]), 0), (torch.tensor([4, 5, 6]), 1))
    assert tokens.inputs == Input((3,), "int64")
    assert tokens.head("train", 2)[0].dtype == torch.int64
    pixels = from_items((np.ones((1, 2, 2), dtype=np.uint8), 0), (np.zeros((1, 2, 2), "uint8"), 1))
    assert pixels.inputs == Input((1, 2, 2))
    assert pixels.head("train", 2)[0].dtype == torch.float32


def test_lengths_and_further_targets() -> None:
    items = [
        ({"ids": np.arange(3), "length": n}, {"weight": n / 2, "label": n % 2}) for n in (1, 2)
    ]
    prepared = from_items(*items, target="label")
    assert prepared.inputs["length"] == Input((), "int64")
    assert prepared.preparation.target.name == "label"
    x, y = prepared.head("train", 4, "float64")
    assert list(y) == ["label", "weight"]
    assert (y["label"].dtype, y["weight"].dtype) == (torch.int64, torch.float64)
    np.testing.assert_array_equal(y["weight"], x["length"] / 2)
    np.testing.assert_array_equal(prepared.train.y, prepared.train.X[:]["length"] % 2)


# -- what is refused -------------------------------------------------------------------------------

A, B = np.arange(3), np.arange(4)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([({"a": A}, 0), ({"a": B}, 1)], r"x\['a'\] has the shape \(4,\).* pad the rows"),
        ([((A, A), 0), ((A, B), 1)], r"x\[1\] has the shape \(4,\)"),
        ([({"a": [[1], [1, 2]]}, 0)], r"x\['a'\] is ragged: .*pad the rows, and give their"),
        ([({"a": A}, 0), ({"b": A}, 1)], "x is a mapping of b, that of the first item is a map"),
        ([({"a": A}, 0), (A, 1)], "x is one tensor or array, that of the first item is a map"),
        (
            [((A, A), 0), ((A, A, A), 1)],
            "x is a tuple of 3, that of the first item is a tuple of 2",
        ),
        ([({"a": A}, 0), ({"a": A / 2}, 1)], r"x\['a'\] holds float64, that of the first item int"),
        ([({"a": A > 1}, 0), ({"a": A}, 1)], r"x\['a'\] holds int64, that of the first item bool"),
        ([({"a": np.full(3, np.nan)}, 0)], r"x\['a'\] holds NaN or infinite values"),
        ([({"a": "text"}, 0)], r"expected x\['a'\] as a tensor or an array, got str"),
        ([({1: A}, 0)], "expected the names of inputs in x, got 1"),
        ([({}, 0)], "expected the names of inputs in x, got none"),
        ([(A, {"y": 0, "z": 1})], r"data.target: expected the name of the target .* has y, z"),
    ],
)
def test_items_that_do_not_fit_are_told(items: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_items(*items)


def test_a_target_must_be_there_and_be_the_main_one() -> None:
    items = [(A, {"label": 0, "logits": 0.5}), (A, {"label": 1, "logits": 0.5})]
    with pytest.raises(DataError, match="has no 'lable' - did you mean 'label'"):
        from_items(*items, target="lable")
    with pytest.raises(DataError, match="'logits' beside 'label' would be taken for what is"):
        from_items(*items, target="label")
    with pytest.raises(DataError, match="bring their target along"):
        from_items((A, 0), (A, 1), target="label")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"a": np.ones((20, 2)), "b": np.ones(19)},
            r"same number of rows, got x\['a'\] 20, x\['b'\]",
        ),
        (
            (np.ones(20), np.full(20, np.nan)),
            r"expected finite numbers in x\[1\], got nan at x\[1\]",
        ),
        ({"a": np.array(["u"] * 20)}, r"expected x\['a'\] of numbers, got <U1"),
        ({"a": [[1], [1, 2]]}, r"x\['a'\] is ragged: .*; pad the rows"),
    ],
)
def test_arrays_that_do_not_fit_are_told(inputs: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare(Data.arrays(inputs, np.arange(20) % 2))


@pytest.mark.parametrize(
    "setting",
    [{"drop": ["ids"]}, {"shape": [7, 2]}, {"weights": "ids"}, {"split": {"order_by": "ids"}}],
)
def test_settings_for_columns_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="hold several inputs"):
        prepare(Data.arrays(*texts(), **setting))


# -- rows to predict -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def preparation() -> Preparation:
    return prepare(Data.arrays(*texts())).preparation


def test_a_preparation_is_read_back(preparation: Preparation) -> None:
    plain = preparation.to_dict()
    assert plain["format"] == 4
    back = Preparation.from_dict(json.loads(json.dumps(plain)))
    assert back == preparation
    assert back.inputs == preparation.inputs
    assert (
        prepare(Data.arrays(np.ones((20, 2)), np.arange(20) % 2)).preparation.to_dict()["format"]
        == 2
    )


def test_rows_come_in_several_forms(preparation: Preparation) -> None:
    inputs, _ = texts()
    whole = preparation.transform(inputs)
    records = [{name: x[i].tolist() for name, x in inputs.items()} for i in range(3)]
    zeros_and_ones = [{**row, "mask": [int(m) for m in row["mask"]]} for row in records]
    for rows in (records, zeros_and_ones, [{n: x[i] for n, x in inputs.items()} for i in range(3)]):
        found = preparation.transform(rows)
        for name in inputs:
            assert found[name].dtype == whole[name].dtype
            np.testing.assert_array_equal(found[name], whole[name][:3])
    for name, array in preparation.transform(records[0]).items():
        np.testing.assert_array_equal(array, whole[name][:1])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"ids": ONE["ids"]}, r"rows\[1\].mask: missing"),
        ({**ONE, "idz": 1}, r"rows\[1\].idz: no such field - did you mean 'ids'"),
        ({**ONE, "ids": [1, 2]}, r"rows\[1\].ids: expected whole numbers of shape \(7,\), got sh"),
        ({**ONE, "ids": [0.5] * 7}, r"ids: expected rows of whole numbers, each of shape \(7,\)"),
        ({**ONE, "mask": [2] * 7}, r"rows\[1\].mask: expected booleans \(bool\), got 2 at \[0\]"),
    ],
)
def test_rows_that_do_not_fit_are_told(
    preparation: Preparation, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        preparation.transform([ONE, row])


def test_values_unlike_any_in_training_are_told(preparation: Preparation) -> None:
    _, unusual = preparation.examine([ONE, {**ONE, "ids": [99] * 7}])
    assert [[one.field for one in row] for row in unusual] == [[], ["ids"]]


def test_rows_in_memory_are_indexed_as_an_array_is() -> None:
    held = InputArrays({"a": np.arange(6), "b": np.arange(12).reshape(6, 2)})
    assert (len(held), held.shape) == (6, (6, 3))
    np.testing.assert_array_equal(held[np.array([4, 1])]["b"], [[8, 9], [2, 3]])


def test_what_items_hold_is_in_the_digest() -> None:
    def digest(ids: int, mask: int, kind: Any = dict) -> str:
        item = kind({"ids": np.full(3, ids), "mask": np.full(3, mask) > 0})
        return str(from_items((item, 0), (item, 1)).digest)

    # What tokenizers give is often a mapping and no dictionary
    for kind in (dict, UserDict):
        assert digest(1, 0, kind) == digest(1, 0, kind)
        assert len({digest(i, m, kind) for i in (1, 2) for m in (0, 1)}) == 4
