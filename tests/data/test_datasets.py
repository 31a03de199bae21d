"""Datasets at the door, and what is read of them."""

from __future__ import annotations

import json
import pickle
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split
from tests.data import datasets
from tests.data.datasets import CLASSES, FEATURES, Changed, Made, Mapped
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset

from winnow.data import Preparation, default_recipe, describe, load_table, prepare
from winnow.data import _items as items
from winnow.data import _sending as sending
from winnow.data import _stream as streams
from winnow.errors import DataError, RecipeError
from winnow.recipe import Data, Variant, dataset_digest
from winnow.recipe import Model as ModelSettings
from winnow.recipe import Train as TrainSettings


def three(**settings: Any) -> Data:
    return Data.dataset(**datasets.parts(), **settings)


def everything(part: Any, size: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = zip(*part.batches(size), strict=True)
    return torch.cat(x), torch.cat(y)


# -- what comes out --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Made, datasets.Together])
def test_batches_are_those_of_torchs_own_loader(kind: type[Made]) -> None:
    prepared = prepare(Data.dataset(kind(90), classes=3, split={"stratify": False}))
    assert prepared.is_streamed
    for part in (prepared.train, prepared.validation, prepared.test):
        expected = list(DataLoader(Subset(Made(90), part.index.tolist()), batch_size=7))
        found = list(part.batches(7))  # type: ignore[union-attr]
        assert len(found) == len(expected)
        for (x, y), (expected_x, expected_y) in zip(found, expected, strict=True):
            assert torch.equal(x, expected_x)
            assert torch.equal(y, expected_y)
    for x, y in prepared.batches("validation", 7, dtype=torch.float32):
        assert (x.dtype, y.dtype) == (torch.float32, torch.int64)


def test_one_dataset_is_divided_as_rows_in_memory_are() -> None:
    ds = Made(90)
    x, y = (
        np.stack(v)
        for v in zip(*((np.asarray(a), b) for a, b in map(ds.__getitem__, range(90))), strict=True)
    )
    streamed = prepare(Data.dataset(ds, split={"seed": 4}))
    held = prepare(Data.arrays(x, y, split={"seed": 4}, prepare={"standardize": False}))
    for part in ("train", "validation", "test"):
        a, b = getattr(streamed, part), getattr(held, part)
        np.testing.assert_array_equal(a.index, b.index)
        np.testing.assert_array_equal(a.y, b.y)
        np.testing.assert_array_equal(a.X[:], b.X)
        np.testing.assert_array_equal(a.X[np.array([3, 1])], b.X[[3, 1]])
        assert a.y.dtype == b.y.dtype
        assert a.X.shape == b.X.shape
    assert (streamed.classes, streamed.in_shape, streamed.task) == (
        held.classes,
        held.in_shape,
        held.task,
    )
    assert torch.equal(streamed.head("train", 5)[0], held.head("train", 5)[0])
    assert torch.equal(streamed.head("train", 9)[1], held.head("train", 9)[1])
    assert torch.equal(streamed.head("train", 2)[0], held.head("train", 2)[0])
    assert len(streamed.head("test", 500)[0]) == 18


def test_without_labels_the_rows_are_divided_by_number() -> None:
    ds = Made(90)
    prepared = prepare(Data.dataset(ds, classes=CLASSES, split={"stratify": False, "seed": 2}))
    rest, test = train_test_split(np.arange(90), test_size=18, random_state=2)
    np.testing.assert_array_equal(prepared.test.index, np.sort(test))
    np.testing.assert_array_equal(
        prepared.train.index, np.sort(train_test_split(rest, test_size=18, random_state=2)[0])
    )


def test_the_labels_are_read_through_only_where_they_must_be_known() -> None:
    # At the door: the name, the items, the digest twice, the extremes - and a first look
    looks = 6 * 32
    told, counted, divided = Made(3000), Made(3000), Made(3000)
    prepare(Data.dataset(told, classes=3, split={"stratify": False}))
    assert told.reads <= looks
    prepare(Data.dataset(counted, split={"stratify": False}))
    assert 3000 < counted.reads <= 3000 + looks
    notes = prepare(Data.dataset(divided, classes=3)).notes
    assert 3000 < divided.reads <= 3000 + looks
    assert "the labels of 3000 items were read through once" in notes


def test_a_quantity_goes_in_as_it_is() -> None:
    prepared = prepare(Data.dataset(Made(90, quantity=True)))
    assert (prepared.task, prepared.classes, prepared.out_features) == ("regression", None, 1)
    assert prepared.preparation.target_scale == 1
    y = prepared.test.y
    np.testing.assert_allclose(
        y, [Made(90, quantity=True)[i][1] for i in prepared.test.index], rtol=1e-6
    )
    assert y.dtype == np.float32
    np.testing.assert_array_equal(prepared.preparation.decode(y), y)


def test_items_may_be_arrays_lists_and_scalars_of_any_make() -> None:
    forms = [
        TensorDataset(torch.arange(40.0).view(20, 2), torch.arange(20) % 2),
        [(np.array([2.0 * i, 2.0 * i + 1]), np.int8(i % 2)) for i in range(20)],
        [[[2 * i, 2 * i + 1], bool(i % 2)] for i in range(20)],
        [
            (torch.tensor([2 * i, 2 * i + 1], dtype=torch.uint8), np.array([i % 2]))
            for i in range(20)
        ],
    ]

    class Listed(Dataset):
        def __init__(self, items: Any) -> None:
            self.items = items

        def __len__(self) -> int:
            return len(self.items)

        def __getitem__(self, i: int) -> Any:
            return self.items[i]

    for form in forms:
        prepared = prepare(Data.dataset(Listed(form), split={"seed": 1}))
        assert prepared.train.X[:2].tolist() == [
            [2.0 * i, 2.0 * i + 1] for i in prepared.train.index[:2]
        ]
        assert prepared.train.y.tolist() == [i % 2 for i in prepared.train.index]


def test_names_of_classes_come_back_from_predictions() -> None:
    preparation = prepare(three(classes=["low", "mid", "high"])).preparation
    assert preparation.classes == ("low", "mid", "high")
    assert preparation.decode(np.eye(3)).tolist() == ["low", "mid", "high"]
    assert prepare(three(classes=3)).preparation.decode(np.eye(3)).tolist() == [0, 1, 2]


def test_the_preparation_takes_raw_arrays_and_changes_nothing() -> None:
    prepared = prepare(three())
    x = prepared.test.X[:5]
    again = Preparation.from_dict(json.loads(json.dumps(prepared.preparation.to_dict())))
    np.testing.assert_array_equal(again.transform(x), x)
    images = prepare(Data.dataset(TensorDataset(torch.rand(20, 2, 3, 3), torch.arange(20) % 2)))
    assert images.in_shape == (2, 3, 3)
    np.testing.assert_array_equal(images.preparation.transform(images.test.X[:]), images.test.X[:])
    shown = describe(images).to_dict()
    assert shown["rows"] == {"train": 12, "validation": 4, "test": 4}
    json.dumps(shown, allow_nan=False)


def test_a_source_may_be_a_function_a_class_or_an_object_of_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "streamed_here.py").write_text(
        "from tests.data.datasets import Made, parts\n"
        "def one(): return Made(90)\n"
        "class Mine(Made):\n    def __call__(self): raise AssertionError('a dataset is not "
        "called')\n"
        "it = Mine(90)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    as_it_is = {"standardize": False}
    for name in ("one", "Mine", "it"):
        prepared = prepare(Data(source=f"streamed_here:{name}", prepare=as_it_is))
        assert (len(prepared.train), prepared.source) == (54, f"dataset from streamed_here:{name}")
    assert len(prepare(Data(source="streamed_here:parts", prepare=as_it_is)).validation) == 30
    with pytest.raises(
        DataError, match=r"data\.prepare\.standardize: .* write `prepare: \{standardize: false\}`"
    ):
        prepare(Data(source="streamed_here:parts"))
    with pytest.raises(
        DataError,
        match="the dataset from streamed_here:one is no table: write a recipe with a model",
    ):
        default_recipe("streamed_here:one")
    with pytest.raises(DataError, match="is no table"):
        load_table(Data(source="streamed_here:one"))


# -- processes -------------------------------------------------------------------------------------


def test_workers_change_no_number_and_are_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(60, 4)).astype(np.float32))
    np.save(tmp_path / "y.npy", np.arange(60) % 3)
    alone, helped = (
        prepare(Data.dataset(Mapped(tmp_path), workers=n, classes=3, split={"stratify": False}))
        for n in (0, 2)
    )
    for _ in range(2):  # the second pass is by the same processes
        for a, b in zip(alone.batches("train", 5), helped.batches("train", 5), strict=True):
            assert torch.equal(a[0], b[0])
            assert torch.equal(a[1], b[1])
    for prepared in (alone, helped):
        rows = prepared.train
        assert isinstance(rows, streams.StreamedRows)
        loader = rows.stream.take()
        assert not rows.stream._idle  # there was one, for both passes
        list(rows.batches(5, loader=loader))
        rows.stream.give_back(loader)
        assert rows.stream.take() is loader
        next(iter(rows.batches(5, loader=loader)))
        rows.stream.give_back(loader)
        assert rows.stream.take() is not loader  # left in the middle of a pass


