"""What compression found: the candidates with their figures, the one that ships, and what one
must know about it.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from winnow import bundle
from winnow.compression._difference import Difference
from winnow.compression._latency import Latency
from winnow.compression._records import (
    CandidateRecord,
    CompressionRecord,
    DeclinedRecord,
    Gain,
    LossRecord,
    SpeedRecord,
)
from winnow.data import Preparation
from winnow.stats import Interval

if TYPE_CHECKING:
    import polars

__all__ = ["Candidate", "CompressionLoss", "CompressionResult", "Ingredients"]


@dataclass(frozen=True)
class CompressionLoss:
    """What a candidate loses by one metric.

    Attributes:
        metric: its name.
        drop: how much worse than ``eager``, paired by row, above 0 is worse.
        allowed: the largest drop that is accepted, in the metric's unit.
        rows_needed: about how many validation rows would show that the drop is within, if it stays
            what it is; None where that is decided, or where no number of rows would.
    """

    metric: str
    drop: Interval
    allowed: float
    rows_needed: int | None = None

    @property
    def verdict(self) -> Literal["within", "over", "undecided"]:
        """``within`` when the upper end of the drop is allowed, ``over`` when not even the
        lower end is.
        """
        if self.drop.high <= self.allowed:
            return "within"
        return "over" if self.drop.low > self.allowed else "undecided"

    @property
    def record(self) -> LossRecord:
        """Its entry in the ``compression`` document."""
        return LossRecord(self.metric, self.drop, self.allowed, self.verdict, self.rows_needed)


@dataclass(frozen=True)
class Candidate:
    """One form of the trained model, measured.

    Attributes:
        name: ``eager`` (PyTorch as trained), ``onnx`` (the same in ONNX Runtime), or the label of a
            compressor.
        bytes: of the model file; of the weights alone for ``eager``.
        score: the metric on the validation rows.
        score_drop: how much worse than ``eager``, paired by row, above 0 is worse; None where
            outputs are equal but for rounding.
        losses: the same by each metric that has a budget, the score first; empty where outputs are
            equal but for rounding.
        latency: by batch size.
        versus_eager, versus_onnx: by batch size, how many times faster; above 1 is faster.
        accepted: whether it may ship: the upper ends of its losses keep the budgets, and it has
            what was preferred.
        reason: why, or why not.
        parity: how far its outputs are from ``eager``'s on the validation rows; None for ``eager``.
        onnx: the model; None for ``eager``, which a bundle does not hold.
        gain: whether it brings what was preferred; None for ``eager`` and ``onnx``.
        compressor: the kind of what made it, or its class; None for ``eager`` and ``onnx``.
        words: what became of the model, for people; empty for ``eager`` and ``onnx``.
    """

    name: str
    bytes: int
    score: float
    score_drop: Interval | None
    latency: Mapping[int, Latency]
    versus_eager: Mapping[int, Interval]
    versus_onnx: Mapping[int, Interval]
    accepted: bool
    reason: str
    onnx: builtins.bytes | None = field(default=None, repr=False)
    losses: tuple[CompressionLoss, ...] = ()
    parity: Difference | None = None
    gain: Gain | None = None
    compressor: str | None = None
    words: str = ""

    @property
    def kind(self) -> str:
        """What a bundle says of its file: the compressor, or ``fp32``."""
        return self.compressor or "fp32"

    @property
    def record(self) -> CandidateRecord:
        """Its entry in the ``compression`` document."""
        # The smallest batch is what one request takes.
        first = min(self.latency, default=None)
        return CandidateRecord(
            name=self.name,
            words=self.words,
            bytes=self.bytes,
            score=self.score,
            score_drop=self.score_drop,
            losses=tuple(loss.record for loss in self.losses),
            parity=None if self.parity is None else self.parity.record,
            latency={str(size): latency.record for size, latency in self.latency.items()},
            versus_eager=None if first is None else self.versus_eager[first].mean,
            versus_onnx=None if first is None else self.versus_onnx[first].mean,
            speedup={
                str(size): SpeedRecord(self.versus_eager[size], self.versus_onnx[size])
                for size in self.latency
            },
            accepted=self.accepted,
            reason=self.reason,
            gain=self.gain,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return ``record`` as plain data."""
        return self.record.to_dict()


@dataclass(frozen=True)
class Ingredients:
    """What a bundle holds besides the deployed model; see ``bundle.save``."""

    preparation: Preparation
    weights: Mapping[str, np.ndarray]
    parity: bundle.Parity
    model: Mapping[str, Any]
    recipe_yaml: str | None = None


