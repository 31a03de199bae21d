"""``winnow list``, ``compare`` and ``export``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
from sklearn.datasets import load_iris
from typer.testing import CliRunner, Result

import winnow
from winnow.cli import app
from winnow.execution import Workspace
from winnow.pipeline import compare_runs, list_runs

RECIPE = """\
name: first
data: {source: "sklearn:iris"}
model: {use: mlp, args: {width: 4, depth: 1}}
train: {epochs: 2, batch_size: 16}
final: {seeds: 2}
compress: {methods: []}
"""


def winnow_(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three runs: two on the same rows, one that was stopped on others."""
    place = tmp_path_factory.mktemp("runs")
    recipe = winnow.Recipe.from_yaml(RECIPE)
    winnow.run(recipe, out=place / "runs" / "first", ablate=False)
    better = RECIPE.replace("name: first", "name: second").replace(
        "epochs: 2", "epochs: 30, optimizer: {kind: sgd, lr: 0.3}"
    )
    winnow.run(winnow.Recipe.from_yaml(better), out=place / "runs" / "second", ablate=False)
    other = RECIPE.replace("name: first", "name: third").replace("iris", "wine")
    with winnow.Flow(
        winnow.Recipe.from_yaml(other), place / "runs" / "third", ablate=False
    ) as flow:
        flow.train()
    (place / "first.yaml").write_text(RECIPE)
    return place


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def test_runs_are_listed_with_what_is_known(here: Path) -> None:
    result = winnow_("list")

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "run",
        "name",
        "began",
        "(UTC)",
        "metric",
        "test",
        "score",
        "bundle",
        "state",
    ]
    by_name = {line.split()[1]: line for line in lines[1:]}
    assert set(by_name) == {"first", "second", "third"}
    facts = {run.name: run for run in list_runs("runs")}
    assert str(facts["first"].test) in by_name["first"]
    assert "kB" in by_name["first"]
    assert by_name["second"].rstrip().endswith("finished")
    assert by_name["third"].rstrip().endswith("stopped after final")
    assert "third" in winnow_("list", "runs/third").stdout
    with Workspace.open("runs/third"):
        assert "running" in winnow_("list", "runs/third").stdout


def test_an_empty_folder_and_none(here: Path, tmp_path: Path) -> None:
    assert "no runs in" in winnow_("list", str(tmp_path)).stdout
    result = winnow_("list", "absent")
    assert result.exit_code == 2
    assert "no folder 'absent'" in result.stderr


def test_two_runs_are_compared_row_by_row(here: Path) -> None:
    found = compare_runs("runs/first", "runs/second")

    X, y = load_iris(return_X_y=True)
    rows = winnow.Flow(winnow.Recipe.from_yaml(RECIPE), here / "again")
    try:
        test = rows._checked.prepared.test.index  # type: ignore[union-attr]
    finally:
        rows.close()
    names = load_iris().target_names
    right = [
        (winnow.load(here / "runs" / r).predict(X[test]) == names[y[test]]).mean()
        for r in ("first", "second")
    ]
    assert found.advantage is not None
    assert found.advantage.mean == pytest.approx(right[0] - right[1])
    assert found.advantage.n == len(test)
    assert found.better == ("b" if found.advantage.high < 0 else "cannot tell")
    assert found.settings["train.epochs"] == (2, 30)
    assert found.settings["name"] == ("first", "second")

    shown = winnow_("compare", "first.yaml", "runs/second").stdout
    for words in (
        "train.epochs",
        "B: runs/second",
        "interval; the two shipped models on the same 30 test rows",
    ):
        assert words in shown


def test_a_run_is_no_better_than_itself(here: Path) -> None:
    found = compare_runs("runs/second", "runs/second")

    assert (found.better, found.settings) == ("cannot tell", {})
    assert found.advantage is not None
    assert found.advantage.mean == 0
    # Equal answers on 30 rows exclude no difference on others
    assert found.advantage.low < 0 < found.advantage.high
    assert (
        "cannot tell which is better: A is ahead by"
        in winnow_("compare", "runs/second", "runs/second").stdout
    )


def test_what_cannot_be_paired_says_why(here: Path) -> None:
    result = winnow_("compare", "runs/first", "runs/third")

    assert result.exit_code == 0, result.output
    assert "cannot tell which is better: runs/third has no bundle yet" in result.stdout
    assert "not yet" in result.stdout


def test_the_model_is_exported(here: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.onnx"
    assert (
        f"written: {out}"
        in winnow_("export", "runs/first", "--format", "onnx", "-o", str(out)).output
    )

    onnx.checker.check_model(onnx.load(out))
    assert (
        out.read_bytes() == (here / "runs" / "first" / "first.winnow" / "model.onnx").read_bytes()
    )
    result = winnow_("export", "runs/third", "--format", "onnx")
    assert result.exit_code == 2
    assert "runs/third is a run directory without a bundle" in result.stderr


def test_outcomes_are_exported(here: Path, tmp_path: Path) -> None:
    with Workspace.open("runs/first") as workspace:
        table = workspace.ledger.to_table()
    for kind in ("csv", "parquet", "json"):
        result = winnow_("export", "runs/first", "--format", kind)
        assert f"written: first.{kind}" in result.output

    assert pl.read_parquet("first.parquet").equals(table)
    np.testing.assert_allclose(
        pl.read_csv("first.csv")["score"].to_numpy(), table["score"].to_numpy()
    )
    facts = json.loads(Path("first.json").read_text())
    assert [row["variant_id"] for row in facts["outcomes"]] == table["variant_id"].to_list()
    assert facts["documents"]["run"]["name"] == "first"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["export", "runs/first", "--format", "xlsx"],
            "expected one of onnx, csv, json, parquet as the kind of file, got 'xlsx'",
        ),
        (["export", "runs/absent", "--format", "csv"], "runs/absent is no run directory"),
        (
            ["export", "runs/first", "--format", "csv", "-o", "absent/x.csv"],
            "cannot write absent/x.csv",
        ),
        (["compare", "runs/first", "nothing"], "nothing is no run directory"),
    ],
)
def test_mistakes_are_told(here: Path, arguments: list[str], message: str) -> None:
    result = winnow_(*arguments)

    assert result.exit_code == 2
    assert message in result.stderr


def test_a_run_that_cannot_be_read_is_left_out(here: Path, tmp_path: Path) -> None:
    shutil.copytree(here / "runs" / "first", tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "ledger.db").write_bytes(b"not a ledger" * 1000)

    assert [run.path.name for run in list_runs(tmp_path)] == ["a"]
