"""Importing winnow and asking for help loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = [
    "torch",
    "sklearn",
    "polars",
    "pandas",
    "optuna",
    "onnx",
    "onnxruntime",
    "plotly",
    "fastapi",
    "scipy",
    "sqlalchemy",
    "numpy",
]

COMMANDS = [
    "run",
    "check",
    "search",
    "train",
    "ablate",
    "evaluate",
    "compress",
    "predict",
    "serve",
    "report",
    "schema",
    "list",
    "compare",
    "export",
]


def loaded_by(code: str) -> set[str]:
    """Which of ``HEAVY`` a fresh interpreter holds after ``code``, which may end the process."""
    told = f"print(*[name for name in {HEAVY} if name in sys.modules])"
    script = f"import atexit, sys\natexit.register(lambda: {told})\n{code}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 2), done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_import_winnow_loads_nothing_heavy() -> None:
    assert loaded_by("import winnow; dir(winnow)") == set()


def test_recipes_load_nothing_heavy() -> None:
    assert loaded_by("import winnow; winnow.Recipe") == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], *([command, "--help"] for command in COMMANDS)], ids=" ".join
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from winnow.cli import main
sys.argv = {["winnow", *arguments]}
try:
    main()
except SystemExit:
    pass"""

    assert loaded_by(code) == set()


@pytest.mark.parametrize(
    "command", ["run", "check", "search", "train", "ablate", "evaluate", "compress"]
)
def test_a_mistake_in_a_recipe_is_told_before_anything_heavy_is_loaded(
    tmp_path: Path, command: str
) -> None:
    recipe = tmp_path / "bad.yaml"
    recipe.write_text('data: {source: "sklearn:iris"}\nmodel: {use: mlp}\ntrain: {epoks: 3}\n')
    code = f"""
import sys
from winnow.cli import main
sys.argv = {["winnow", command, str(recipe)]}
try:
    main()
except SystemExit as error:
    assert error.code == 2"""

    assert loaded_by(code) == set()


def test_a_mistake_in_a_change_is_told_before_anything_heavy_is_loaded() -> None:
    code = """
import sys
from winnow.cli import main
sys.argv = ["winnow", "run", "sklearn:iris", "--set", "train.epochs"]
try:
    main()
except SystemExit as error:
    assert error.code == 2"""

    assert loaded_by(code) == set()


def test_the_measure_sees_what_is_loaded() -> None:
    assert "numpy" in loaded_by("import numpy")
