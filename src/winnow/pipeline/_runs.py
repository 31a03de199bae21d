"""Runs side by side: what there is, how two of them differ, and their facts as files."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from winnow.bundle import MODEL, find_bundle, load, open_session
from winnow.compression import Judge
from winnow.data import PreparedData, Rows, prepare
from winnow.errors import DataError, RecipeError, WinnowError, WorkspaceError
from winnow.files import without_formulas, written_aside
from winnow.ledger import Ledger
from winnow.pipeline._source import default_out, is_run, settings_of
from winnow.recipe import Recipe
from winnow.records import plain
from winnow.report import Documents
from winnow.stats import Interval

__all__ = [
    "EXPORTS",
    "Comparison",
    "RunFacts",
    "compare_runs",
    "export_run",
    "list_runs",
    "run_directory",
    "run_facts_of",
]

# Documents, in the order in which a run leaves them
STAGES = ("search", "ablation", "final", "evaluation", "bundle")
EXPORTS = ("onnx", "csv", "json", "parquet")


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
    """The runs in ``folder`` (itself one, or the folder of many), the latest first; one that cannot
    be read is left out.

    Raises:
        WorkspaceError: no such folder.
    """
    place = Path(folder)
    if not place.is_dir():
        raise WorkspaceError(
            f"no folder {str(place)!r}: runs lie under runs/ in the folder where `winnow run` "
            f"was called"
        )
    places = [place] if is_run(place) else sorted(p for p in place.iterdir() if is_run(p))
    found = []
    for run in places:
        try:
            found.append(run_facts_of(run))
        except WinnowError:
            continue
    return sorted(found, key=lambda run: run.started, reverse=True)


def run_directory(source: str | Path) -> Path:
    """The run directory that ``source`` stands for: itself, or that of a recipe's file.

    Raises:
        RecipeError: a recipe that cannot be read.
        WorkspaceError: no run directory.
    """
    place = Path(source)
    if place.suffix.lower() in (".yaml", ".yml"):
        place = default_out(Recipe.load(place).name)
    if not is_run(place):
        raise WorkspaceError(
            f"{place} is no run directory: it has no ledger.db (`winnow run` makes one, `winnow "
            f"list` shows them)"
        )
    return place


def run_facts_of(path: Path) -> RunFacts:
    """What is known about a run. It may be running meanwhile.

    Raises:
        WorkspaceError: its ledger cannot be read, or holds no run yet.
    """
    with Ledger.open(path / "ledger.db") as ledger:
        documents = Documents.of({n: ledger.get_document(n) for n in ledger.documents()})
    run = documents.run
    if run is None:
        raise WorkspaceError(f"{path} holds no run yet")
    final, evaluation = documents.final, documents.evaluation
    return RunFacts(
        path=path,
        name=run.name or path.name,
        started=run.started or "",
        metric=run.metric,
        validation=None if final is None else final.score,
        test=None if evaluation is None else evaluation.metrics.get(run.metric),
        bytes=None if documents.bundle is None else documents.bundle.bytes,
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


# -- two runs --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        a, b: the runs.
        settings: those that differ: dotted path -> (in ``a``, in ``b``).
        advantage: how much better the shipped model of ``a`` is than that of ``b`` in the metric of
            ``a``, paired over the test rows that both have; above 0 is better, also for errors.
            None when the two cannot be paired.
        better: which of the two the rows show to be better.
        reason: why they cannot be paired, or what the verdict rests on.
    """

    a: RunFacts
    b: RunFacts
    settings: dict[str, tuple[Any, Any]]
    advantage: Interval | None
    better: Literal["a", "b", "cannot tell"]
    reason: str


def compare_runs(a: str | Path, b: str | Path) -> Comparison:
    """How two runs differ in their settings, and which of their models is better on the test rows,
    if that can be told.

    Args:
        a, b: run directories, or recipes' files, which stand for their runs.

    Raises:
        WorkspaceError: a run that is not there or cannot be read.
        RecipeError: a recipe that cannot be read.
    """
    left, right = (run_facts_of(run_directory(source)) for source in (a, b))
    recipes = [_recipe_of(run) for run in (left, right)]
    mine, yours = map(settings_of, recipes)
    paths = dict.fromkeys([*mine, *yours])
    settings = {p: (mine.get(p), yours.get(p)) for p in paths if mine.get(p) != yours.get(p)}
    found = _paired(left, right, recipes)
    if isinstance(found, str):
        return Comparison(left, right, settings, None, "cannot tell", found)
    better: Literal["a", "b", "cannot tell"] = (
        "a" if found.low > 0 else "b" if found.high < 0 else "cannot tell"
    )
    reason = f"the two shipped models on the same {found.n} test rows, paired row by row"
    return Comparison(left, right, settings, found, better, reason)


