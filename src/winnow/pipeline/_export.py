"""What a run made, as a file for other programs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from winnow.bundle import MODEL, find_bundle, load
from winnow.errors import WorkspaceError
from winnow.files import without_formulas, written_aside
from winnow.ledger import Ledger
from winnow.pipeline._directory import LEDGER_FILE, documents_of, run_directory
from winnow.records import plain

__all__ = ["EXPORTS", "export_run"]

EXPORTS = ("onnx", "csv", "json", "parquet")


def export_run(source: str | Path, kind: str, out: str | Path) -> Path:
    """Write what a run made to a file: its model, its outcomes as a table, or all its facts.

    Args:
        source: a run directory, or a recipe's file.
        kind: ``onnx`` (the file in the bundle), ``csv`` or ``parquet`` (a row for each training:
            settings, scores, metrics), or ``json`` (the documents of all stages, and the same
            rows). In a .csv file text that a spreadsheet would take for a formula has an apostrophe
            before it, as in predictions.
        out: the file; replaced when it is there.

    Returns:
        The file that was written.

    Raises:
        WorkspaceError: there is no run directory, or the file cannot be written.
        BundleError: the run has no bundle, or a damaged one.
    """
    place, target = run_directory(source), Path(out)
    if kind not in EXPORTS:
        raise WorkspaceError(
            f"expected one of {', '.join(EXPORTS)} as the kind of file, got {kind!r}"
        )
    model: Path | None = None
    if kind == "onnx":
        model = load(find_bundle(place)).path / MODEL  # loading checks that it is whole
    try:
        with written_aside(target) as aside:
            if model is not None:
                shutil.copyfile(model, aside)
            else:
                _write_facts(place, kind, aside)
    except OSError as error:
        raise WorkspaceError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def _write_facts(place: Path, kind: str, out: Path) -> None:
    with Ledger.open(place / LEDGER_FILE) as ledger:
        table = ledger.to_table()
        documents = documents_of(ledger)
    if kind == "csv":
        without_formulas(table).write_csv(out)
    elif kind == "parquet":
        table.write_parquet(out)
    else:
        facts = plain({"documents": documents, "outcomes": table.to_dicts()})
        text = json.dumps(facts, indent=1, default=str, allow_nan=False)
        out.write_text(text + "\n", encoding="utf-8")
