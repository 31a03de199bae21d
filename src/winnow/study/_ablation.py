"""What an ablation showed: the verdicts, and the documents that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from winnow.recipe import Recipe, metric_of
from winnow.stats import Interval, PairedComparison, one_row, t_interval
from winnow.study import _scores
from winnow.study._arms import Arm
from winnow.study._looks import Look
from winnow.study._records import AblationRecord, ArmRecord, ComparisonRecord, SimplifiedRecord
from winnow.study._simplify import Simplification

__all__ = ["FOR_COST", "Ablation"]

# Parts that are there to save trainings' time; that they do nothing to the score is their purpose
FOR_COST = ("early_stopping",)


@dataclass(frozen=True)
class Ablation:
    """What an ablation showed.

    Attributes:
        recipe: as it was asked, with everything on.
        metric: the score, never ``auto``.
        seeds: the training seeds, the same in every arm.
        reference: the recipe itself.
        arms: one for each part, in the order of the recipe.
        comparisons: the reference against each arm; positive differences mean that the part helps.
        simplified: the recipe without the parts that were shown to do nothing, or to hurt, all
            together.
        simplification: which parts went, which stayed, and the checks that decided; see
            ``simplify``.
        rows: of the validation part; None: not known.
        row_worth: by how much one of them can move the score at most; None: not known, or as far as
            it likes.
        look: which look at this question it is, and the confidence that is left for it.
        notes: what the reader should know.
    """

    recipe: Recipe
    metric: str
    seeds: tuple[int, ...]
    reference: Arm
    arms: tuple[Arm, ...]
    comparisons: tuple[PairedComparison, ...]
    simplified: Recipe
    simplification: Simplification
    rows: int | None
    look: Look
    row_worth: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def dropped(self) -> tuple[str, ...]:
        """The parts that ``simplified`` lacks."""
        return self.simplification.dropped

    def verdicts(self) -> dict[str, str]:
        """Return the verdict on each part: ``helps``, ``hurts``, ``needed``, ``no difference`` or
        ``undecided``.
        """
        return {c.name: c.verdict for c in self.comparisons}

    def table(self) -> pl.DataFrame:
        """Return a table with one row per part.

        Differences are in units of the score, positive where the part helps.
        """
        rows = [vars(comparison).copy() for comparison in self._comparison_records()]
        for row in rows:
            # Neither a list nor an interval makes a readable column
            del row["scores"], row["saved"]
        # All rows say what a column holds: the first may have nothing in it
        return pl.DataFrame(rows, infer_schema_length=None)

    @property
    def record(self) -> AblationRecord:
        """The ``ablation`` document."""
        confidence = self.look.confidence
        interval = _scores.score_interval(
            self.reference.outcomes, self.metric, self.rows, confidence
        )
        return AblationRecord(
            metric=self.metric,
            seeds=self.seeds,
            smallest_effect=self.recipe.ablate.smallest_effect,
            confidence=confidence,
            validation_rows=self.rows,
            one_row=self._one_row(),
            looks=self.look.record,
            reference=ArmRecord(interval, tuple(self.reference.scores)),
            comparisons=tuple(self._comparison_records()),
            notes=self.notes,
            simplified=SimplifiedRecord(
                dropped=self.simplification.dropped,
                kept=self.simplification.kept,
                recipe_yaml=self.simplified.to_yaml(),
                accepted=not self.simplification.kept,
                checks=self.simplification.checks,
                reason=self.simplification.reason,
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return ``record`` as plain data."""
        return self.record.to_dict()

    def _comparison_records(self) -> list[ComparisonRecord]:
        return [
            _comparison_record(self.reference, arm, comparison, self.look.confidence)
            for arm, comparison in zip(self.arms, self.comparisons, strict=True)
        ]

    def _one_row(self) -> float | None:
        """Return by how much one validation row can move the score; None where it is not known."""
        if self.row_worth is not None or self.rows is None:
            return self.row_worth
        mean = float(np.nanmean(self.reference.scores))
        return one_row(mean, metric_of(self.metric).bounds, self.rows)


def _comparison_record(
    reference: Arm, arm: Arm, comparison: PairedComparison, confidence: float
) -> ComparisonRecord:
    saved = None
    if comparison.name in FOR_COST:
        saved = _epochs_saved(reference, arm, confidence)
    return ComparisonRecord(
        name=comparison.name,
        what=arm.part.what if arm.part else "",
        mean=comparison.difference.mean,
        low=comparison.difference.low,
        high=comparison.difference.high,
        p=comparison.p,
        p_holm=comparison.p_holm,
        p_same=comparison.p_same,
        p_failures=comparison.p_failures,
        verdict=comparison.verdict,
        at_least_smallest=comparison.at_least_smallest,
        identical=comparison.identical,
        n=comparison.n,
        lost=comparison.lost,
        failed=comparison.failed,
        failed_with=comparison.failed_with,
        trained=len(arm.outcomes),
        correlation=comparison.correlation,
        mde=comparison.mde,
        scores=tuple(arm.scores),
        saved=saved,
    )


def _epochs_saved(reference: Arm, arm: Arm, confidence: float) -> Interval:
    """Return the interval of the epochs that a part saves: those of the arm without it less those
    of the reference, seed by seed.
    """
    saved = []
    for with_part, without in zip(reference.outcomes, arm.outcomes, strict=True):
        if with_part.finished and without.finished:
            saved.append(float(without.epochs - with_part.epochs))
    return t_interval(saved, confidence)
