"""``winnow.run``: every stage in its order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from winnow.evaluation import Evaluation
from winnow.execution import Event
from winnow.pipeline._flow import Flow
from winnow.pipeline._source import open_source
from winnow.pipeline._summary import summary
from winnow.recipe import Recipe
from winnow.study import Ablation, SearchResult, TrainingResult

__all__ = ["Run", "run"]


@dataclass(frozen=True)
class Run:
    """What a run gave.

    Attributes:
        recipe: as it was asked.
        path: the run directory.
        found: the search; None when nothing was open.
        ablation: which parts matter; None when there was nothing to leave out.
        trained: the final training.
        evaluation: on the test rows.
        bundle: folder of the artefact; ``winnow.load`` opens it.
        report: the HTML file.
        documents: the facts that the stages left, by name; ``documents["compression"]`` has the
            candidates of compression.
    """

    recipe: Recipe
    path: Path
    found: SearchResult | None
    ablation: Ablation | None
    trained: TrainingResult
    evaluation: Evaluation
    bundle: Path
    report: Path
    documents: Mapping[str, Mapping[str, Any]] = field(repr=False)

    def summary(self) -> str:
        """Return what came out, in a few lines of text."""
        lines = summary(self.documents)
        return "\n".join(f"{what:<12} {text}" for what, text in lines)


def run(
    source: Recipe | str | Path,
    *,
    target: str | None = None,
    out: str | Path | None = None,
    ablate: bool = True,
    progress: Callable[[Event], None] | None = None,
    command: str | None = None,
) -> Run:
    """Search, ablate, train, evaluate, compress, bundle and report.

    What is finished in the run directory is not done again.

    Args:
        source: a recipe, a YAML file, a run directory, or data without a recipe: a .csv, .tsv or
            .parquet file, ``sklearn:<name>``, ``package.module:function``.
        target: the column to predict, for files and frames without a recipe.
        out: the run directory; None: ``runs/<name of the recipe>``.
        ablate: whether parts that do nothing are looked for and dropped before the final training.
        progress: told what is going on.
        command: how to repeat the run, for the report.

    Returns:
        What each stage gave, and where the bundle and the report are.

    Raises:
        RecipeError: with every mistake in the recipe, before anything trains.
        DataError: the data cannot be used.
        ModelError: every training failed, or the model cannot be exported.
        WorkspaceError: the directory belongs to another recipe, or cannot be used.
        OutOfTime: the recipe's ``minutes`` do not hold the least that is asked for.

    Example:
        >>> import tempfile, winnow
        >>> recipe = winnow.Recipe(
        ...     name="iris",
        ...     data=winnow.Data(source="sklearn:iris"),
        ...     model=winnow.Model(use="mlp"),
        ...     train=winnow.Train(epochs=2),
        ...     final=winnow.Final(seeds=2),
        ... )
        >>> done = winnow.run(recipe, out=tempfile.mkdtemp(), ablate=False)
        >>> done.bundle.name
        'iris.winnow'
    """
    asked = open_source(source, target=target, out=out)
    with Flow(
        asked.recipe, asked.out, ablate=ablate, file=asked.file, progress=progress, command=command
    ) as flow:
        bundle = flow.compress()
        report = flow.write_report()
        return Run(
            recipe=flow.recipe,
            path=flow.path,
            found=flow.search(),
            ablation=flow.ablate(),
            trained=flow.train(),
            evaluation=flow.evaluate(),
            bundle=bundle,
            report=report,
            documents=flow.documents(),
        )
