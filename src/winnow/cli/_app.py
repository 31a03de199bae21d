"""The command ``winnow``: what it is made of."""

from __future__ import annotations

from typing import Annotated

import typer

from winnow.cli._bundles import BUNDLE_COMMANDS
from winnow.cli._deadline import run_process
from winnow.cli._guard import guarded
from winnow.cli._looking import LOOKING_COMMANDS
from winnow.cli._stages import STAGE_COMMANDS

__all__ = ["app", "main"]

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


# In the order in which `--help` lists them
for _command in (*STAGE_COMMANDS, *LOOKING_COMMANDS, *BUNDLE_COMMANDS):
    _add = app.command(name=_command.name, help=_command.help, epilog=_command.epilog)
    _add(guarded(_command.run))


def main() -> None:
    """Run the command ``winnow``, which has the process for itself."""
    run_process(app)
