"""The commands that run stages: each one those before it, too."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from winnow.cli._changes import RecipeChanges, read_early
from winnow.cli._deadline import deadline, process_began
from winnow.cli._here import modules_here
from winnow.cli._options import (
    Ablation,
    Command,
    Metric,
    Minutes,
    Out,
    Quick,
    Seeds,
    Set,
    Source,
    Target,
    Trials,
)

__all__ = ["STAGE_COMMANDS"]


def _changes(
    set_: list[str] | None,
    trials: int | None,
    seeds: int | None,
    metric: str | None,
    quick: bool,
    minutes: float | None,
) -> RecipeChanges:
    """Return what the options of a command change in the recipe."""
    return RecipeChanges(tuple(set_ or ()), trials, seeds, metric, quick, minutes)


def _may_ablate(goal: str) -> Callable[..., None]:
    """Return the command that runs the stages up to ``goal``, with or without an ablation."""

    def command(
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
        changes = _changes(set_, trials, seeds, metric, quick, minutes)
        wants_ablation = not quick if ablate is None else ablate
        _run_stages(goal, source, target, out, wants_ablation, changes)

    return command


def _cannot_ablate_less(goal: str) -> Callable[..., None]:
    """Return the command that runs the stages up to ``goal``, of which none can be left out."""

    def command(
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
        changes = _changes(set_, trials, seeds, metric, quick, minutes)
        _run_stages(goal, source, target, out, True, changes)

    return command


STAGE_COMMANDS = (
    Command(
        "run",
        _may_ablate("bundle"),
        help="Do everything: search, ablate, train, evaluate, compress, bundle, report.",
        examples=(
            "winnow run recipes/digits.yaml",
            "winnow run data.csv --target price --quick",
            "winnow run recipes/digits.yaml --set train.epochs=10 --out runs/try1",
        ),
    ),
    Command(
        "search",
        _cannot_ablate_less("found"),
        help="Find the best settings of the recipe's ranges, and measure the best few again on "
        "fresh seeds.",
        examples=("winnow search recipes/digits.yaml --trials 32",),
    ),
    Command(
        "ablate",
        _cannot_ablate_less("ablation"),
        help="Leave out each part of the recipe in turn and judge what it does. Searches first "
        "when settings are open.",
        examples=("winnow ablate recipes/digits.yaml", "winnow ablate runs/digits --seeds 20"),
    ),
    Command(
        "train",
        _may_ablate("trained"),
        help="Train the final models on fresh seeds. Searches and ablates first.",
        examples=(
            "winnow train recipes/digits.yaml",
            "winnow train recipes/digits.yaml --no-ablate",
        ),
    ),
    Command(
        "evaluate",
        _may_ablate("evaluation"),
        help="Measure the final models on the test rows. Runs the stages before first.",
        examples=("winnow evaluate runs/digits",),
    ),
    Command(
        "compress",
        _may_ablate("bundle"),
        help="Make the model smaller and faster within the budget, and write the bundle. Runs the "
        "stages before first.",
        examples=(
            "winnow compress runs/digits",
            "winnow compress runs/digits --set compress.budget=0.002",
        ),
    ),
)


def _run_stages(
    goal: str,
    source: str,
    target: str | None,
    out: Path | None,
    ablate: bool,
    changes: RecipeChanges,
) -> None:
    """Run the stages up to ``goal`` and print what came out."""
    began = process_began()
    early = read_early(source, changes)
    minutes = changes.minutes if early is None else early.minutes
    with deadline(minutes, began) as limit:
        # These load PyTorch, which takes seconds that count against the minutes.
        from winnow.cli._print import print_notes, print_result
        from winnow.cli._progress import display
        from winnow.pipeline import Flow, open_source, summary
        from winnow.report import Documents

        with modules_here():
            asked = open_source(source, target=target, out=out, change=changes.apply)
            print_notes(asked.notes)
            with (
                display() as progress,
                Flow(
                    asked.recipe,
                    asked.out,
                    ablate=ablate,
                    file=asked.file,
                    progress=progress,
                    command=shlex.join(["winnow", *sys.argv[1:]]),
                    goal=goal,
                    began=began,
                    quick=changes.quick,
                ) as flow,
            ):
                # Only now are the minutes known that a run directory has used up before.
                if flow.budget is not None:
                    limit.set(flow.budget.minutes, flow.budget.left())
                flow.reach_goal()
                report = flow.write_report()
                documents = flow.documents()
        found = Documents.of(documents)
        columns = () if found.data is None else found.data.columns
        print_result(
            summary(documents),
            report=report,
            bundle=None if found.bundle is None else found.bundle.path,
            reads_files=all(column.get("kind") != "array" for column in columns),
        )
