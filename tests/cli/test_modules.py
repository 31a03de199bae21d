"""Which modules the commands import: those of the recipe, never what happens to lie in the
current directory.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.datasets import load_iris

import winnow

# As the installed command starts, without the directory on the path
INSTALLED = "from winnow.cli import main; main()"
STRAYS = ("onnxruntime", "torch", "numpy", "polars", "sklearn", "typer", "yaml", "uvicorn")

NETS = """\
from torch import nn


class Net(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.layer = nn.Linear(in_features, out_features)

    def forward(self, x):
        # Decides by a value: it trains in a worker process.
        return self.layer(x) * (1.0 if x.sum().item() > 0 else 2.0)
"""
ROWS = """\
import numpy as np
from torch.utils.data import StackDataset


def rows():
    kinds = np.arange(100) % 2
    return StackDataset(np.ones((100, 3), dtype="float32") * kinds[:, None], kinds)
"""
ARRAYS = """\
name: arrays
data: {source: "my_rows:rows", classes: 2, prepare: {standardize: false}}
model: {use: mlp, args: {width: 4}}
train: {epochs: 1}
ablate: {parts: []}
final: {seeds: 2}
compress: {methods: []}
"""
RECIPE = """\
name: mine
data: {source: "sklearn:iris"}
model: {use: "my_nets:Net"}
train: {epochs: 1}
final: {seeds: 2}
compress: {methods: []}
"""


@pytest.fixture
def littered(tmp_path: Path) -> Path:
    """A directory with files that are called like libraries, and leave a mark when they are
    imported.
    """
    mark = str(tmp_path / "imported")
    for name in STRAYS:
        (tmp_path / f"{name}.py").write_text(
            f"open({mark!r}, 'a').write('{name} ')\nraise SystemExit(99)\n"
        )
    return tmp_path


def command(*arguments: str, folder: Path, module: bool) -> subprocess.CompletedProcess[str]:
    start = ["-m", "winnow"] if module else ["-P", "-c", INSTALLED]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def marks(folder: Path) -> str:
    mark = folder / "imported"
    return mark.read_text() if mark.exists() else ""


def test_the_strays_leave_a_mark(littered: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import onnxruntime"], cwd=littered, check=False)

    assert done.returncode == 99
    assert marks(littered) == "onnxruntime "


@pytest.mark.parametrize("module", [True, False])
def test_a_model_beside_the_recipe_is_found_and_a_stray_library_is_not(
    littered: Path, module: bool
) -> None:
    (littered / "my_nets.py").write_text(NETS)
    (littered / "mine.yaml").write_text(RECIPE)

    done = command("evaluate", "mine.yaml", "--no-ablate", folder=littered, module=module)

    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    assert "train one at a time" in done.stderr  # in workers, whose path is the same
    assert marks(littered) == ""


@pytest.mark.parametrize("module", [True, False])
def test_predicting_imports_nothing_from_the_current_directory(
    littered: Path, module: bool
) -> None:
    recipe = winnow.Recipe(
        data=winnow.Data(source="sklearn:iris"),
        model=winnow.Model("mlp", width=4, depth=1),
        train=winnow.Train(epochs=1),
    )
    trained = winnow.train(recipe, seeds=2)
    winnow.compress(trained).save(littered / "iris.winnow")
    names = [column["name"] for column in winnow.load(littered / "iris.winnow").schema]
    rows = "\n".join(",".join(map(str, row)) for row in [names, *load_iris().data[:3]])
    (littered / "rows.csv").write_text(rows)

    done = command(
        "predict", "iris.winnow", "rows.csv", "-o", "out.csv", folder=littered, module=module
    )

    assert done.returncode == 0, done.stderr
    assert "3 rows predicted" in done.stdout
    assert marks(littered) == ""


def test_serving_imports_nothing_from_the_current_directory(littered: Path) -> None:
    done = command("serve", "absent.winnow", folder=littered, module=True)

    assert done.returncode == 2
    assert "absent.winnow" in done.stderr
    assert marks(littered) == ""


def test_rows_of_arrays_are_predicted_from_python(tmp_path: Path) -> None:
    """A file of rows holds no arrays: neither is it proposed, nor read."""
    (tmp_path / "my_rows.py").write_text(ROWS)
    (tmp_path / "arrays.yaml").write_text(ARRAYS)
    (tmp_path / "rows.csv").write_text("x\n1\n")
    commands = ["compress arrays.yaml", "predict runs/arrays rows.csv -o out.csv"]
    ran, predicted = (
        subprocess.run(
            [sys.executable, "-c", INSTALLED, *command.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        for command in commands
    )

    assert ran.returncode == 0, ran.stderr
    assert "in Python, winnow.load('runs/arrays/arrays.winnow').predict(rows)" in ran.stdout
    assert "rows.csv" not in ran.stdout
    assert predicted.returncode != 0
    assert "the model takes arrays (x), which a file of rows does not hold" in predicted.stderr
