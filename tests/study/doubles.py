"""A trainer that trains nothing: an outcome is a function of the variant's settings plus noise
that its seed decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from winnow.execution import Workspace
from winnow.recipe import Data, Model, Outcome, Recipe, Variant
from winnow.trees import Input

__all__ = ["Pretender", "recipe"]


class Notebook:
    """A ledger that keeps documents in memory."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}

    def put_document(self, name: str, document: dict[str, Any]) -> None:
        self.documents[name] = document

    def get_document(self, name: str) -> dict[str, Any] | None:
        return self.documents.get(name)


class Pretender:
    """Stands for ``winnow.execution.Runner``.

    Args:
        score: the true score of a variant; NaN: its training fails.
        metric: what ``context`` says.
        shared: deviation of the noise that every variant with the same seed shares.
        own: deviation of the noise that each variant has for itself.
        path: of a real workspace; None: documents are kept in memory, and there are no weights.
        rows: of the validation part.
        digest: of a variant's predictions; by default every variant predicts otherwise.
    """

    def __init__(
        self,
        score: Callable[[Variant], float],
        *,
        metric: str = "accuracy",
        shared: float = 0.0,
        own: float = 0.0,
        path: Path | None = None,
        rows: int = 2000,
        digest: Callable[[Variant], str] | None = None,
    ) -> None:
        self.rows, self.digest = rows, digest
        self.score, self.metric, self.shared, self.own = score, metric, shared, own
        self.batches: list[list[Variant]] = []
        self.kept: list[bool] = []
        self.ahead: list[int] = []
        self.workspace: Any = (
            SimpleNamespace(ledger=Notebook()) if path is None else Workspace.open(path)
        )

    @property
    def trained(self) -> list[Variant]:
        return [v for batch in self.batches for v in batch]

    def context(self, recipe: Recipe) -> tuple[str, str]:
        return self.metric, "pretended"

    def prepared(self, data: Data) -> Any:
        return SimpleNamespace(
            inputs=Input((4,)),
            in_shape=(4,),
            out_features=3,
            task="classification",
            classes=("a", "b", "c"),
            validation=range(self.rows),
        )

    def train(
        self,
        variants: Sequence[Variant],
        *,
        keep_weights: bool = False,
        study: str = "train",
        ahead: int = 0,
    ) -> list[Outcome]:
        self.batches.append(list(variants))
        self.ahead.append(ahead)
        self.kept.append(keep_weights)
        return [self._outcome(v) for v in variants]

    def _outcome(self, v: Variant) -> Outcome:
        score = self.score(v)
        if np.isnan(score):
            return Outcome(v.id, "failed", reason="the loss became NaN")
        score += self.shared * np.random.default_rng(v.seed).normal()
        score += self.own * np.random.default_rng(int(v.id, 16)).normal()
        return Outcome(
            v.id,
            "finished",
            score=float(score),
            metrics={v.metric: float(score)},
            epochs=self.epochs(v),
            seconds=0.5,
            predictions_digest=v.id if self.digest is None else self.digest(v),
        )

    def epochs(self, v: Variant) -> int:
        """How many a variant trains: all but some at the end, which its seed decides, where it
        stops early.
        """
        return v.train.epochs - (5 + v.seed % 3 if v.train.early_stopping else 0)


def recipe(**sections: Any) -> Recipe:
    """A small recipe over iris; ``sections`` replace its own."""
    sections = {
        "data": Data(source="sklearn:iris"),
        "model": Model("mlp", args={"width": 8, "depth": 2}),
        **sections,
    }
    return Recipe(**sections)
