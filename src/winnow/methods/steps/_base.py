"""The contract of steps. Axes: N rows, F features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from winnow.methods._method import BaseMethod
from winnow.methods.steps._program import Operation, Program

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BaseStep", "Learned"]

Learned = Operation | Program | Sequence[Operation]


class BaseStep(BaseMethod):
    """Turns the prepared features of a row into others, by what it learned from the training rows.

    What it learns is a program of plain operations. That alone is applied, in training as in a
    bundle, so a bundle needs neither the step nor its module.

    Class attributes:
        phrase: what a recipe with it has, for people: ``principal components``; empty: made from
            the name of the class.

    Example:
        >>> class Spread(BaseStep):
        ...     least: float = 0.1
        ...
        ...     def learn(self, features_NF, names, targets_N):
        ...         return Keep(np.flatnonzero(features_NF.std(axis=0) > self.least))
    """

    phrase: ClassVar[str] = ""

    def learn(
        self,
        features_NF: NDArray[np.float64],
        names: Sequence[str],
        targets_N: NDArray[np.int64] | NDArray[np.float64],
    ) -> Learned:
        """Return what is done to features: an operation, or several in order.

        Args:
            features_NF: of the training rows, encoded and scaled, (rows, features); read-only.
            names: of the features, (features,).
            targets_N: of the training rows, (rows,): class indices as int64, or standardized
                numbers as float64; read-only.
        """
        raise NotImplementedError("a step defines learn")

    def program(
        self,
        features_NF: NDArray[np.float64],
        names: Sequence[str],
        targets_N: NDArray[np.int64] | NDArray[np.float64],
    ) -> Program:
        """Return what ``learn`` gives, once it is known to fit the features.

        Args:
            features_NF: as ``learn`` takes them.
            names: as ``learn`` takes them.
            targets_N: as ``learn`` takes them.

        Raises:
            ValueError: it is no operation, does not fit, leaves no feature, or gives two of them
                one name.
        """
        features_NF, targets_N = features_NF.view(), targets_N.view()
        features_NF.flags.writeable = targets_N.flags.writeable = False
        found = self.learn(features_NF, tuple(names), targets_N)
        if isinstance(found, Program):
            program = found
        else:
            program = Program(tuple(found) if isinstance(found, Sequence) else (found,))
        own = program.names(names)
        if not own:
            raise ValueError("it leaves no feature")
        if len(set(own)) < len(own):
            twice = next(name for i, name in enumerate(own) if name in own[:i])
            raise ValueError(f"two of its features are called {twice!r}")
        return program
