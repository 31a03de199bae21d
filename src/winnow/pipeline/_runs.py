"""The runs that there are, each in a line."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from winnow.errors import WinnowError, WorkspaceError
from winnow.ledger import Ledger
from winnow.pipeline._directory import LEDGER_FILE, documents_of, is_run
from winnow.report import Documents
from winnow.stats import Interval

__all__ = ["RunFacts", "list_runs", "run_facts_of"]

# Documents, in the order in which a run leaves them
STAGES = ("search", "ablation", "final", "evaluation", "bundle")


@dataclass(frozen=True)
class RunFacts:
    """A run in a line.

    Attributes:
        path: the run directory.
        name: of its recipe.
        started: ISO 8601, when its first sitting began.
        metric: what is optimized.
        validation: the score of the final trainings on the validation rows; None before them.
        test: the score on the test rows; None before the evaluation.
        bytes: of the bundle; None without one.
        state: ``finished``, ``running``, or what it was stopped after.
        documents: the facts that its stages left.
    """

    path: Path
    name: str
    started: str
    metric: str
    validation: Interval | None
    test: Interval | None
    bytes: int | None
    state: str
    documents: Documents


def list_runs(folder: str | Path = "runs") -> list[RunFacts]:
    """List the runs in a folder, the latest first.

    A run that cannot be read is left out.

    Args:
        folder: a run directory, or the folder of many.

    Returns:
        The runs.

    Raises:
        WorkspaceError: there is no such folder.
    """
    place = Path(folder)
    if not place.is_dir():
        raise WorkspaceError(
            f"no folder {str(place)!r}: runs lie under runs/ in the folder where `winnow run` "
            f"was called"
        )
    if is_run(place):
        places = [place]
    else:
        places = sorted(inner for inner in place.iterdir() if is_run(inner))
    found: list[RunFacts] = []
    for run in places:
        try:
            found.append(run_facts_of(run))
        except WinnowError:
            continue
    return sorted(found, key=lambda run: run.started, reverse=True)


def run_facts_of(path: Path) -> RunFacts:
    """Return what is known about a run, which may be running meanwhile.

    Args:
        path: the run directory.

    Raises:
        WorkspaceError: its ledger cannot be read, or holds no run yet.
    """
    with Ledger.open(path / LEDGER_FILE) as ledger:
        documents = Documents.of(documents_of(ledger))
    run = documents.run
    if run is None:
        raise WorkspaceError(f"{path} holds no run yet")
    final, evaluation, bundle = documents.final, documents.evaluation, documents.bundle
    return RunFacts(
        path=path,
        name=run.name or path.name,
        started=run.started or "",
        metric=run.metric,
        validation=None if final is None else final.score,
        test=None if evaluation is None else evaluation.metrics.get(run.metric),
        bytes=None if bundle is None else bundle.bytes,
        state=_state(path, documents),
        documents=documents,
    )


def _state(path: Path, documents: Documents) -> str:
    if _is_locked(path):
        return "running"
    left = [stage for stage in STAGES if stage in documents]
    if not left:
        return "begun"
    return "finished" if left[-1] == "bundle" else f"stopped after {left[-1]}"


def _is_locked(path: Path) -> bool:
    """Tell whether a process works in a run directory, without keeping others out."""
    try:
        handle = os.open(path / ".lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
