"""The commands that train nothing: they look at recipes and runs, and write what they see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from winnow.cli._changes import RecipeChanges, read_early
from winnow.cli._here import modules_here
from winnow.cli._options import (
    Command,
    Metric,
    Quick,
    RunSource,
    Seeds,
    Set,
    Source,
    Target,
    Trials,
)
from winnow.errors import printable

__all__ = ["LOOKING_COMMANDS"]

# The packages that load PyTorch are imported where they are used, so that `--help` is quick.


def check(
    source: Source,
    target: Target = None,
    set_: Set = None,
    trials: Trials = None,
    seeds: Seeds = None,
    metric: Metric = None,
    quick: Quick = False,
) -> None:
    """Print the whole recipe, its open ranges, its parts and the plan; find every mistake. Trains
    nothing.

    A recipe is code: the modules that it names are imported, and what it names there is called.
    """
    changes = RecipeChanges(
        assignments=tuple(set_ or ()), trials=trials, seeds=seeds, metric=metric, quick=quick
    )
    read_early(source, changes)
    from winnow.cli._print import print_check, print_notes
    from winnow.pipeline import check as check_recipe
    from winnow.pipeline import describe_plan, open_source

    with modules_here():
        asked = open_source(source, target=target, keep=False, change=changes.apply)
        checked = check_recipe(asked.recipe, file=asked.file)
        print_notes(checked.prepared.notes)
        print_check(checked, describe_plan(checked))


def report(
    directory: Annotated[Path, typer.Argument(help="A run directory.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The HTML file. By default report.html in the directory.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the report of a run again."""
    from winnow.pipeline import rewrite_report

    file = rewrite_report(directory, out)
    print(printable(f"report: {file}"))


def list_(
    folder: Annotated[
        Path, typer.Argument(help="A folder of run directories, or one of them.")
    ] = Path("runs"),
) -> None:
    """List runs, the latest first: name, when it began, metric, test score with its interval,
    size of the bundle, state.
    """
    from winnow.cli._print import print_runs
    from winnow.pipeline import list_runs

    print_runs(list_runs(folder), folder)


def compare(a: RunSource, b: RunSource) -> None:
    """Show how two runs differ in their settings and scores, and whether the test rows tell which
    model is better.

    Where both have the same test rows, the two models that ship are compared row by row.
    """
    from winnow.cli._print import print_comparison
    from winnow.pipeline import compare_runs

    with modules_here():  # the data may come from a function of the user's
        print_comparison(compare_runs(a, b))


def export(
    run: RunSource,
    kind: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="onnx: the model. csv, parquet: a row for each training with its settings and "
            "scores. json: all facts.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The file to write. By default <run>.<format> in this folder.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the model of a run, or the table of everything it trained, to a file."""
    from winnow.pipeline import export_run, run_directory

    target = out
    if target is None:
        name = run_directory(run).resolve().name
        target = Path(f"{name}.{kind}")
    written = export_run(run, kind, target)
    print(printable(f"written: {written}"))


def schema() -> None:
    """Print the JSON schema of recipes, for editors that complete and check YAML."""
    import json

    from winnow.recipe import Recipe

    print(json.dumps(Recipe.schema_json(), indent=2))


LOOKING_COMMANDS = (
    Command(
        "check",
        check,
        examples=(
            "winnow check recipes/digits.yaml",
            "winnow check data.csv --target price --set train.epochs=50",
        ),
    ),
    Command(
        "report",
        report,
        examples=("winnow report runs/digits", "winnow report runs/digits --out digits.html"),
    ),
    Command(
        "list",
        list_,
        examples=("winnow list", "winnow list experiments", "winnow list runs/digits"),
    ),
    Command(
        "compare",
        compare,
        examples=("winnow compare runs/digits runs/try1", "winnow compare a.yaml b.yaml"),
    ),
    Command(
        "export",
        export,
        examples=(
            "winnow export runs/digits --format onnx",
            "winnow export runs/digits --format csv --out digits_outcomes.csv",
        ),
    ),
    Command("schema", schema, examples=("winnow schema > recipe.schema.json",)),
)
