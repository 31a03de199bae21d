"""What the commands print when they are done."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from winnow.errors import printable
from winnow.pipeline import CheckedRecipe, Comparison, RunFacts, few_notes
from winnow.recipe import Choice, OpenSetting, Range
from winnow.stats import Interval

__all__ = ["print_check", "print_comparison", "print_notes", "print_result", "print_runs"]

TableRow = Sequence[str]
BETTER = {
    "a": "A is better",
    "b": "B is better",
    "cannot tell": "cannot tell which is better",
}


def print_notes(notes: Sequence[str]) -> None:
    """Print what was decided before anything ran, on standard error."""
    for note in few_notes(notes):
        text = printable(f"note: {note}")
        # Notes hold names with brackets, which rich would take for markup.
        Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def print_result(
    lines: Sequence[tuple[str, str]],
    *,
    report: Path,
    bundle: str | None,
    reads_files: bool = True,
) -> None:
    """Print the summary of a run, where things are, and what one may do next.

    Args:
        lines: (what, text) of the summary.
        report: the HTML file.
        bundle: the folder of the bundle; None: there is none.
        reads_files: whether the rows of a file can be predicted, as those of a table can.
    """
    console = Console()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for what, text in [*lines, ("report", str(report))]:
        grid.add_row(what, Text(printable(text)))
    console.print()
    console.print(grid)
    if bundle is None:
        return
    console.print()
    # By ``print``, so that a long path is not broken and the line can be copied.
    place = shlex.quote(bundle)
    print(printable(f"try it:    winnow serve {place}"))
    if reads_files:
        print(printable(f"predict:   winnow predict {place} rows.csv -o predictions.csv"))
    else:
        print(printable(f"predict:   in Python, winnow.load({bundle!r}).predict(rows)"))


def print_check(checked: CheckedRecipe, plan: Sequence[str]) -> None:
    """Print the recipe with its defaults, its open settings, its parts and the plan."""
    recipe, console = checked.recipe, Console()
    _print_text(console, recipe.to_yaml(defaults=True).rstrip())
    ranges = recipe.ranges()
    title = f"{len(ranges)} open settings" if ranges else "no open settings"
    settings = [(path, _range(found.range), _condition(found)) for path, found in ranges.items()]
    _print_table(console, title, ("setting", "range", "only when"), settings)
    parts = recipe.parts()
    title = f"{len(parts)} parts can be switched off" if parts else "no part can be switched off"
    rows = [(part.name, part.what, part.path) for part in parts.values()]
    _print_table(console, title, ("part", "what", "setting"), rows)
    for warning in checked.warnings:
        _print_text(console, f"note: {warning}")
    console.print("\n[bold]the plan[/bold]")
    for line in plan:
        _print_text(console, f"  {line}")


def print_runs(runs: Sequence[RunFacts], folder: Path) -> None:
    """Print a line for each run that lies in ``folder``."""
    if not runs:
        print(printable(f"no runs in {folder}"))
        return
    head = ("run", "name", "began (UTC)", "metric", "test score", "bundle", "state")
    _print_columns(head, [_run_row(run) for run in runs])


def _run_row(run: RunFacts) -> TableRow:
    return (
        str(run.path),
        run.name,
        run.started[:16].replace("T", " "),
        run.metric,
        "" if run.test is None else str(run.test),
        "" if run.bytes is None else f"{run.bytes / 1e3:,.1f} kB",
        run.state,
    )


def print_comparison(found: Comparison) -> None:
    """Print the settings that differ, the scores, and whether it can be told which is better."""
    a, b = found.a, found.b
    rows: list[TableRow] = [("metric", a.metric, b.metric)]
    for path, (left, right) in found.settings.items():
        rows.append((path, _setting(left), _setting(right)))
    rows.append(("validation", _score(a.validation), _score(b.validation)))
    rows.append(("test", _score(a.test), _score(b.test)))
    _print_columns(("", f"A: {a.path}", f"B: {b.path}"), rows)
    if not found.settings:
        print("no setting differs")
    print(printable(_verdict(found)))


def _verdict(found: Comparison) -> str:
    if found.advantage is None:
        return f"cannot tell which is better: {found.reason}"
    confidence = f"{100 * found.advantage.confidence:g} %"
    return (
        f"{BETTER[found.better]}: A is ahead by {found.advantage} {found.a.metric} ({confidence} "
        f"interval; {found.reason})"
    )


# -- tables ----------------------------------------------------------------------------------------


def _print_text(console: Console, text: str) -> None:
    """Print text as it is: no markup in it, and no line broken that fits a terminal's scrolling."""
    console.print(Text(printable(text)), soft_wrap=True)


def _print_columns(head: TableRow, rows: Sequence[TableRow]) -> None:
    """Print a table, as wide as it needs to be where nobody looks at it on a terminal."""
    console = Console()
    columns = [Column(Text(printable(name))) for name in head]
    table = Table(*columns, box=None, padding=(0, 2, 0, 0), header_style="bold")
    _add_rows(table, rows)
    if not console.is_terminal:
        # A pipe has no width, and a program that reads it cannot mend a folded cell.
        widths = [max(map(len, column)) + 2 for column in zip(head, *rows, strict=True)]
        console = Console(width=sum(widths))
    console.print(table)


def _print_table(console: Console, title: str, head: TableRow, rows: Sequence[TableRow]) -> None:
    """Print a title, and a table below it unless it is empty."""
    console.print(f"\n[bold]{title}[/bold]")
    if not rows:
        return
    table = Table(*head, box=None, padding=(0, 2, 0, 2), header_style="dim")
    _add_rows(table, rows)
    console.print(table)


def _add_rows(table: Table, rows: Sequence[TableRow]) -> None:
    for row in rows:
        cells = [Text(printable(cell)) for cell in row]
        table.add_row(*cells)


# -- cells -----------------------------------------------------------------------------------------


def _score(score: Interval | None) -> str:
    return "not yet" if score is None else str(score)


def _setting(value: object) -> str:
    return "nothing" if value is None else str(value)


def _range(found: Range) -> str:
    if isinstance(found, Choice):
        return " | ".join(map(str, found.labels))
    return f"{found.key} {found.low:g} to {found.high:g}"


def _condition(setting: OpenSetting) -> str:
    """Return the choice on which a setting depends; empty where it depends on none."""
    if setting.condition is None:
        return ""
    return " is ".join(map(str, setting.condition))
