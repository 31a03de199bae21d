"""Datasets at the door: what they must be, and what is found out about them without reading
them whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset

from winnow.data._columns import Block, ClassKind, Target
from winnow.data._inputs import label
from winnow.data._items import Reader, input_of, pairs, target_of
from winnow.data._preparation import Preparation
from winnow.data._sending import pack
from winnow.data._source import DatasetSource
from winnow.data._split import split_rows
from winnow.data._stream import Stream, StreamedRows
from winnow.data._table import MIN_ROWS
from winnow.errors import DataError, did_you_mean
from winnow.recipe import SAMPLED_ITEMS, Data, Prepare, Task, dataset_digest, sampled_items
from winnow.trees import Input, by_name, map_tree

__all__ = ["OpenDatasets", "open_datasets"]

PARTS = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class OpenDatasets:
    """Datasets that can be used, divided."""

    train: StreamedRows
    validation: StreamedRows
    test: StreamedRows
    preparation: Preparation
    digest: str
    notes: tuple[str, ...]


def open_datasets(source: DatasetSource, data: Data) -> OpenDatasets:
    """Look at some items of each dataset, count the classes where they were not told, divide the
    rows.

    Labels are read through once where they must be known: without ``data.classes``, and to divide
    one dataset with ``data.split.stratify``. Every other item is checked when it is read.

    Raises:
        DataError: settings that are not for datasets, datasets of another kind, items that do not
            fit.
    """
    _check_settings(data)
    given = _by_part(source.datasets)
    names = {
        part: "the dataset" if len(given) == 1 else f"the {PARTS[part]} dataset" for part in given
    }
    for part, dataset in given.items():
        _check_length(dataset, names[part], 2 if len(given) > 1 else MIN_ROWS)
    datasets = {part: given.get(part, given["train"]) for part in PARTS}
    reader = _look(
        datasets, {part: names.get(part, "the dataset") for part in PARTS}, list(given), data
    )
    digest = dataset_digest(source.datasets, data.version)
    if digest != dataset_digest(source.datasets, data.version):
        raise DataError(
            "data.source: the dataset gives other items when it is read again: expected item i "
            "to be the same every time; draw "
            "what is random in it from a generator seeded by i"
        )
    stream = Stream(reader, data.workers, pack(reader) if data.workers else None)
    parts, target, notes = _divided(stream, list(given), data)
    if target.classes:  # from here on labels beyond them are found
        reader = replace(reader, classes=len(target.classes))
        stream = Stream(reader, data.workers, pack(reader) if data.workers else None)
    rows = {part: StreamedRows(part, stream, index) for part, index in parts.items()}
    preparation = Preparation.of_blocks(_blocks(rows["train"]), target, reader.inputs)
    notes = (
        *notes,
        f"the digest is of the number of items and of {SAMPLED_ITEMS} of them, spread evenly",
    )
    return OpenDatasets(**rows, preparation=preparation, digest=digest, notes=notes)


def _check_settings(data: Data) -> None:
    if data.drop:
        raise DataError(
            f"data.drop: the items of a dataset have no columns: leave it out, got "
            f"{', '.join(data.drop)}"
        )
    if data.weights is not None:
        raise DataError(
            "data.weights: the items of a dataset have no columns: leave it out, and let a loss of "
            "your own weigh rows by one of their inputs"
        )
    if data.rare_classes != "error":
        raise DataError(
            "data.rare_classes: is for tables and arrays, whose rows are read before they are "
            "divided: leave it out"
        )
    if data.split.order_by is not None:
        raise DataError(
            "data.split.order_by: the items of a dataset have no columns: leave it out, and give "
            "three datasets that "
            "are divided by time"
        )
    for name in ("encoding", "separator", "decimal", "dates"):
        if getattr(data, name) is not None:
            raise DataError(f"data.{name}: is for files of text: leave it out")
    if data.shape is not None:
        raise DataError(
            "data.shape: the items of a dataset have a shape of their own: leave it out, and "
            "reshape in the dataset"
        )
    if data.prepare.steps:
        raise DataError(
            "data.prepare.steps: steps learn from rows in memory, and the items of a dataset are "
            "read when they are needed: leave them out, and do it in the dataset"
        )
    if data.prepare != Prepare(standardize=False):
        raise DataError(
            "data.prepare.standardize: the items of a dataset go into the model as they are: write "
            "`prepare: {standardize: false}` and nothing else there"
        )


def _by_part(found: Any) -> dict[str, Any]:
    if not isinstance(found, Mapping):
        return {"train": found}
    odd = [str(name) for name in found if name not in PARTS]
    if odd or len(found) < len(PARTS):
        hint = did_you_mean(odd[0], PARTS) if odd else ""
        names = ", ".join(map(str, found))
        raise DataError(
            f"data.source: expected datasets under train, validation and test, got {names}{hint}"
        )
    return {part: found[part] for part in PARTS}


def _check_length(dataset: Any, name: str, least: int) -> None:
    if isinstance(dataset, IterableDataset):
        raise DataError(
            f"data.source: {name} is an IterableDataset, whose items cannot be got by number, "
            f"and so neither divided nor "
            "shuffled: expected a map-style torch.utils.data.Dataset with __len__ and "
            "__getitem__, over an index of the file, say"
        )
    if not hasattr(type(dataset), "__getitem__"):
        kind = type(dataset).__name__
        raise DataError(
            f"data.source: {name}: expected a map-style dataset with __len__ and __getitem__, "
            f"got {kind}"
        )
    try:
        length = len(dataset)
    except Exception as error:  # PyTorch's base class has no length
        what = f"{type(error).__name__}: {error}"
        raise DataError(
            f"data.source: {name}: expected __len__ to give the number of items, it raised {what}"
        ) from None
    if length < least:
        found = "is empty" if length == 0 else f"has {length} items"
        raise DataError(f"data.source: {name} {found}: expected at least {least}")


def _look(
    datasets: Mapping[str, Any], names: Mapping[str, str], given: list[str], data: Data
) -> Reader:
    """Return a reader that takes the sampled items of every dataset; what is not told is taken from
    them.
    """
    (x, y, what), *_ = pairs(datasets["train"], names["train"], [0])
    inputs = map_tree(input_of, x)
    for name, one in by_name(inputs).items():
        if 0 in one.shape or not (one.shape or isinstance(inputs, Mapping | tuple)):
            raise DataError(
                f"{what}: expected {label(inputs, name)} of at least one axis and one value, got "
                f"the shape {one.shape}"
            )
    target = _main_target(y, data.target, what)
    y, more = target_of(y, target, what)
    others = {name: input_of(value) for name, value in more.items()}
    classes = len(data.classes) if isinstance(data.classes, tuple) else data.classes
    task: Task = data.task if data.task != "auto" else _task(y)
    if task == "regression" and classes is not None:
        raise DataError(
            "data.classes: is for classification, and the task is regression: leave it out"
        )
    reader = Reader(datasets, names, inputs, task, classes, target, others)
    for part in given:
        for i in sampled_items(len(datasets[part])):
            reader.read(part, np.array([i]))
    return reader


def _main_target(y: Any, asked: str | None, what: str) -> str | None:
    """Return the name of the target that is predicted; None where an item has one target, without
    names.

    Raises:
        DataError: it is not said which it is, or there is none of that name.
    """
    if not isinstance(y, Mapping):
        if asked is not None:
            raise DataError(
                f"data.target: the items of a dataset bring their target along: leave it out, got "
                f"{asked!r}"
            )
        return None
    names = [str(name) for name in y]
    if asked is None and len(names) == 1:
        return names[0]
    if asked is None:
        raise DataError(
            f"data.target: expected the name of the target that is predicted, got none; {what} has "
            f"{', '.join(names) or 'none'}"
        )
    if asked not in y:
        raise DataError(f"data.target: {what} has no {asked!r}{did_you_mean(asked, names)}")
    if "logits" in y and asked != "logits":
        raise DataError(
            f"data.target: a target called 'logits' beside {asked!r} would be taken for what is "
            f"predicted: give it another name in the dataset"
        )
    return asked


def _task(y: Any) -> Task:
    """Numbers with a point are a quantity, all else is taken for classes."""
    return "regression" if np.asarray(y).dtype.kind == "f" else "classification"


def _divided(
    stream: Stream, given: list[str], data: Data
) -> tuple[dict[str, np.ndarray], Target, tuple[str, ...]]:
    """Return positions of each part in its dataset, what is predicted, and notes."""
    reader, notes = stream.reader, []
    is_classes = reader.task == "classification"
    whole = {part: np.arange(len(reader.datasets[part])) for part in given}
    is_divided = len(given) == 1 and data.split.stratify
    labels = None
    if is_classes and (reader.classes is None or is_divided):
        labels = StreamedRows("train", stream, whole["train"]).y
        notes.append(f"the labels of {len(labels)} items were read through once")
    called = reader.target or "y"
    target = Target(called, "regression")
    if is_classes:
        kind: ClassKind = "text" if isinstance(data.classes, tuple) else "integer"
        target = Target(called, "classification", _classes(labels, data.classes), kind)
    if len(given) == 1:
        count = len(whole["train"])  # without labels, by number alone
        task: Task = "regression" if labels is None else "classification"
        whole = split_rows(
            np.broadcast_to(0.0, count) if labels is None else labels, data.split, task
        )._asdict()
    return whole, target, tuple(notes)


def _classes(labels: np.ndarray | None, told: int | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return names of the classes: as told, or those among ``labels``, which must then be numbered
    without a gap.
    """
    if isinstance(told, tuple):
        return told
    if told is not None:
        return tuple(map(str, range(told)))
    assert labels is not None
    present, count = np.unique(labels), int(labels.max()) + 1
    if len(present) < max(count, 2):
        gap = int((present != np.arange(len(present))).argmax())
        found = f"no item of class {gap}" if len(present) < count else "one class only, 0"
        raise DataError(
            f"data.source: expected labels 0 to C-1, at least two, none without an item; the "
            f"largest is {count - 1}, "
            f"and there is {found}: number the classes from 0, or say in data.classes how many "
            f"there are"
        )
    return tuple(map(str, range(count)))


def _blocks(rows: StreamedRows) -> tuple[Block, ...]:
    """Return the inputs as they are: nothing is subtracted, nothing divided by. The extremes are
    those of sampled training rows.
    """
    some = [by_name(rows.X[i : i + 1]) for i in sampled_items(len(rows))]
    return tuple(
        _block(name, one, [item[name] for item in some])
        for name, one in by_name(rows.stream.reader.inputs).items()
    )


def _block(name: str, one: Input, some: Sequence[np.ndarray]) -> Block:
    low, high = min(float(x.min()) for x in some), max(float(x.max()) for x in some)
    channels = (one.shape[0] if one.shape else 1) if one.is_float else 0
    mean, scale = (0.0,) * channels, (1.0,) * channels
    return Block(name, one.shape, mean, scale, low, high, dtype=one.dtype)