@dataclass(frozen=True)
class CompressionResult:
    """The answer of compression.

    Attributes:
        metric: the score that decided.
        budget: as asked.
        prefer: ``speed`` or ``size``, as asked.
        allowed: the largest drop of the score that it accepts, in the metric's unit.
        higher_is_better: of the metric.
        candidates: in the order eager, onnx, and those of the compressors.
        declined: the compressors that made no candidate, with the reason.
        chosen: name of the one that ships: the best of those that were accepted, or ``onnx``.
        notes: what one must know: what was ruled out, what is not faster, what the rows cannot
            tell.
        verdict_notes: those of ``notes`` that spell out the candidates' verdicts.
        rows: validation rows that decided.
        threads: of each call that was timed.
    """

    metric: str
    budget: float
    prefer: str
    allowed: float
    higher_is_better: bool
    candidates: tuple[Candidate, ...]
    chosen: str
    notes: tuple[str, ...]
    rows: int
    threads: int
    ingredients: Ingredients = field(repr=False)
    verdict_notes: tuple[str, ...] = ()
    declined: tuple[DeclinedRecord, ...] = ()

    def __getitem__(self, name: str) -> Candidate:
        """Return the candidate called ``name``."""
        return {c.name: c for c in self.candidates}[name]

    @property
    def record(self) -> CompressionRecord:
        """The ``compression`` document."""
        return CompressionRecord(
            metric=self.metric,
            budget=self.budget,
            prefer=self.prefer,
            allowed_drop=self.allowed,
            higher_is_better=self.higher_is_better,
            candidates=tuple(c.record for c in self.candidates),
            declined=self.declined,
            chosen=self.chosen,
            notes=self.notes,
            verdict_notes=self.verdict_notes,
            rows=self.rows,
            threads=self.threads,
            export_parity=self.ingredients.parity.to_dict(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return ``record`` as plain data."""
        return self.record.to_dict()

    def table(self) -> polars.DataFrame:
        """Return one row for each candidate."""
        import polars

        return polars.DataFrame(
            [_flat(c, c.name == self.chosen) for c in self.candidates], infer_schema_length=None
        )

    def save(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        recipe_metrics: Mapping[str, Any] | None = None,
        parity: Mapping[str, Any] | None = None,
        test_rows: int | None = None,
        verdict: Mapping[str, Any] | None = None,
        recipe_yaml: str | None = None,
        examples: Sequence[Mapping[str, Any]] = (),
        candidate: str | None = None,
    ) -> Path:
        """Write the chosen model as a bundle.

        Args:
            path: the folder; a bundle that is there is replaced.
            name: what the model is called; None: the folder's name.
            metrics: of the very file that is saved, on the test rows, by name; see
                ``measure_shipped``.
            recipe_metrics: means on the test rows over trainings of the recipe with several seeds,
                as PyTorch models.
            parity: how far the file is from PyTorch; None: on the validation rows, as was found.
            test_rows: how many rows ``metrics`` are of.
            verdict: whether it is shown to be better than a constant
                (``Baselines.for_manifest()``).
            recipe_yaml: the recipe; None: the one the model was trained by, where that is known.
            examples: a few rows to try the model on.
            candidate: ship this one instead of the chosen.

        Raises:
            BundleError: ``path`` holds something that is not a bundle.
            ValueError: no such candidate, or one that cannot ship.
        """
        ships = {c.name: c for c in self.candidates if c.onnx is not None}
        wanted = candidate or self.chosen
        if wanted not in ships:
            raise ValueError(f"expected one of {', '.join(ships)}, got {wanted!r}")
        shipped, more = ships[wanted], self.ingredients
        assert shipped.onnx is not None
        return bundle.save(
            path,
            onnx=shipped.onnx,
            kind=shipped.kind,
            preparation=more.preparation,
            name=name,
            weights=more.weights,
            metric=self.metric,
            metrics=metrics,
            verdict=verdict,
            model=more.model,
            recipe_yaml=recipe_yaml or more.recipe_yaml,
            recipe_metrics=recipe_metrics,
            test_rows=test_rows,
            parity=parity or (shipped.parity.to_dict() if shipped.parity else None),
            examples=examples,
            compression={
                "rows": self.rows,
                "threads": self.threads,
                "budget": self.budget,
                **shipped.to_dict(),
            },
        )


def _flat(candidate: Candidate, chosen: bool) -> dict[str, Any]:
    drop = candidate.score_drop
    row: dict[str, Any] = {
        "name": candidate.name,
        "bytes": candidate.bytes,
        "score": candidate.score,
        "score_drop": drop.mean if drop else None,
        "score_drop_low": drop.low if drop else None,
        "score_drop_high": drop.high if drop else None,
    }
    for size, latency in candidate.latency.items():
        row |= {f"median_ms_{size}": latency.median_ms, f"p95_ms_{size}": latency.p95_ms}
    return row | {"accepted": candidate.accepted, "chosen": chosen, "reason": candidate.reason}
