"""The features that say most about the target, each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.steps._base import BaseStep, Learned
from winnow.methods.steps._program import Keep
from winnow.spec import Count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SelectBest"]


class SelectBest(BaseStep):
    """The features with the largest F statistic are kept, in the order that they have."""

    phrase: ClassVar[str] = "choice of the best features"

    kind: Literal["select_best"] = "select_best"
    features: Count = 20
    """How many, at most."""

    def learn(
        self,
        features_NF: NDArray[np.float64],
        names: Sequence[str],
        targets_N: NDArray[np.int64] | NDArray[np.float64],
    ) -> Learned:
        """Return the choice of the features; of equal ones the first is taken.

        Source: ``sklearn.feature_selection.SelectKBest`` with ``f_classif`` or ``f_regression``. Of
        the same rows, F rises with the share of a feature's variance that goes with the target, so
        that share is what is compared.
        """
        import numpy as np

        centered_NF = features_NF - features_NF.mean(axis=0)
        total_F = (centered_NF**2).sum(axis=0)
        if targets_N.dtype.kind == "i":
            explained_F = np.zeros(len(total_F))
            for label in np.unique(targets_N):
                own = centered_NF[targets_N == label]
                explained_F += len(own) * own.mean(axis=0) ** 2
        else:
            target_N = targets_N - targets_N.mean()
            explained_F = (target_N @ centered_NF) ** 2 / ((target_N**2).sum() or 1.0)
        # What varies by rounding alone explains nothing.
        size_F = np.abs(features_NF).max(axis=0)
        varies = total_F > 1e-24 * len(features_NF) * size_F**2
        share_F = np.where(varies, explained_F / np.where(varies, total_F, 1.0), 0.0)
        best = np.argsort(-share_F, kind="stable")[: self.features]
        return Keep(tuple(np.sort(best).tolist()))
