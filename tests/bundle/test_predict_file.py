"""Predictions beside the rows of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn import datasets
from tests.bundle.conftest import Example

from winnow import bundle
from winnow.bundle import Bundle, predict_file
from winnow.errors import DataError, InputError


@pytest.fixture
def loaded(saved: Path) -> Bundle:
    return bundle.load(saved)


@pytest.fixture
def flowers(loaded: Bundle) -> pl.DataFrame:
    names = [column["name"] for column in loaded.schema]
    X = datasets.load_iris().data[::10]
    return pl.DataFrame(dict(zip(names, X.T, strict=True))).with_columns(code=pl.Series([f"{i:03}" for i in range(15)]))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_predictions_stand_beside_the_columns(kind: str, loaded: Bundle, flowers: pl.DataFrame, tmp_path: Path) -> None:
    source, out = tmp_path / f"rows.{kind}", tmp_path / f"out.{kind}"
    getattr(flowers, f"write_{kind}")(source)

    assert predict_file(loaded, source, out) == 15

    read = pl.read_csv(out, schema_overrides={"code": pl.String}) if kind == "csv" else pl.read_parquet(out)
    assert read.columns == [*flowers.columns, "prediction", *(f"probability_{c}" for c in loaded.classes or ())]
    assert read.select(flowers.columns).equals(flowers)
    rows = flowers.drop("code")
    assert read["prediction"].to_list() == loaded.predict(rows).tolist()
    np.testing.assert_allclose(read.select(pl.col("^probability_.*$")).to_numpy(), loaded.predict_proba(rows), rtol=1e-12)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted([source.name, out.name])


def test_what_stands_in_a_csv_file_is_written_back_as_it_stood(loaded: Bundle, flowers: pl.DataFrame, tmp_path: Path) -> None:
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
    assert read.columns == [*names, "prediction"]
    np.testing.assert_allclose(read["prediction"].to_numpy(), loaded.predict(X), rtol=1e-9)


def test_what_cannot_be_done_is_refused_and_nothing_is_written(loaded: Bundle, flowers: pl.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    flowers.with_columns(prediction=1).write_csv(tmp_path / "again.csv")
    flowers.drop(flowers.columns[1]).write_csv(tmp_path / "short.csv")

    with pytest.raises(InputError, match=r"prediction: again\.csv already has a column of this name"):
        predict_file(loaded, tmp_path / "again.csv", out)
    with pytest.raises(InputError, match=f"{flowers.columns[1]}: missing".replace("(", r"\(").replace(")", r"\)")):
        predict_file(loaded, tmp_path / "short.csv", out)
    with pytest.raises(InputError, match=r"cannot read 'rows\.xlsx': expected a file that ends in \.csv, \.tsv, \.parquet"):
        predict_file(loaded, tmp_path / "rows.xlsx", out)
    with pytest.raises(InputError, match=r"cannot write 'out\.txt': expected a file that ends in \.csv, \.parquet"):
        predict_file(loaded, tmp_path / "again.csv", tmp_path / "out.txt")
    flowers.write_csv(tmp_path / "fits.csv")
    with pytest.raises(InputError, match=r"cannot write '.*absent/out.csv': there is no directory '.*absent'"):
        predict_file(loaded, tmp_path / "fits.csv", tmp_path / "absent" / "out.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"cannot write '.*folder.csv': Is a directory"):
        predict_file(loaded, tmp_path / "fits.csv", tmp_path / "folder.csv")
    with pytest.raises(DataError, match="no file"):
        predict_file(loaded, tmp_path / "nowhere.csv", out)
    assert not out.exists()
