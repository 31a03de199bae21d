"""The commands that use a bundle: predict from it, serve it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from winnow.cli._options import BundlePath, Command
from winnow.errors import printable

__all__ = ["BUNDLE_COMMANDS"]


def predict(
    bundle: BundlePath,
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


def serve(
    bundle: BundlePath,
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
        announce=_announce,
    )


def _announce(line: str) -> None:
    # At once: whoever reads a pipe waits for the address.
    print(printable(line), flush=True)


BUNDLE_COMMANDS = (
    Command(
        "predict",
        predict,
        examples=("winnow predict runs/digits rows.csv -o predictions.csv",),
    ),
    Command(
        "serve",
        serve,
        examples=(
            "winnow serve runs/digits",
            "winnow serve runs/digits/digits.winnow --host 0.0.0.0 --port 80",
        ),
    ),
)
