"""Writing the report of a run directory again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from winnow.errors import WorkspaceError
from winnow.execution import Workspace
from winnow.report import write_report

__all__ = ["read_documents", "rewrite_report"]


def read_documents(path: str | Path) -> dict[str, dict[str, Any]]:
    """The facts in a run directory, by name.

    Raises:
        WorkspaceError: ``path`` is no run directory, or another process works in it.
    """
    folder = Path(path)
    if not (folder / "ledger.db").is_file():
        raise WorkspaceError(
            f"{folder} is no run directory: it has no ledger.db (`winnow run` makes one, by "
            f"default under runs/)"
        )
    with Workspace.open(folder) as workspace:
        ledger = workspace.ledger
        return {
            name: document
            for name in ledger.documents()
            if (document := ledger.get_document(name)) is not None
        }


def rewrite_report(path: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run directory from its facts.

    Args:
        path: the run directory.
        out: the HTML file; None: ``report.html`` in the directory.

    Raises:
        WorkspaceError: ``path`` is no run directory, or another process works in it.
    """
    return write_report(read_documents(path), Path(path) / "report.html" if out is None else out)
