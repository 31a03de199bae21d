"""What `data.source` may name, and what is said when it names nothing."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn.datasets
import torch

from winnow.data import load_table
from winnow.data._arrays import feature_array
from winnow.errors import DataError
from winnow.recipe import Data


@pytest.mark.parametrize(
    ("name", "rows", "columns", "task"),
    [
        ("digits", 1797, 64, "classification"),
        ("breast_cancer", 569, 30, "classification"),
        ("wine", 178, 13, "classification"),
        ("iris", 150, 4, "classification"),
        ("diabetes", 442, 10, "regression"),
    ],
)
def test_the_sets_of_scikit_learn(name: str, rows: int, columns: int, task: str) -> None:
    table = load_table(Data(source=f"sklearn:{name}"))

    assert (len(table), table.shape, table.task) == (rows, (columns,), task)
    assert table.source_label == f"sklearn:{name}"


def test_classes_have_the_names_of_the_set() -> None:
    table, set_ = load_table(Data(source="sklearn:iris")), sklearn.datasets.load_iris()

    assert [set_.target_names[i] for i in set_.target] == table.y.tolist()
    assert table.names == tuple(set_.feature_names)


def test_diabetes_has_its_raw_units() -> None:
    table = load_table(Data(source="sklearn:diabetes"))

    assert isinstance(table.X, np.ndarray)
    assert table.X[:, table.names.index("age")].max() == 79


def test_a_file_is_known_by_its_bytes(csv: Path, frame: pl.DataFrame) -> None:
    parquet = csv.with_suffix(".parquet")
    frame.write_parquet(parquet)

    for path in (csv, parquet):
        table = load_table(Data(source=str(path), target="label"))
        assert table.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert table.names == ("age", "rooms", "color", "member", "since", "city")


def test_csv_and_parquet_say_the_same(csv: Path, frame: pl.DataFrame) -> None:
    parquet = csv.with_suffix(".parquet")
    frame.write_parquet(parquet)

    a, b = (load_table(Data(source=str(path), target="label")) for path in (csv, parquet))

    assert isinstance(a.X, pl.DataFrame)
    assert isinstance(b.X, pl.DataFrame)
    assert a.X.equals(b.X)
    assert a.y.tolist() == b.y.tolist()
    assert a.formats == b.formats == {"since": "date"}


@pytest.mark.parametrize(
    "make", [np.asarray, torch.as_tensor, lambda v: v.tolist()], ids=["numpy", "torch", "lists"]
)
def test_arrays_of_every_make(make: object) -> None:
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2

    table = load_table(Data.arrays(make(X), make(y)))  # type: ignore[operator]

    np.testing.assert_array_equal(table.X, X)
    assert table.y.tolist() == y.tolist()
    assert table.names == ("x0", "x1", "x2")


def test_half_precision_tensors() -> None:
    X = torch.ones(20, 3, dtype=torch.bfloat16) * torch.arange(20)[:, None]

    assert feature_array(X)[:, 0].tolist() == list(range(20))


def test_a_frame_and_its_target_apart() -> None:
    X = pd.DataFrame({"a": np.arange(20.0), "b": ["u", "v"] * 10})
    y = pd.Series([0, 1, 1, 0] * 5, name="won")

    table = load_table(Data(source=(X, y)))

    assert (table.names, table.target, table.y.tolist()) == (("a", "b"), "won", y.tolist())


def test_a_function_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_here_1.py").write_text(
        "import numpy as np\nimport polars as pl\n"
        "def arrays():\n    return np.arange(40.0).reshape(20, 2), np.arange(20) % 2\n"
        "def frame():\n    return pl.DataFrame({'a': range(20), 'y': [0, 1] * 10}).lazy()\n"
        "def broken():\n    raise KeyError('password')\n"
        "def nothing():\n    return None\n"
        "def three():\n    return 1, 2, 3\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert (
        load_table(Data(source="made_here_1:arrays")).source_label
        == "arrays from made_here_1:arrays"
    )
    assert load_table(Data(source="made_here_1:frame", target="y")).names == ("a",)
    for name, message in [
        ("broken", r"made_here_1:broken\(\) raised KeyError: 'password'"),
        (
            "nothing",
            r"expected made_here_1:nothing to give \(X, y\) or a frame or datasets, got NoneType",
        ),
        ("three", r"got a tuple of 3"),
        ("number", r"got int"),
        ("framer", r"did you mean 'frame'\?"),
    ]:
        with pytest.raises(DataError, match=message):
            load_table(Data(source=f"made_here_1:{name}", target=None))
    with pytest.raises(DataError, match="cannot import 'made_here_2'"):
        load_table(Data(source="made_here_2:frame"))


def test_a_missing_file_names_the_nearest(csv: Path) -> None:
    with pytest.raises(
        DataError, match=re.escape(f"no file '{csv.parent}/peple.csv' - did you mean '{csv}'?")
    ):
        load_table(Data(source=str(csv.parent / "peple.csv"), target="label"))
    with pytest.raises(DataError, match="there is no directory"):
        load_table(Data(source=str(csv.parent / "gone" / "people.csv"), target="label"))


def test_unreadable_files(tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 but not really")
    (tmp_path / "folder.csv").mkdir()

    with pytest.raises(DataError, match=r"cannot read .*broken\.parquet as Parquet"):
        load_table(Data(source=str(broken), target="y"))
    with pytest.raises(DataError, match=r"expected .*a path to a \.csv, \.tsv or \.parquet file"):
        load_table(Data(source=str(tmp_path / "folder.csv"), target="y"))


def test_the_digest_is_the_same_in_every_process() -> None:
    code = (
        "import polars as pl\nfrom winnow.data import load_table\nfrom winnow.recipe import Data\n"
        "frame = pl.DataFrame({'a': [i / 3 for i in range(20)], 'b': list('uv') * 10, 'y': [0, "
        "1] * 10})\n"
        "digest = load_table(Data.frame(frame, 'y')).digest\n"
    )
    here: dict[str, str] = {}
    exec(code, here)

    there = subprocess.run(
        [sys.executable, "-c", code + "print(digest)"], capture_output=True, check=True, text=True
    )

    assert there.stdout.strip() == here["digest"]


def test_the_digest_follows_the_content() -> None:
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    changed = X.copy()
    changed[3, 1] += 1e-9

    assert load_table(Data.arrays(X, y)).digest == load_table(Data.arrays(X.copy(), y)).digest
    assert load_table(Data.arrays(X, y)).digest != load_table(Data.arrays(changed, y)).digest


def test_the_same_numbers_as_codes_are_other_data() -> None:
    numbers = pd.DataFrame({"a": [3, 1, 2, 3] * 10, "y": [0, 1] * 20})

    codes = numbers.astype({"a": "category"})

    assert load_table(Data.frame(numbers, "y")).digest != load_table(Data.frame(codes, "y")).digest
