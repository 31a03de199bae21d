"""The arguments and options that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Ablation",
    "BundlePath",
    "Command",
    "Metric",
    "Minutes",
    "Out",
    "Quick",
    "RunSource",
    "Seeds",
    "Set",
    "Source",
    "Target",
    "Trials",
]

CHANGES = "Change the recipe"  # the title above these options in --help

Source = Annotated[
    str,
    typer.Argument(
        help="A recipe (.yaml), a run directory, or data: a .csv, .tsv or .parquet file, "
        "sklearn:<name>, package.module:function.",
        show_default=False,
    ),
]
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
RunSource = Annotated[
    str,
    typer.Argument(
        help="A run directory, or a recipe, which stands for its run.", show_default=False
    ),
]
BundlePath = Annotated[
    Path,
    typer.Argument(
        help="A run directory, or the folder of a bundle: runs/digits, iris.winnow.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Command:
    """A command of ``winnow``.

    Attributes:
        name: as it is typed.
        run: does the work; its signature gives the arguments and options.
        examples: calls that ``--help`` ends with.
        help: what the command does; None: the docstring of ``run``.
    """

    name: str
    run: Callable[..., None]
    examples: tuple[str, ...]
    help: str | None = None

    @property
    def epilog(self) -> str:
        """The examples as they stand at the end of ``--help``."""
        lines = [f"  [bold]{line}[/bold]" for line in self.examples]
        return "\n\n".join(["Examples:", *lines])
