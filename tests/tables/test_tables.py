"""From ``winnow run FILE --target Y`` to a bundle and a summary that is true, on tables that
nobody prepared.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from tests.tables.tables import TABLES

from winnow import bundle
from winnow.data import prepare
from winnow.ledger import Ledger
from winnow.metrics import METRICS
from winnow.recipe import Recipe

pytestmark = pytest.mark.slow

BOUNDS = {metric.name: metric.bounds for metric in METRICS}
LIMIT = 1800  # seconds of one run, on a machine that may be busy


class Run(NamedTuple):
    """A finished run."""

    name: str
    directory: Path
    file: Path
    target: str
    said: str

    def document(self, name: str) -> Mapping[str, Any]:
        ledger = Ledger.open(self.directory / "ledger.db")
        try:
            found = ledger.get_document(name)
        finally:
            ledger.close()
        assert found is not None, f"{self.name} left no document {name!r}"
        return found

    def bundle(self) -> bundle.Bundle:
        (path,) = self.directory.glob("*.winnow")
        return bundle.load(path)


# one process for each table, so that its run serves all of its tests
PARAMS = [pytest.param(name, marks=pytest.mark.xdist_group(name), id=name) for name in TABLES]


@pytest.fixture(scope="module", params=PARAMS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    name = request.param
    place = tmp_path_factory.mktemp(name)
    file, directory = place / f"{name}.csv", place / "run"
    target = TABLES[name].make(file)
    command = [
        sys.executable,
        "-m",
        "winnow",
        "run",
        str(file),
        "--target",
        target,
        "--out",
        str(directory),
    ]
    done = subprocess.run(
        command,
        cwd=place,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**os.environ, "COLUMNS": "400"},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Traceback" not in said
    return Run(name, directory, file, target, said)


def test_a_run_ends_in_a_bundle_and_a_report(run: Run) -> None:
    assert (run.directory / "report.html").stat().st_size > 10_000
    assert len(run.bundle().schema) >= 1


def test_what_must_be_said_is_said_in_the_terminal(run: Run) -> None:
    for words in TABLES[run.name].said:
        assert words in run.said


def test_the_files_metrics_are_those_of_its_predictions(run: Run, tmp_path: Path) -> None:
    """scikit-learn's, of the answers of ``predict_file`` for the lines of the test rows."""
    loaded = run.bundle()
    truth, answers = _answers(run, loaded, tmp_path)
    shown = loaded.manifest.metrics
    if loaded.task == "classification":
        found = metrics.accuracy_score([_label(v) for v in truth], [_label(v) for v in answers])
        assert _mean(shown["accuracy"]) == pytest.approx(found, abs=1e-9)
    elif pd.api.types.is_numeric_dtype(truth):
        assert _mean(shown["mae"]) == pytest.approx(
            metrics.mean_absolute_error(truth, answers), rel=1e-4
        )


def test_every_interval_is_possible_and_has_a_width(run: Run) -> None:
    loaded = run.bundle()
    for name, interval in loaded.manifest.metrics.items():
        low, high = BOUNDS[name]
        if (
            isinstance(interval, Mapping)
            and interval.get("low") is not None
            and interval.get("high") is not None
        ):
            assert low <= interval["low"] <= interval["mean"] <= interval["high"] <= high
            assert interval["low"] < interval["high"]


def test_no_constant_is_sold(run: Run, tmp_path: Path) -> None:
    loaded, found = run.bundle(), run.document("baselines")
    assert found["verdict"] in run.said
    assert loaded.manifest.verdict.beats_constant == found["beats_constant"]
    if TABLES[run.name].learnable is False:
        assert not found["beats_constant"]
    if loaded.task == "classification":
        _, answers = _answers(run, loaded, tmp_path)
        if len(set(map(_label, answers))) == 1:
            assert found["one_answer"] == _label(answers.iloc[0])
            assert f"{found['one_answer']!r}" in found["verdict"]


def test_most_of_what_can_be_learned_is_learned(run: Run) -> None:
    """That a model beats the constant is what the columns allow on every table that says so."""
    if TABLES[run.name].learnable:
        assert run.document("baselines")["beats_constant"]


def _answers(run: Run, loaded: bundle.Bundle, place: Path) -> tuple[pd.Series, pd.Series]:
    """The target of the test rows as pandas reads it, and what the bundle answers for their
    lines.
    """
    recipe = Recipe.load(run.directory / "recipe.yaml")
    index = np.asarray(prepare(recipe.data).test.index)  # type: ignore[union-attr]
    raw = run.file.read_bytes().splitlines(keepends=True)
    lines = place / "test.csv"
    lines.write_bytes(
        raw[0]
        + b"".join(raw[1 + i] if raw[1 + i].endswith(b"\n") else raw[1 + i] + b"\n" for i in index)
    )
    bundle.predict_file(loaded, lines, place / "answers.parquet")
    truth = pd.read_csv(lines, sep=None, engine="python", encoding="latin-1", keep_default_na=False)
    return truth.iloc[:, list(truth.columns).index(run.target)], pd.read_parquet(
        place / "answers.parquet"
    )["prediction"]


def _label(value: Any) -> str:
    """A class as text, whole numbers without their point."""
    try:
        number = float(value)
    except ValueError:
        return str(value)
    return str(int(number)) if number.is_integer() else str(number)


def _mean(shown: Any) -> float:
    return float(shown["mean"] if isinstance(shown, Mapping) else shown)
