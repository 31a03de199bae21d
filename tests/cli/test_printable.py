"""Text from files does not command the terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from winnow.cli import app
from winnow.cli._progress import ProgressBars, ProgressLines
from winnow.errors import printable
from winnow.execution import Event

ESC = "\x1b"
RED = f"{ESC}[31mred"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (RED, "\\x1b[31mred"),
        ("a\rb\x07\x08", "a\\rb\\x07\\x08"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),  # one byte that some terminals take for ESC [
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\udcff.csv", "\\udcff.csv"),
        ("two\n\tlines, \u00fc, \u6f22, [b]", "two\n\tlines, \u00fc, \u6f22, [b]"),
        (Path("a"), "a"),
    ],
)
def test_control_characters_are_written_out(text: object, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def winnow_(*arguments: str) -> str:
    """All that the command wrote."""
    return CliRunner().invoke(app, list(arguments)).output


RECIPE = """\
name: "n\\e[31mred"
data: {source: "sklearn:iris", drop: ["d\\e[31mred"]}
model: {use: mlp, args: {"w\\e[31mred": 3}}
train: {"k\\e[31mred": 1, epochs: "v\\e[31mred"}
ablate: {parts: ["p\\e[31mred"]}
"""


@pytest.mark.parametrize("command", ["check", "run"])
def test_keys_and_values_of_a_recipe(tmp_path: Path, command: str) -> None:
    (tmp_path / "bad.yaml").write_text(RECIPE)

    told = winnow_(command, str(tmp_path / "bad.yaml"))

    assert "k\\x1b[31mred" in told
    assert ESC not in told


def test_a_recipe_that_is_printed(tmp_path: Path) -> None:
    text = (
        'name: "n\\e[31mred"\ndata: {source: "sklearn:iris"}\nmodel: {use: mlp, args: {width: '
        "4}}\ntrain: {epochs: 1}\n"
    )
    (tmp_path / "odd.yaml").write_text(text)

    assert ESC not in winnow_("check", str(tmp_path / "odd.yaml"))


def test_columns_labels_and_names_of_files(tmp_path: Path) -> None:
    table = tmp_path / f"{RED}.csv"
    rows = [f"{i % 7},{RED if i % 2 else 'b'},2026-01-{i % 28 + 1:02}" for i in range(60)]
    table.write_text("\n".join([f"{RED}1,{RED}2,{RED}3", *rows]))

    for arguments in (
        ["check", str(table)],
        ["check", str(table), "--target", "none"],
        ["check", str(table), "--target", f"{RED}2"],
        ["run", f"{tmp_path}/{RED}.yaml"],
        ["predict", f"{tmp_path}/{RED}", "x.csv", "-o", "y.csv"],
        ["check", str(table), "--set", f"{RED}=1"],
    ):
        told = winnow_(*arguments)
        assert "[31mred" in told
        assert ESC not in told


def test_messages_while_something_runs() -> None:
    for terminal in (False, True):
        console = Console(
            file=io.StringIO(),
            force_terminal=terminal,
            width=120,
            color_system=None,
            legacy_windows=False,
        )
        event = Event("train", 1, 2, message=f"column {RED} is odd")
        if terminal:
            with ProgressBars(console) as bars:
                bars(event)
        else:
            ProgressLines(console)(event)
        assert isinstance(console.file, io.StringIO)
        assert "column \\x1b[31mred is odd" in console.file.getvalue()
