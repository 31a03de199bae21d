"""Writing the report of a run directory again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from winnow.errors import WorkspaceError
from winnow.execution import Workspace
from winnow.pipeline._directory import REPORT_FILE, documents_of, is_run
from winnow.report import write_report

__all__ = ["read_documents", "rewrite_report"]


def read_documents(path: str | Path) -> dict[str, dict[str, Any]]:
    """Return the facts in a run directory.

    Args:
        path: the run directory.

    Returns:
        Plain data by the name of the document: ``search``, ``final`` and so on.

    Raises:
        WorkspaceError: ``path`` is no run directory, or another process works in it.
    """
    folder = Path(path)
    if not is_run(folder):
        raise WorkspaceError(
            f"{folder} is no run directory: it has no ledger.db (`winnow run` makes one, by "
            f"default under runs/)"
        )
    with Workspace.open(folder) as workspace:
        return documents_of(workspace.ledger)


def rewrite_report(path: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run directory from its facts.

    Args:
        path: the run directory.
        out: the HTML file; None: ``report.html`` in the directory.

    Returns:
        The file that was written.

    Raises:
        WorkspaceError: ``path`` is no run directory, or another process works in it.
    """
    file = Path(path) / REPORT_FILE if out is None else Path(out)
    return write_report(read_documents(path), file)
