"""Predictions beside the rows of a file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn import datasets
from tests.bundle.conftest import Example
from torch import nn

from winnow import bundle
from winnow.bundle import Bundle, predict_file
from winnow.data import prepare
from winnow.errors import DataError, InputError
from winnow.recipe import Data


@pytest.fixture
def loaded(saved: Path) -> Bundle:
    return bundle.load(saved)


@pytest.fixture
def flowers(loaded: Bundle) -> pl.DataFrame:
    names = [column["name"] for column in loaded.schema]
    X = datasets.load_iris().data[::10]
    return pl.DataFrame(dict(zip(names, X.T, strict=True))).with_columns(
        code=pl.Series([f"{i:03}" for i in range(15)])
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_predictions_stand_beside_the_columns(
    kind: str, loaded: Bundle, flowers: pl.DataFrame, tmp_path: Path
) -> None:
    source, out = tmp_path / f"rows.{kind}", tmp_path / f"out.{kind}"
    getattr(flowers, f"write_{kind}")(source)

    assert predict_file(loaded, source, out) == 15

    read = (
        pl.read_csv(out, schema_overrides={"code": pl.String})
        if kind == "csv"
        else pl.read_parquet(out)
    )
    labels = [f"probability_{c}" for c in loaded.classes or ()]
    assert read.columns == [*flowers.columns, "prediction", *labels, "warnings"]
    assert read.select(flowers.columns).equals(flowers)
    rows = flowers.drop("code")
    assert read["prediction"].to_list() == loaded.predict(rows).tolist()
    np.testing.assert_allclose(
        read.select(pl.col("^probability_.*$")).to_numpy(), loaded.predict_proba(rows), rtol=1e-12
    )
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted(
        [source.name, out.name]
    )


def test_what_stands_in_a_csv_file_is_written_back_as_it_stood(
    loaded: Bundle, flowers: pl.DataFrame, tmp_path: Path
) -> None:
    names = [column["name"] for column in loaded.schema]
    (tmp_path / "rows.csv").write_text(";".join([*names, "id"]) + "\n5.10;3.50;1.4;0.20;007\n")

    predict_file(loaded, tmp_path / "rows.csv", tmp_path / "out.csv")

    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("5.10,3.50,1.4,0.20,007,")


def test_regression_has_no_probabilities(diabetes: Example, tmp_path: Path) -> None:
    loaded = bundle.load(diabetes.save(tmp_path / "b"))
    names = [column["name"] for column in loaded.schema]
    X = datasets.load_diabetes(scaled=False).data[:5]
    pl.DataFrame(dict(zip(names, X.T, strict=True))).write_csv(tmp_path / "rows.csv")

    predict_file(loaded, tmp_path / "rows.csv", tmp_path / "out.csv")

    read = pl.read_csv(tmp_path / "out.csv")
    assert read.columns == [*names, "prediction", "warnings"]
    np.testing.assert_allclose(read["prediction"].to_numpy(), loaded.predict(X), rtol=1e-9)


def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    loaded: Bundle, flowers: pl.DataFrame, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    flowers.with_columns(prediction=1).write_csv(tmp_path / "again.csv")
    flowers.drop(flowers.columns[1]).write_csv(tmp_path / "short.csv")

    with pytest.raises(
        InputError, match=r"prediction: again\.csv already has a column of this name"
    ):
        predict_file(loaded, tmp_path / "again.csv", out)
    with pytest.raises(
        InputError,
        match=r"^these columns are missing: 'sepal width \(cm\)'; the table has: 'sepal length",
    ):
        predict_file(loaded, tmp_path / "short.csv", out)
    with pytest.raises(
        InputError,
        match=r"cannot read 'rows\.xlsx': expected a file that ends in \.csv, \.tsv, \.parquet",
    ):
        predict_file(loaded, tmp_path / "rows.xlsx", out)
    with pytest.raises(
        InputError, match=r"cannot write 'out\.txt': expected a file that ends in \.csv, \.parquet"
    ):
        predict_file(loaded, tmp_path / "again.csv", tmp_path / "out.txt")
    flowers.write_csv(tmp_path / "fits.csv")
    with pytest.raises(
        InputError, match=r"cannot write '.*absent/out.csv': there is no directory '.*absent'"
    ):
        predict_file(loaded, tmp_path / "fits.csv", tmp_path / "absent" / "out.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"cannot write '.*folder.csv': Is a directory"):
        predict_file(loaded, tmp_path / "fits.csv", tmp_path / "folder.csv")
    with pytest.raises(DataError, match="no file"):
        predict_file(loaded, tmp_path / "nowhere.csv", out)
    assert not out.exists()


def test_values_unlike_the_training_rows_are_told(
    loaded: Bundle, flowers: pl.DataFrame, tmp_path: Path
) -> None:
    first = flowers.columns[0]
    flowers[:2].with_columns(pl.Series(first, [5.0, 3000.0])).write_csv(tmp_path / "rows.csv")

    predict_file(loaded, tmp_path / "rows.csv", tmp_path / "out.csv")

    calm, warned = pl.read_csv(tmp_path / "out.csv")["warnings"].to_list()
    column = loaded.schema[0]
    span = f"{column['minimum']:.6g} to {column['maximum']:.6g}"
    assert calm in (None, "")
    assert warned == f"{first}: 3000 lies above {span}, the range of the training rows"


def test_labels_are_no_formulas_in_a_spreadsheet(tmp_path: Path) -> None:
    x = np.repeat([0.0, 1.0, 2.0], 20)
    labels = np.repeat(["=cmd|'/c calc'!A0", "@sum", "plain"], 20)
    frame = pl.DataFrame({"x": x, "label": labels})
    prepared = prepare(Data.frame(frame, "label"))
    module = nn.Linear(1, 3)
    with torch.no_grad():  # the three labels in turn
        module.weight[:] = torch.tensor([[-10.0], [0.0], [10.0]])
        module.bias.zero_()
    loaded = bundle.load(
        Example(module, prepared, bundle.export_onnx(module, prepared.in_shape)).save(
            tmp_path / "b"
        )
    )
    frame.select("x").write_csv(tmp_path / "rows.csv")

    predict_file(loaded, tmp_path / "rows.csv", tmp_path / "out.csv")
    predict_file(loaded, tmp_path / "rows.csv", tmp_path / "out.parquet")

    with (tmp_path / "out.csv").open(newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    assert "'=cmd|'/c calc'!A0" in cells
    # No spreadsheet opens these
    assert set(pl.read_parquet(tmp_path / "out.parquet")["prediction"]) <= set(labels.tolist())


def test_the_rows_are_not_written_over(
    loaded: Bundle, flowers: pl.DataFrame, tmp_path: Path
) -> None:
    flowers.write_csv(tmp_path / "rows.csv")
    (tmp_path / "link.csv").symlink_to(tmp_path / "rows.csv")
    before = (tmp_path / "rows.csv").read_bytes()

    for out in ("rows.csv", "link.csv"):
        with pytest.raises(InputError, match="is the file of the rows: choose another one"):
            predict_file(loaded, tmp_path / "rows.csv", tmp_path / out)

    assert (tmp_path / "rows.csv").read_bytes() == before