def _recipe_of(facts: RunFacts) -> Recipe:
    run = facts.documents.run
    if run is None or run.recipe_yaml is None:
        raise WorkspaceError(f"{facts.path} does not say which recipe it was made from")
    return Recipe.from_yaml(run.recipe_yaml)


def _paired(a: RunFacts, b: RunFacts, recipes: list[Recipe]) -> Interval | str:
    """How much better ``a`` is on the rows that both have, or why that cannot be said."""
    if a.metric != b.metric:
        return f"they optimize different metrics, {a.metric} and {b.metric}"
    without = [run.path for run in (a, b) if run.bytes is None]
    if without:
        return f"{without[0]} has no bundle yet"
    digests = [run.documents.data and run.documents.data.digest for run in (a, b)]
    if digests[0] != digests[1]:
        return "their data are not the same"
    try:
        prepared = [prepare(recipe.data) for recipe in recipes]
        ours, theirs = (_test_rows(p) for p in prepared)
        if (
            not np.array_equal(ours.index, theirs.index)
            or prepared[0].classes != prepared[1].classes
        ):
            return "their test rows are not the same"
        outputs = [_outputs(run, rows) for run, rows in zip((a, b), (ours, theirs), strict=True)]
    except (DataError, RecipeError, WinnowError) as error:
        return f"their test rows cannot be read again: {error}"
    decode = prepared[0].preparation.decode
    is_classification = prepared[0].task == "classification"
    truth = (
        ours.y
        if is_classification
        else np.asarray(decode(ours.y.astype(np.float64)[:, None])).reshape(-1)
    )
    judges = [Judge(a.metric, p.task, truth, p.preparation.decode) for p in prepared]
    predictions = [judge.predictions(output) for judge, output in zip(judges, outputs, strict=True)]
    return judges[0].drop(*predictions)


def _test_rows(prepared: PreparedData) -> Rows:
    if not isinstance(prepared.test, Rows):
        raise DataError("rows of datasets are not held in memory")
    return prepared.test


def _outputs(run: RunFacts, rows: Rows) -> np.ndarray:
    bundle = load(run.path)  # checks every file against the manifest
    session = open_session((bundle.path / MODEL).read_bytes())
    pieces = np.array_split(rows.X, max(1, len(rows) // 1024))
    return np.concatenate(
        [session.run(None, {"x": np.ascontiguousarray(piece)})[0] for piece in pieces]
    )


# -- files -----------------------------------------------------------------------------------------


def export_run(source: str | Path, kind: str, out: str | Path) -> Path:
    """Write what a run made to a file: its model as ONNX, its outcomes as a table, or all its facts
    as JSON.

    Args:
        source: a run directory, or a recipe's file.
        kind: ``onnx`` (the file in the bundle), ``csv`` or ``parquet`` (a row for each training:
            settings, scores, metrics), or ``json`` (the documents of all stages, and the same
            rows). In a .csv file text that a spreadsheet would take for a formula has an apostrophe
            before it, as in predictions.
        out: the file; replaced when it is there.

    Raises:
        WorkspaceError: no run directory, or the file cannot be written.
        BundleError: a run without a bundle, or a damaged one.
    """
    place, target = run_directory(source), Path(out)
    if kind not in EXPORTS:
        raise WorkspaceError(
            f"expected one of {', '.join(EXPORTS)} as the kind of file, got {kind!r}"
        )
    model = load(find_bundle(place)).path / MODEL if kind == "onnx" else None
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
    with Ledger.open(place / "ledger.db") as ledger:
        table = ledger.to_table()
        if kind == "csv":
            without_formulas(table).write_csv(out)
        elif kind == "parquet":
            table.write_parquet(out)
        else:
            documents = {name: ledger.get_document(name) for name in ledger.documents()}
            facts = {"documents": documents, "outcomes": table.to_dicts()}
            out.write_text(
                json.dumps(plain(facts), indent=1, default=str, allow_nan=False) + "\n",
                encoding="utf-8",
            )