class Seeking(Made):
    """Goes to a place and then reads there, as files are read."""

    def __getitem__(self, i: int) -> Any:
        self.place = i
        time.sleep(1e-5)  # another thread may have a turn
        return super().__getitem__(self.place)


def test_threads_read_one_at_a_time() -> None:
    train = prepare(Data.dataset(Seeking(90), classes=3, split={"stratify": False})).train
    assert isinstance(train, streams.StreamedRows)
    expected = np.stack([Made()[i][0].numpy() for i in train.index])
    with ThreadPoolExecutor(4) as pool:
        passes = [pool.submit(everything, train, size) for size in (3, 5, 7, 9)]
        slices = [pool.submit(train.read, slice(None)) for _ in range(2)]
        for found in [*passes, *slices]:
            np.testing.assert_array_equal(found.result()[0], expected)


def test_reading_leaves_the_global_generator_alone() -> None:
    prepared = prepare(three())
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    list(prepared.batches("train", 8))
    assert torch.equal(torch.rand(2), expected)


def test_a_memory_mapped_array_travels_by_the_name_of_its_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.asfortranarray(np.arange(300_000.0).reshape(1000, 300)))
    np.save(tmp_path / "y.npy", np.arange(1000) % 2)
    held = Mapped(tmp_path)
    held.part = held.x[10:20]  # type: ignore[attr-defined]  # a view does not know where in the file it begins
    held.scratch = np.memmap(tmp_path / "new.bin", dtype=np.int16, mode="w+", shape=(4,))  # type: ignore[attr-defined]
    held.scratch[:] = 7  # type: ignore[attr-defined]
    reader = items.Reader(
        dict.fromkeys(("train",), held), {"train": "it"}, (300,), "classification", 2
    )

    packed = sending.pack(reader)
    again = pickle.loads(packed).datasets["train"]

    assert len(packed) < 30_000  # x alone has 2.4 million bytes
    for name in ("x", "y", "part", "scratch"):
        np.testing.assert_array_equal(getattr(again, name), getattr(held, name))
    assert type(again.x) is np.memmap
    assert held.scratch.tolist() == [7] * 4  # type: ignore[attr-defined]


