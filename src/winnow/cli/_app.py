"""The commands of ``winnow``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from winnow.cli._changes import Changes, read_early
from winnow.cli._deadline import deadline, process_began, run_process
from winnow.cli._guard import guarded
from winnow.cli._here import modules_here
from winnow.errors import printable

__all__ = ["app", "main"]

SOURCE = (
    "A recipe (.yaml), a run directory, or data: a .csv, .tsv or .parquet file, sklearn:<name>, "
    "package.module:function."
)

Source = Annotated[str, typer.Argument(help=SOURCE, show_default=False)]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        help="The column to predict, for files without a recipe.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="The run directory. By default runs/<name of the recipe>.",
        show_default=False,
    ),
]
Ablation = Annotated[
    bool | None,
    typer.Option(
        "--ablate/--no-ablate",
        help="Look for parts that do nothing, and drop them before the final training. On, "
        "unless --quick.",
        show_default=False,
    ),
]
CHANGES = "Change the recipe"
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A setting of the recipe by its dotted path, and its value or range in YAML. May be "
        "given several times.",
        metavar="SETTING=VALUE",
        show_default=False,
        rich_help_panel=CHANGES,
    ),
]
Trials = Annotated[
    int | None,
    typer.Option(
        help="Settings to try in the search (search.trials).",
        show_default=False,
        rich_help_panel=CHANGES,
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        help="Fresh seeds in the search, the ablation and the final training (search.seeds, "
        "ablate.seeds, final.seeds).",
        show_default=False,
        rich_help_panel=CHANGES,
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        help="What is optimized, as accuracy or rmse (metric).",
        show_default=False,
        rich_help_panel=CHANGES,
    ),
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="A small version: at most 8 trials and 2 leaders, 3 seeds in search and final "
        "training, no ablation unless asked.",
        rich_help_panel=CHANGES,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        help="The run ends after so many minutes, or little later, and does what they hold "
        "(minutes).",
        show_default=False,
        rich_help_panel=CHANGES,
    ),
]
Model = Annotated[
    Path,
    typer.Argument(
        help="A run directory, or the folder of a bundle: runs/digits, iris.winnow.",
        show_default=False,
    ),
]

app = typer.Typer(
    name="winnow",
    help="Makes a PyTorch model better, smaller and faster, and shows which changes did it.",
    epilog="Start with: [bold]winnow run sklearn:iris[/bold], or [bold]winnow run data.csv "
    "--target price[/bold]. "
    "A run that was stopped goes on where it was when the same command is given again.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _examples(*lines: str) -> str:
    return "Examples:\n\n" + "\n\n".join(f"  [bold]{line}[/bold]" for line in lines)


def _version(wanted: bool) -> None:
    if wanted:
        from winnow import __version__

        print(f"winnow {__version__}")
        raise typer.Exit


@app.callback()
def _winnow(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


# -- stages ----------------------------------------------------------------------------------------


def _stage(name: str, stage: str, what: str, *examples: str, may_ablate: bool) -> None:
    """The command ``name``, which runs the stages up to ``stage``. All of them take the same
    source and the same changes.
    """

    def with_choice(
        source: Source,
        target: Target = None,
        out: Out = None,
        ablate: Ablation = None,
        set_: Set = None,
        trials: Trials = None,
        seeds: Seeds = None,
        metric: Metric = None,
        quick: Quick = False,
        minutes: Minutes = None,
    ) -> None:
        changes = Changes(
            tuple(set_ or ()),
            trials=trials,
            seeds=seeds,
            metric=metric,
            quick=quick,
            minutes=minutes,
        )
        _pull(stage, source, target, out, not quick if ablate is None else ablate, changes)

    def without_choice(
        source: Source,
        target: Target = None,
        out: Out = None,
        set_: Set = None,
        trials: Trials = None,
        seeds: Seeds = None,
        metric: Metric = None,
        quick: Quick = False,
        minutes: Minutes = None,
    ) -> None:
        changes = Changes(
            tuple(set_ or ()),
            trials=trials,
            seeds=seeds,
            metric=metric,
            quick=quick,
            minutes=minutes,
        )
        _pull(stage, source, target, out, True, changes)

    command = with_choice if may_ablate else without_choice
    app.command(name=name, help=what, epilog=_examples(*examples))(guarded(command))


_stage(
    "run",
    "bundle",
    "Do everything: search, ablate, train, evaluate, compress, bundle, report.",
    "winnow run recipes/digits.yaml",
    "winnow run data.csv --target price --quick",
    "winnow run recipes/digits.yaml --set train.epochs=10 --out runs/try1",
    may_ablate=True,
)
_stage(
    "search",
    "found",
    "Find the best settings of the recipe's ranges, and measure the best few again on fresh seeds.",
    "winnow search recipes/digits.yaml --trials 32",
    may_ablate=False,
)
_stage(
    "ablate",
    "ablation",
    "Leave out each part of the recipe in turn and judge what it does. Searches first when "
    "settings are open.",
    "winnow ablate recipes/digits.yaml",
    "winnow ablate runs/digits --seeds 20",
    may_ablate=False,
)
_stage(
    "train",
    "trained",
    "Train the final models on fresh seeds. Searches and ablates first.",
    "winnow train recipes/digits.yaml",
    "winnow train recipes/digits.yaml --no-ablate",
    may_ablate=True,
)
_stage(
    "evaluate",
    "evaluation",
    "Measure the final models on the test rows. Runs the stages before first.",
    "winnow evaluate runs/digits",
    may_ablate=True,
)
_stage(
    "compress",
    "bundle",
    "Make the model smaller and faster within the budget, and write the bundle. Runs the stages "
    "before first.",
    "winnow compress runs/digits",
    "winnow compress runs/digits --set compress.budget=0.002",
    may_ablate=True,
)


def _pull(
    stage: str, source: str, target: str | None, out: Path | None, ablate: bool, changes: Changes
) -> None:
    """Run the stages up to ``stage`` and print what came out."""
    began = process_began()
    read = read_early(source, changes)
    with deadline(changes.minutes if read is None else read.minutes, began) as limit:
        from winnow.cli._print import print_notes, print_result
        from winnow.cli._progress import display
        from winnow.pipeline import Flow, open_source, summary
        from winnow.report import Documents

        with modules_here():
            asked = open_source(source, target=target, out=out, change=changes.apply)
            print_notes(asked.notes)
            with (
                display() as told,
                Flow(
                    asked.recipe,
                    asked.out,
                    ablate=ablate,
                    file=asked.file,
                    progress=told,
                    command=_command(),
                    goal=stage,
                    began=began,
                    quick=changes.quick,
                ) as flow,
            ):
                if flow.budget is not None:
                    limit.set(flow.budget.minutes, flow.budget.left())
                flow.reach_goal()
                report = flow.write_report()
                documents = flow.documents()
                shipped = Documents.of(documents).bundle
        print_result(
            summary(documents),
            report=report,
            bundle=None if shipped is None else shipped.path,
        )


def _command() -> str:
    import shlex

    return shlex.join(["winnow", *sys.argv[1:]])


# -- looking ---------------------------------------------------------------------------------------


@app.command(
    epilog=_examples(
        "winnow check recipes/digits.yaml",
        "winnow check data.csv --target price --set train.epochs=50",
    )
)
@guarded
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
    changes = Changes(tuple(set_ or ()), trials=trials, seeds=seeds, metric=metric, quick=quick)
    read_early(source, changes)
    from winnow.cli._print import print_check, print_notes
    from winnow.pipeline import check as look
    from winnow.pipeline import describe_plan, open_source

    with modules_here():
        asked = open_source(source, target=target, keep=False, change=changes.apply)
        checked = look(asked.recipe, file=asked.file)
        print_notes(checked.prepared.notes)
        print_check(checked, describe_plan(checked))


@app.command(
    epilog=_examples("winnow report runs/digits", "winnow report runs/digits --out digits.html")
)
@guarded
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

    print(printable(f"report: {rewrite_report(directory, out)}"))


@app.command(
    name="list",
    epilog=_examples("winnow list", "winnow list experiments", "winnow list runs/digits"),
)
@guarded
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


RunSource = Annotated[
    str,
    typer.Argument(
        help="A run directory, or a recipe, which stands for its run.", show_default=False
    ),
]


@app.command(
    epilog=_examples("winnow compare runs/digits runs/try1", "winnow compare a.yaml b.yaml")
)
@guarded
def compare(a: RunSource, b: RunSource) -> None:
    """Show how two runs differ in their settings and scores, and whether the test rows tell which
    model is better.

    Where both have the same test rows, the two models that ship are compared row by row.
    """
    from winnow.cli._print import print_comparison
    from winnow.pipeline import compare_runs

    with modules_here():  # the data may come from a function of the user's
        print_comparison(compare_runs(a, b))


@app.command(
    epilog=_examples(
        "winnow export runs/digits --format onnx",
        "winnow export runs/digits --format csv --out digits_outcomes.csv",
    )
)
@guarded
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

    target = out if out is not None else Path(f"{run_directory(run).resolve().name}.{kind}")
    print(printable(f"written: {export_run(run, kind, target)}"))


@app.command(epilog=_examples("winnow schema > recipe.schema.json"))
@guarded
def schema() -> None:
    """Print the JSON schema of recipes, for editors that complete and check YAML."""
    import json

    from winnow.recipe import Recipe

    print(json.dumps(Recipe.schema_json(), indent=2))


# -- using a bundle --------------------------------------------------------------------------------


@app.command(epilog=_examples("winnow predict runs/digits rows.csv -o predictions.csv"))
@guarded
def predict(
    bundle: Model,
    rows: Annotated[
        Path,
        typer.Argument(
            help="A .csv, .tsv or .parquet file with the columns that the model knows.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="The .csv or .parquet file to write.", show_default=False),
    ],
) -> None:
    """Predict every row of a file; writes its columns with the prediction and the probabilities
    beside them.
    """
    from winnow.bundle import load, predict_file

    count = predict_file(load(bundle), rows, out)
    print(printable(f"{count} rows predicted: {out}"))


@app.command(
    epilog=_examples(
        "winnow serve runs/digits",
        "winnow serve runs/digits/digits.winnow --host 0.0.0.0 --port 80",
    )
)
@guarded
def serve(
    bundle: Model,
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes any free one.")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name that requests may call the server by; repeat it for more, '*' allows any.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve a bundle over HTTP: a page to try it out, /predict, /health and /docs."""
    from winnow.serving import serve as serve_bundle

    serve_bundle(
        bundle,
        host=host,
        port=port,
        allowed_hosts=allow_host or (),
        announce=lambda line: print(printable(line), flush=True),
    )


def main() -> None:
    """Entry point of the ``winnow`` command."""
    run_process(app)
