"""The commands, as one types them."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from typer.testing import CliRunner, Result

import winnow
from winnow.cli import app

RECIPE = """\
name: quick
data: {source: "sklearn:iris"}
model: {use: mlp, args: {width: {choice: [4, 8]}, depth: 1}}
train: {epochs: 2, batch_size: 16, dropout: {uniform: [0.0, 0.5]}}
search: {trials: 2, batch: 2, leaders: 1, seeds: 2}
ablate: {parts: [dropout], seeds: 2}
final: {seeds: 2}
"""

LONG = """\
name: long
data: {source: "sklearn:digits"}
model: {use: mlp, args: {width: 8}}
train: {epochs: 5000, optimizer: {kind: sgd, lr: {log: [0.001, 0.1]}}}
search: {trials: 64, batch: 2}
"""


def winnow_(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a recipe and what `winnow run` made of it."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "quick.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def ran(place: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "winnow", "run", "quick.yaml"]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def test_run_says_what_came_out_and_what_to_do_next(
    ran: subprocess.CompletedProcess[str], place: Path
) -> None:
    assert ran.returncode == 0, ran.stderr
    for word in ("accuracy", "fresh seeds", "dropout", "test", "runs/quick/report.html"):
        assert word in ran.stdout
    assert "winnow serve runs/quick/quick.winnow" in ran.stdout
    for stage in ("searching", "ablating", "training", "evaluating", "compressing"):
        assert stage in ran.stderr
    assert (place / "runs" / "quick" / "report.html").exists()


def test_the_report_holds_the_command(ran: subprocess.CompletedProcess[str], place: Path) -> None:
    assert "winnow run quick.yaml" in (place / "runs" / "quick" / "report.html").read_text()


def test_a_stage_of_a_finished_run_comes_from_the_ledger(
    ran: subprocess.CompletedProcess[str], here: Path
) -> None:
    result = winnow_("evaluate", "runs/quick")

    assert result.exit_code == 0
    assert "macro_f1" in result.output


@pytest.mark.parametrize("left", ["half", "nothing", "zeros"])
def test_a_torn_copy_of_the_recipe_is_mended_where_its_directory_is_given(
    left: str, ran: subprocess.CompletedProcess[str], here: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(here / "runs" / "quick", out)
    text = (out / "recipe.yaml").read_bytes()
    torn = {
        "half": text[: text.index(b"choice") + 3],
        "nothing": b"",
        "zeros": text[:30] + bytes(20),
    }[left]
    (out / "recipe.yaml").write_bytes(torn)

    result = winnow_("evaluate", str(out))

    assert result.exit_code == 0, result.stderr
    assert (out / "recipe.yaml").read_bytes() == text


def test_predict_writes_what_the_bundle_says(
    ran: subprocess.CompletedProcess[str], here: Path
) -> None:
    X, _ = load_iris(return_X_y=True)
    names = [column["name"] for column in winnow.load("runs/quick/quick.winnow").schema]
    with open("rows.csv", "w", newline="") as file:
        csv.writer(file).writerows([names, *X[::30].tolist()])

    result = winnow_("predict", "runs/quick/quick.winnow", "rows.csv", "-o", "out.csv")

    assert result.exit_code == 0
    assert "5 rows predicted: out.csv" in result.output
    with open("out.csv", newline="") as file:
        written = [row["prediction"] for row in csv.DictReader(file)]
    assert written == winnow.load("runs/quick/quick.winnow").predict(X[::30]).tolist()


def test_a_run_directory_stands_for_its_bundle(
    ran: subprocess.CompletedProcess[str], here: Path
) -> None:
    X, _ = load_iris(return_X_y=True)
    names = [column["name"] for column in winnow.load("runs/quick").schema]
    with open("few.csv", "w", newline="") as file:
        csv.writer(file).writerows([names, *X[:2].tolist()])

    assert (
        "2 rows predicted"
        in winnow_("predict", "runs/quick", "few.csv", "-o", "few_out.csv").output
    )


def test_changes_are_what_is_run_written_and_reported(
    ran: subprocess.CompletedProcess[str], here: Path
) -> None:
    more = [
        "--set",
        "train.epochs=3",
        "--trials",
        "3",
        "--seeds",
        "3",
        "--metric",
        "log_loss",
        "--set",
        "compress.methods=[]",
    ]

    result = winnow_("evaluate", "quick.yaml", "-o", "runs/changed", "--no-ablate", *more)

    assert result.exit_code == 0, result.output
    written = winnow.Recipe.load("runs/changed/recipe.yaml")
    assert (written.train.epochs, written.search.trials, written.metric) == (3, 3, "log_loss")
    assert (written.search.seeds, written.ablate.seeds, written.final.seeds) == (3, 3, 3)
    assert "the best of 3 trials" in result.output
    assert "over 3 final seeds" in result.output
    assert "epochs: 3" in (here / "runs" / "changed" / "report.html").read_text()
    refused = winnow_("evaluate", "runs/changed", "--set", "train.epochs=4")
    assert refused.exit_code == 2
    assert "train.epochs: 3 there, 4 now" in refused.stderr
    # Other questions go on there
    asked = winnow_("evaluate", "runs/changed", "--no-ablate", "--set", "final.seeds=2")
    assert asked.exit_code == 0, asked.output
    assert "over 2 final seeds" in asked.output


def test_a_quick_run_is_small_and_ablates_nothing(here: Path) -> None:
    (here / "large.yaml").write_text(
        RECIPE.replace("trials: 2", "trials: 40").replace("final: {seeds: 2}", "final: {seeds: 9}")
    )

    result = winnow_("evaluate", "large.yaml", "--out", "runs/large", "--quick")

    assert result.exit_code == 0, result.output
    assert "the best of 8 trials" in result.output
    assert "over 3 final seeds" in result.output
    assert "skipped (--quick)" in result.output
    assert "dropout" not in result.output.partition("skipped (--quick)")[2]
    assert "ablating" not in result.stderr


@pytest.mark.parametrize(
    "command", ["run", "search", "ablate", "train", "evaluate", "compress", "check"]
)
def test_changes_are_checked_like_a_file(here: Path, command: str) -> None:
    result = winnow_(command, "quick.yaml", "--set", "train.epohs=3", "--trials", "0")

    assert result.exit_code == 2
    assert "train.epohs: unknown setting - did you mean 'epochs'?" in result.stderr
    assert "search.trials: must be at least 1, got 0" in result.stderr


def test_changes_are_for_data_without_a_recipe_too(here: Path) -> None:
    result = winnow_("check", "sklearn:iris", "--set", "train.epochs=3", "--metric", "log_loss")

    assert result.exit_code == 0, result.output
    assert "epochs: 3" in result.output
    assert "metric: log_loss" in result.output


def test_serve_answers(ran: subprocess.CompletedProcess[str], here: Path) -> None:
    command = [sys.executable, "-m", "winnow", "serve", "runs/quick", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = re.search(r"http://[\d.:]+", process.stdout.readline())
            assert url is not None
            with urllib.request.urlopen(f"{url[0]}/health", timeout=30) as answer:
                assert answer.status == 200
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0


def test_report_writes_the_page_again(ran: subprocess.CompletedProcess[str], here: Path) -> None:
    result = winnow_("report", "runs/quick", "-o", "again.html")

    assert result.exit_code == 0
    assert "report: again.html" in result.output
    assert Path("again.html").exists()


def test_check_shows_recipe_ranges_parts_and_plan(here: Path) -> None:
    result = winnow_("check", "quick.yaml")

    assert result.exit_code == 0
    for line in (
        "label_smoothing: 0.0",
        "2 open settings",
        "model.args.width",
        "4 | 8",
        "parts can be switched off",
        "the plan",
    ):
        assert line in result.output
    assert "about 10 trainings" in result.output


def test_check_tells_every_mistake_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        RECIPE.replace("epochs: 2", "epoks: 2").replace(
            "uniform: [0.0, 0.5]", "uniform: [0.5, 0.0]"
        )
    )

    result = winnow_("check", str(path))

    assert result.exit_code == 2
    assert f"{path}:4: train.epoks: unknown setting - did you mean 'epochs'?" in result.stderr
    assert "the low end must be below the high end, got [0.5, 0.0]" in result.stderr
    assert "Traceback" not in result.stderr


def test_schema_is_json(here: Path) -> None:
    result = winnow_("schema")

    assert json.loads(result.stdout)["title"] == "winnow recipe"


def test_the_version() -> None:
    assert winnow_("--version").output == f"winnow {winnow.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "absent.yaml"], "no such file 'absent.yaml'"),
        (["check", "sklearn:irsi"], "did you mean 'sklearn:iris'"),
        (["predict", "absent.winnow", "rows.csv", "-o", "out.csv"], "absent.winnow"),
        (["serve", "absent.winnow"], "absent.winnow"),
        (["serve", "runs/quik"], "runs/quik does not exist - did you mean 'runs/quick'?"),
        (["serve", "quick"], "quick does not exist - did you mean 'runs/quick'?"),
        (
            ["predict", "runs", "rows.csv", "-o", "out.csv"],
            "runs is not a bundle: it has no manifest.json: it holds runs/quick",
        ),
        (
            ["check", "quick.yaml", "--metric", "f1"],
            "got 'f1' - did you mean 'macro_f1'?",
        ),
        (["check", "quick.yaml", "--metric", "auc"], "did you mean 'roc_auc'?"),
        (["report", "absent"], "absent is no run directory"),
        (["run", "quick.yaml", "--target", "y"], "a target is for data without a recipe"),
    ],
)
def test_mistakes_are_told_in_a_message_without_traceback(
    ran: subprocess.CompletedProcess[str], here: Path, arguments: list[str], message: str
) -> None:
    result = winnow_(*arguments)

    assert result.exit_code == 2
    assert result.stderr.startswith("winnow: ")
    assert message in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_a_report_that_cannot_be_written_is_told(
    ran: subprocess.CompletedProcess[str], here: Path
) -> None:
    result = winnow_("report", "runs/quick", "-o", "quick.yaml/report.html")

    assert result.exit_code == 2
    assert "winnow: quick.yaml" in result.stderr


def test_debug_shows_the_traceback(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_DEBUG", "1")

    assert isinstance(winnow_("run", "absent.yaml").exception, winnow.RecipeError)


def test_an_unknown_command_is_refused() -> None:
    result = winnow_("serach")

    assert result.exit_code == 2
    assert "serach" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "search",
        "train",
        "ablate",
        "evaluate",
        "compress",
        "check",
        "report",
        "schema",
        "predict",
        "serve",
        "list",
        "compare",
        "export",
    ],
)
def test_every_help_shows_an_example(command: str) -> None:
    assert f"winnow {command}" in winnow_(command, "--help").output.partition("Examples:")[2]


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a POSIX signal here")
def test_ctrl_c_stops_cleanly(tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text(LONG)
    command = [sys.executable, "-m", "winnow", "search", "long.yaml"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "searching ...\n" in iter(process.stderr.readline, "")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()

        assert process.wait(timeout=60) == 130
    assert "stopped. What was finished is kept: run the same command to go on." in rest
    assert "Traceback" not in rest