def test_what_cannot_go_to_another_process_is_refused_at_the_door(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = Made(90)
    held.transform = lambda x: x  # type: ignore[attr-defined]
    with pytest.raises(
        DataError,
        match=r"data\.workers: the dataset must go to other processes and cannot be pickled",
    ):
        prepare(Data.dataset(held, workers=2))
    monkeypatch.setattr(sending, "LARGEST_COPY", 2**20)
    large = Made(90)
    large.cache = np.zeros(2**18)  # type: ignore[attr-defined]
    with pytest.raises(
        DataError,
        match=r"data\.workers: a copy of the dataset goes to each process, .* more than 1 MiB",
    ):
        prepare(Data.dataset(large, workers=2))
    assert len(prepare(Data.dataset(large)).train) == 54


def test_what_goes_wrong_in_a_process_is_told_in_one_sentence() -> None:
    rows = prepare(
        Data.dataset(datasets.Unlucky(), workers=1, classes=3, split={"stratify": False})
    ).train
    assert isinstance(rows, streams.StreamedRows)
    loader = rows.stream.take()
    message = r"^data.source: item 1 of the dataset: expected y as a class index \(0 to 2\), got 3$"
    with pytest.raises(DataError, match=message):
        list(loader.batches("train", [np.arange(3, 6), np.arange(2)]))
    with pytest.raises(
        DataError,
        match=r"data\.workers: a process that reads the dataset ended .* `if __name__ == "
        r"'__main__':`",
    ):
        list(loader.batches("train", [np.array([2])]))


def test_a_class_that_is_not_found_in_another_process_is_told() -> None:
    packed = sending.pack(
        items.Reader({"train": Made()}, {"train": "it"}, (FEATURES,), "classification", 3)
    )
    sent = sending.Sent(packed.replace(b"tests.data.datasets", b"tests.data.datasetz"))
    found = sent["train", np.arange(2)]
    assert isinstance(found, items.Wrong)
    assert "cannot be opened in another process (ModuleNotFoundError" in found.message


# -- identity --------------------------------------------------------------------------------------


def test_the_digest_is_of_lengths_and_sampled_items_and_version() -> None:
    a = dataset_digest(Made(90))
    assert a == dataset_digest(Made(90))
    others = [
        dataset_digest(d)
        for d in (
            Made(91),
            Made(90, start=1),
            Changed(89, (torch.zeros(6), 0)),
            {"train": Made(90)},
        )
    ]
    assert len({a, *others, dataset_digest(Made(90), "2")}) == 6
    # honest: between the sampled items a change is not seen
    assert dataset_digest(Changed(1, (torch.zeros(6), 0), rows=10_000)) == dataset_digest(
        Made(10_000)
    )
    assert prepare(Data.dataset(Made(90))).digest == a
    assert prepare(Data.dataset(Made(90), version="2")).digest == dataset_digest(Made(90), "2")


def test_the_name_of_a_dataset_follows_its_content_and_version() -> None:
    assert Data.dataset(Made(90)).source == Data.dataset(Made(90)).source
    assert Data.dataset(Made(90)).source != Data.dataset(Made(90), version="2").source
    assert Data.dataset(Made(90)).source.startswith("object:dataset-")
    assert Data.dataset(Made).source == "tests.data.datasets:Made"
    assert Data.dataset(lambda: Made(90)).source != Data.dataset(lambda: Made(91)).source


def test_workers_are_no_part_of_a_variant() -> None:
    def ids(**settings: Any) -> str:
        data = Data.dataset(Made(90), **settings)
        return Variant(
            data=data, model=ModelSettings("mlp"), train=TrainSettings(), metric="accuracy", seed=0
        ).id

    assert ids() == ids(workers=4)
    assert len({ids(), ids(version="2"), ids(classes=3), ids(classes=["a", "b", "c"])}) == 4
    plain = Variant(
        data=Data(source="sklearn:iris"),
        model=ModelSettings("mlp"),
        train=TrainSettings(),
        metric="accuracy",
        seed=0,
    )
    assert (
        set(json.loads(plain.canonical())["data"]) & {"workers", "classes", "version"} == set()
    )  # as before there were datasets


# -- bad input -------------------------------------------------------------------------------------


class Sizeless(Dataset):
    def __getitem__(self, i: int) -> Any:
        return torch.zeros(2), 0


x = torch.zeros(FEATURES)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            datasets.Endless(),
            "is an IterableDataset, .* expected a map-style torch.utils.data.Dataset with "
            "__len__ and __getitem__",
        ),
        (Made(0), r"data\.source: the dataset is empty: expected at least 10"),
        (Made(9), "the dataset has 9 items: expected at least 10"),
        (Sizeless(), "expected __len__ to give the number of items, it raised"),
        (Changed(0, x), r"item 0 of the dataset: expected a pair \(x, y\), got shape \(6,\)"),
        (Changed(0, (x, 1, 2)), r"expected a pair \(x, y\), got a tuple of 3"),
        (Changed(0, {"x": x, "y": 1}), r"expected a pair \(x, y\), got dict"),
        (
            Changed(0, (torch.tensor(1.0), 1)),
            r"item 0 of the dataset: expected x of at least one axis and one value, got the "
            r"shape \(\)",
        ),
        (
            Changed(89, (torch.zeros(7), 1)),
            r"item 89 .*: x has the shape \(7,\), that of the first item is \(6,\): all must have",
        ),
        (Changed(89, ("abc", 1)), "expected x as a tensor or an array, got str"),
        (Changed(89, (np.array(["a"] * 6), 1)), "expected x of numbers, got <U1"),
        (Changed(89, ([[1, 2], [3]], 1)), "x is ragged: expected one shape"),
        (Changed(89, (x * torch.nan, 1)), "item 89 of the dataset: x holds NaN or infinite values"),
        (Changed(89, (x, -1)), r"expected y as a class index \(0, 1, 2, \.\.\.\), got -1"),
        (
            Changed(89, (x, 1.5)),
            r"expected y as a class index \(0, 1, 2, ...\), got 1.5; for a quantity, task: "
            r"regression",
        ),
        (Changed(0, (x, "cat")), r"expected y as a class index \(0, 1, 2, ...\), got 'cat'"),
        (Changed(0, (x, torch.zeros(3))), r"expected y as a finite number, got shape \(3,\)"),
        (
            Changed(0, (x, float("nan"))),
            "item 0 of the dataset: expected y as a finite number, got nan",
        ),
        (
            Changed(89, (x, 5)),
            "the largest is 5, and there is no item of class 3: number the classes from 0, or "
            "say in data.classes",
        ),
        (datasets.Raising(90), "reading item 45 of the dataset raised OSError: no such frame"),
        (
            datasets.Moody(90),
            "gives other items when it is read again: expected item i to be the same every time",
        ),
        (ConcatDataset([Made(20), Changed(3, (x, 99_999_999_999))]), "no item of class 3"),
    ],
)
def test_bad_datasets_get_one_clear_message(dataset: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as told:
        prepare(Data.dataset(dataset, split={"stratify": False}))
    assert str(told.value).startswith("data.source: ")


def test_an_item_that_was_not_sampled_is_found_when_it_is_read() -> None:
    train = Changed(1, (torch.zeros(FEATURES), 3), rows=3000)
    prepared = prepare(Data.dataset(**{**datasets.parts(), "train": train}, classes=3))
    message = (
        r"^data.source: item 1 of the training dataset: expected y as a class index \(0 to 2\), "
        r"got 3$"
    )
    with pytest.raises(DataError, match=message):
        list(prepared.batches("train", 8))


def test_a_label_beyond_those_that_were_counted_is_found() -> None:
    test = Changed(1, (torch.zeros(FEATURES), 3), rows=3000)
    prepared = prepare(Data.dataset(**{**datasets.parts(), "test": test}))
    assert prepared.classes == ("0", "1", "2")
    with pytest.raises(
        DataError,
        match=r"item 1 of the test dataset: expected y as a class index \(0 to 2\), got 3$",
    ):
        list(prepared.batches("test", 8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "y"}, "data.target: the items of a dataset bring their target along"),
        ({"drop": ["a"]}, "data.drop: the items of a dataset have no columns"),
        ({"shape": [2, 3]}, "data.shape: the items of a dataset have a shape of their own"),
        (
            {"prepare": {"missing_indicator": True}},
            "data.prepare.standardize: the items of a dataset go into the model as they are",
        ),
        (
            {"task": "regression", "classes": 3},
            "data.classes: is for classification, and the task is regression",
        ),
        ({"classes": 2}, r"expected y as a class index \(0 to 1\), got 2"),
    ],
)
def test_settings_that_do_not_suit_datasets_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(message) if "(" not in message else message):
        prepare(three(**settings))


