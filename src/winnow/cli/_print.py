"""What the commands print when they are done."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from winnow.errors import printable
from winnow.pipeline import CheckedRecipe, Comparison, RunFacts, few_notes
from winnow.recipe import Choice
from winnow.stats import Interval

__all__ = ["print_check", "print_comparison", "print_notes", "print_result", "print_runs"]


def print_notes(notes: Sequence[str]) -> None:
    """What was decided before anything ran, on standard error."""
    for note in few_notes(notes):
        Console(stderr=True).print(
            printable(f"note: {note}"), markup=False, highlight=False, soft_wrap=True
        )


def print_result(
    lines: Sequence[tuple[str, str]],
    *,
    report: Path,
    bundle: str | None,
) -> None:
    """The summary, where things are, and what one may do next."""
    console = Console()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for what, text in [*lines, ("report", str(report))]:
        grid.add_row(what, Text(printable(text)))
    console.print()
    console.print(grid)
    if bundle is not None:
        console.print()
        print(printable(f"try it:    winnow serve {shlex.quote(bundle)}"))
        print(
            printable(
                f"predict:   winnow predict {shlex.quote(bundle)} rows.csv -o predictions.csv"
            )
        )


def print_check(checked: CheckedRecipe, plan: Sequence[str]) -> None:
    """The recipe with its defaults, its open settings, its parts and the plan."""
    recipe, console = checked.recipe, Console()
    console.print(Text(printable(recipe.to_yaml(defaults=True).rstrip())), soft_wrap=True)
    ranges = recipe.ranges()
    _table(
        console,
        f"{len(ranges)} open settings" if ranges else "no open settings",
        ("setting", "range", "only when"),
        [
            (path, _range(s.range), " is ".join(map(str, s.condition)) if s.condition else "")
            for path, s in ranges.items()
        ],
    )
    parts = recipe.parts()
    _table(
        console,
        f"{len(parts)} parts can be switched off" if parts else "no part can be switched off",
        ("part", "what", "setting"),
        [(part.name, part.what, part.path) for part in parts.values()],
    )
    for warning in checked.warnings:
        console.print(Text(printable(f"note: {warning}")), soft_wrap=True)
    console.print("\n[bold]the plan[/bold]")
    for line in plan:
        console.print(Text(printable(f"  {line}")), soft_wrap=True)


def print_runs(runs: Sequence[RunFacts], folder: Path) -> None:
    """A line for each run."""
    if not runs:
        print(printable(f"no runs in {folder}"))
        return
    rows = [
        (
            str(run.path),
            run.name,
            run.started[:16].replace("T", " "),
            run.metric,
            "" if run.test is None else str(run.test),
            "" if run.bytes is None else f"{run.bytes / 1e3:,.1f} kB",
            run.state,
        )
        for run in runs
    ]
    _columns(("run", "name", "began (UTC)", "metric", "test score", "bundle", "state"), rows)


def print_comparison(found: Comparison) -> None:
    """Settings that differ, scores, and whether it can be told which is better."""
    a, b = found.a, found.b
    _columns(
        ("", f"A: {a.path}", f"B: {b.path}"),
        [
            ("metric", a.metric, b.metric),
            *(
                (path, _setting(left), _setting(right))
                for path, (left, right) in found.settings.items()
            ),
            ("validation", _score(a.validation), _score(b.validation)),
            ("test", _score(a.test), _score(b.test)),
        ],
    )
    if not found.settings:
        print("no setting differs")
    if found.advantage is None:
        print(printable(f"cannot tell which is better: {found.reason}"))
        return
    said = {"a": "A is better", "b": "B is better", "cannot tell": "cannot tell which is better"}[
        found.better
    ]
    confidence = f"{100 * found.advantage.confidence:g} %"
    print(
        printable(
            f"{said}: A is ahead by {found.advantage} {a.metric} ({confidence} interval; "
            f"{found.reason})"
        )
    )


def _score(score: Interval | None) -> str:
    return "not yet" if score is None else str(score)


def _setting(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table as wide as it needs to be where nobody looks at it on a terminal."""
    console = Console()
    table = Table(
        *(Column(Text(printable(name))) for name in head),
        box=None,
        padding=(0, 2, 0, 0),
        header_style="bold",
    )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    if not console.is_terminal:
        console = Console(
            width=sum(max(map(len, column)) + 2 for column in zip(head, *rows, strict=True))
        )
    console.print(table)


def _table(
    console: Console, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    console.print(f"\n[bold]{title}[/bold]")
    if rows:
        table = Table(*head, box=None, padding=(0, 2, 0, 2), header_style="dim")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        console.print(table)


def _range(found: Any) -> str:
    if isinstance(found, Choice):
        return " | ".join(map(str, found.labels))
    return f"{found.key} {found.low:g} to {found.high:g}"
