"""The code in the README and in docs/ runs, and the tables of settings say what is true."""

from __future__ import annotations

import csv
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from winnow.cli import app
from winnow.methods import (
    AUGMENTS,
    AVERAGINGS,
    COMPRESSORS,
    GRADIENT_RULES,
    OPTIMIZERS,
    SAMPLERS,
    SCALERS,
    SCHEDULES,
    STEPS,
    STOPPINGS,
    Distillation,
    Focal,
)
from winnow.metrics import METRICS
from winnow.recipe import READY, AuxiliaryLoss, Data, Model, Recipe

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# first folders of what pages name by its path; others (runs/, ...) are the reader's own
HERE = {p.name for top in (ROOT, ROOT / "src" / "winnow") for p in top.iterdir() if p.is_dir()}
PORT = "127.0.0.1:8000"

# what the pages call recipes/digits.yaml, and the recipe that winnow writes for data.csv: both
# short, to be quick
SHORT = """
train: {epochs: 2, batch_size: 32, dropout: {uniform: [0.0, 0.5]}}
search: {trials: 2, batch: 2, leaders: 1, seeds: 2}
ablate: {parts: [dropout], seeds: 2}
final: {seeds: 2}
"""
DIGITS = (
    'name: digits\ndata: {source: "sklearn:digits"}\nmodel: {use: mlp, args: {width: 8, depth: 1}}'
    + SHORT
)
PRICES = (
    "name: data\ndata: {source: data.csv, target: price}\nmodel: {use: mlp, args: {width: 8, "
    "depth: 1}}" + SHORT
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    line: int
    code: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [Block(m[1], text.count("\n", 0, m.start()) + 1, m[2]) for m in found]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the pages speak of. Pages share it, so that a run which several of
    them show is made once.
    """
    folder = tmp_path_factory.mktemp("docs")
    (folder / "recipes").mkdir()
    (folder / "recipes" / "digits.yaml").write_text(DIGITS)
    (folder / "runs" / "data").mkdir(parents=True)
    (folder / "runs" / "data" / "recipe.yaml").write_text(PRICES)
    lines = [f"{i % 13},{'north' if i % 3 else 'south'},{i % 13 + (i % 3) / 2}" for i in range(120)]
    (folder / "data.csv").write_text("\n".join(["size,where,price", *lines]))
    digits = load_digits()
    with open(folder / "rows.csv", "w", newline="") as file:
        csv.writer(file).writerows([digits.feature_names, *digits.data[:3].tolist()])
    return folder


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.name)
def test_the_code_of_a_page_runs(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    with ExitStack() as servers:
        served = PORT
        for block in blocks(page):
            where = f"{page.name}:{block.line}"
            if block.language == "python":
                script = place / f"{page.stem}_{block.line}.py"
                script.write_text(block.code)
                runpy.run_path(str(script), run_name="__main__")
            elif block.language == "yaml":
                Recipe.from_yaml(block.code)
            elif block.language == "bash":
                for line in block.code.splitlines():
                    served = run_line(line, where, servers, served)
            else:
                drawn = block.language in ("text", "mermaid")
                assert drawn, f"{where}: a block is python, yaml, bash, text or mermaid"


def run_line(line: str, where: str, servers: ExitStack, served: str) -> str:
    """Run one line as a shell would; returns host and port of the last server that was started."""
    program, *arguments = shlex.split(line)
    if program == "curl":
        if shutil.which("curl") is not None:
            given = [argument.replace(PORT, served) for argument in arguments]
            done = subprocess.run(
                ["curl", "--fail", "--silent", "--show-error", *given],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{where}: {done.stderr}"
    elif arguments[0] == "serve":
        return servers.enter_context(serving(arguments))
    else:
        assert program == "winnow", f"{where}: cannot run {line!r}"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{where}: {result.output}"
    return served


class serving:  # noqa: N801 - a context manager that reads as a verb
    """``winnow serve`` on a free port; gives host and port."""

    def __init__(self, arguments: list[str]) -> None:
        kept = arguments[: arguments.index("--port")] if "--port" in arguments else arguments
        command = [sys.executable, "-m", "winnow", *kept, "--port", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> str:
        assert self._process.stdout is not None
        found = re.search(r"http://([\d.:]+)", self._process.stdout.readline())
        assert found is not None
        return found[1]

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(timeout=30) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


def test_the_example_of_the_readme_is_short() -> None:
    example = next(b for b in blocks(ROOT / "README.md") if b.language == "python")

    assert len(example.code.splitlines()) < 20


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.name)
def test_the_example_recipes_can_be_read(path: Path) -> None:
    recipe = Recipe.load(path)

    assert recipe.name == path.stem
    assert recipe.is_open


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+?)\)", page.read_text())

    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    """Paths in backticks: from the root, or from ``src/winnow`` as the map of the code writes them.
    ``file.py:name`` also names what must stand in the file.
    """
    named = re.findall(r"`((?:[\w-]+/)+(?:[\w.-]+\.(?:py|md))?)(?::([\w.]+))?`", page.read_text())

    missing = []
    for path, name in named:
        tops = [ROOT / path, ROOT / "src" / "winnow" / path]
        found = next((top for top in tops if top.exists()), None)
        known = path.partition("/")[0] in HERE
        if found is None and known:
            missing.append(path)
        for part in filter(None, name.split(".")):
            if found is not None and not re.search(rf"(?:def|class) {part}\b", found.read_text()):
                missing.append(f"{path}:{name}")
    assert missing == []


# -- the tables of docs/recipes.md -----------------------------------------------------------------

# Families whose methods have a row each in the table of records
RECORDED = (*OPTIMIZERS, *SCHEDULES, *AUGMENTS, *STEPS, *GRADIENT_RULES, *AVERAGINGS, *STOPPINGS)


def settings_of(record: BaseModel | type[BaseModel], path: str = "") -> Iterator[tuple[str, str]]:
    """(dotted setting, its default as the tables spell it), without records that are described
    elsewhere.
    """
    fields = (record if isinstance(record, type) else type(record)).model_fields
    for name, field in fields.items():
        default = "" if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel) and "kind" not in type(default).model_fields:
            yield from settings_of(default, f"{path}{name}.")
        elif name != "kind":
            yield path + name, spelled(default)


def spelled(default: Any) -> str:
    if isinstance(default, BaseModel):
        return str(getattr(default, "kind"))  # noqa: B009
    if default is None or default == "":
        return "none" if default is None else ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return f"[{', '.join(map(str, default))}]"
    return str(default)


def section(title: str) -> str:
    text = (ROOT / "docs" / "recipes.md").read_text()
    return text.partition(f"### {title}\n")[2].partition("\n###")[0]


def table(title: str) -> dict[str, str]:
    """Setting -> default, from the first table under a title."""
    rows = re.findall(
        r"^\| `([\w.]+)` \| ?(?:`([^`]*)`|(none)|) \|",
        section(title).partition("| record |")[0],
        flags=re.MULTILINE,
    )
    return {name: code or none for name, code, none in rows}


def test_the_tables_hold_every_setting_with_its_default() -> None:
    recipe = Recipe(data=Data(source="sklearn:iris"), model=Model("mlp"))
    questions = ("search", "ablate", "final", "compress")

    assert table("The recipe") == {
        name: spelled(getattr(recipe, name)) for name in ("name", "metric", "seed", "minutes")
    }
    assert table("data") == dict(settings_of(Data))
    assert table("model") == dict(settings_of(Model))
    assert table("train") == dict(settings_of(recipe.train))
    assert table("The questions") == {
        f"{name}.{key}": default
        for name in questions
        for key, default in settings_of(getattr(recipe, name))
    }


@pytest.mark.parametrize(
    ("row", "record"),
    [
        *[
            (f"{{kind: {m.model_fields['kind'].default}}}", m)
            for m in (*RECORDED, Focal, Distillation)
        ],
        ("auxiliary_losses", AuxiliaryLoss),
    ],
)
def test_the_records_are_told_with_their_defaults(row: str, record: type[BaseModel]) -> None:
    title = "data" if record in STEPS else "train"
    records = section(title).partition("| record |")[2]
    line = next(line for line in records.splitlines() if line.startswith(f"| `{row}` |"))

    assert dict(re.findall(r"`(\w+)` \(([^)]*)\)", line)) == dict(settings_of(record))


@pytest.mark.parametrize(
    ("title", "setting", "family"),
    [("The questions", "search.sampler", SAMPLERS), ("data", "prepare.scale", SCALERS)],
)
def test_a_family_is_told_where_its_setting_is(title: str, setting: str, family: Any) -> None:
    line = next(x for x in section(title).splitlines() if f"| `{setting}` |" in x)
    kinds = {str(m.model_fields["kind"].default) for m in family}

    assert kinds <= set(re.findall(r"`(\w+)`", line))


def test_the_table_of_compressors_is_made_from_them() -> None:
    rows = []
    for method in COMPRESSORS:
        told = [f"`{name}` ({value})" for name, value in settings_of(method)]
        settings = ", ".join(told) or "-"
        rows.append(f"| `{method.model_fields['kind'].default}` | {settings} | {method.phrase} |")

    assert "\n".join(rows) in section("The questions"), "write it anew:\n" + "\n".join(rows)


@pytest.mark.parametrize("model", READY)
def test_the_ready_models_are_told_with_all_their_arguments(model: str) -> None:
    text = section("model").partition(f"`{model}` takes")[2].partition("its modules are")[0]

    assert set(READY[model].model_fields) <= set(re.findall(r"`(\w+)`", text))


def test_every_metric_is_told_with_its_task_and_direction() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\w+) \|", section("metric"), flags=re.MULTILINE)

    better = {True: "higher", False: "lower"}
    assert rows == [(m.name, m.task, better[m.higher_is_better]) for m in METRICS]


def test_yaml_blocks_are_the_dialect_of_other_readers_too() -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.language == "yaml":
                assert isinstance(yaml.safe_load(block.code), dict)