@pytest.mark.parametrize("settings", [{"classes": 3}, {"version": "2"}, {"workers": 1}])
def test_settings_of_datasets_are_refused_for_rows_in_memory(settings: dict[str, Any]) -> None:
    with pytest.raises(
        DataError,
        match=rf"data\.{next(iter(settings))}: is for datasets, and sklearn:iris is read into "
        rf"memory",
    ):
        prepare(Data(source="sklearn:iris", **settings))


def test_the_parts_must_be_all_or_none() -> None:
    for given in ({}, {"train": Made()}, {"train": Made(), "test": Made()}):
        with pytest.raises(
            RecipeError, match="expected one dataset, or all of train, validation and test"
        ):
            Data.dataset(**given)
    with pytest.raises(RecipeError, match="got one dataset and test of these three"):
        Data.dataset(Made(), test=Made())
    with pytest.raises(
        RecipeError, match=r"a value of type Made - a dataset: Data\.dataset\(\.\.\.\)"
    ):
        Data(source=Made())  # type: ignore[arg-type]


def test_a_mapping_with_other_parts_is_refused() -> None:
    data = Data.dataset(lambda: {"train": Made(), "valid": Made(), "test": Made()})
    with pytest.raises(
        DataError,
        match=r"expected datasets under train, validation and test, got train, valid, test - did "
        r"you mean",
    ):
        prepare(data)


def test_rows_that_are_streamed_have_no_tensors() -> None:
    with pytest.raises(
        DataError,
        match=r"the test rows of datasets from Python are not held in memory: read them with "
        r"batches",
    ):
        prepare(three()).tensors("test")
