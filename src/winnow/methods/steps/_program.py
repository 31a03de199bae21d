"""What a step has learned: a program of plain operations, which a bundle stores and applies.

Axes: N rows, F features that go in, G features that come out.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from winnow.methods.scalers import Curve, Linear, Scaling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Affine", "Beside", "Curves", "Function", "Keep", "Operation", "Products", "Program"]

FUNCTIONS = ("abs", "cos", "exp", "relu", "sigmoid", "sign", "signed_log", "sin", "square", "tanh")
# Features are float32 in the end, and a model makes nothing of an infinite one
_LARGEST = (2 - 2**-23) * 2.0**127
_MOST_FEATURES = 1_000_000  # far above what can be trained on; a damaged file may ask for more


@dataclass(frozen=True)
class Keep:
    """Some of the features, in the order given.

    Attributes:
        columns: positions of the features, from 0; one that comes twice is there twice.
    """

    KIND: ClassVar[str] = "keep"

    columns: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", _positions(self.columns))

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the features that come out of features with ``names``."""
        _expect_within(self.columns, names)
        return tuple(names[i] for i in self.columns)

    def apply(self, X_NF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the features that come out, (rows, features)."""
        return X_NF[:, list(self.columns)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"columns": list(self.columns)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Keep:
        """Return the operation that ``to_dict`` wrote."""
        return cls(plain["columns"])


@dataclass(frozen=True)
class Affine:
    """Weighted sums of the features: ``X @ weight.T + bias``, as in ``torch.nn.Linear``.

    Attributes:
        weight: (features that come out, features that go in).
        bias: (features that come out,).
        labels: names of the features that come out.
    """

    KIND: ClassVar[str] = "affine"

    weight: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", tuple(_finite(row, "weight") for row in self.weight))
        object.__setattr__(self, "bias", _finite(self.bias, "bias"))
        object.__setattr__(self, "labels", tuple(map(str, self.labels)))
        counts = {len(self.weight), len(self.bias), len(self.labels)}
        if len(counts) > 1 or len({len(row) for row in self.weight}) > 1:
            raise ValueError(
                f"expected as many rows of weight as of bias and labels, all of one length, got "
                f"{len(self.weight)}, {len(self.bias)} and {len(self.labels)}"
            )

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the features that come out of features with ``names``."""
        if self.weight:
            _expect_count("affine", len(self.weight[0]), names)
        return self.labels

    def apply(self, X_NF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the features that come out, (rows, features)."""
        weight_GF, bias_G = self._arrays
        return X_NF @ weight_GF.T + bias_G

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        weight = [list(row) for row in self.weight]
        return {"weight": weight, "bias": list(self.bias), "labels": list(self.labels)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Affine:
        """Return the operation that ``to_dict`` wrote."""
        return cls(plain["weight"], plain["bias"], plain["labels"])

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        import numpy as np

        return np.array(self.weight, dtype=np.float64), np.array(self.bias, dtype=np.float64)


@dataclass(frozen=True)
class Products:
    """Products of features.

    Attributes:
        factors: for each feature that comes out the positions of its factors; ``(2,)`` is feature 2
            itself, ``(2, 2)`` its square.
    """

    KIND: ClassVar[str] = "products"

    factors: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(map(_positions, self.factors)))
        if not all(self.factors):
            raise ValueError("expected at least one factor of each product")

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the features that come out of features with ``names``."""
        for factors in self.factors:
            _expect_within(factors, names)
        return tuple(" * ".join(names[i] for i in factors) for factors in self.factors)

    def apply(self, X_NF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the features that come out, (rows, features)."""
        import numpy as np

        out_NG = np.empty((len(X_NF), len(self.factors)))
        for g, factors in enumerate(self.factors):
            out_NG[:, g] = X_NF[:, list(factors)].prod(axis=1)
        return out_NG

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"factors": [list(factors) for factors in self.factors]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Products:
        """Return the operation that ``to_dict`` wrote."""
        return cls(plain["factors"])


@dataclass(frozen=True)
class Curves:
    """A function of one number for each feature.

    Attributes:
        curves: a ``Curve`` or a ``Linear`` for each.
        labels: names of what comes out; empty: the features keep their names.
    """

    KIND: ClassVar[str] = "curves"

    curves: tuple[Scaling, ...]
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "curves", tuple(self.curves))
        object.__setattr__(self, "labels", tuple(map(str, self.labels)))
        odd = [type(c).__name__ for c in self.curves if not isinstance(c, Curve | Linear)]
        if odd:
            raise ValueError(f"expected a Curve or a Linear for each feature, got a {odd[0]}")
        if self.labels and len(self.labels) != len(self.curves):
            raise ValueError(
                f"expected as many labels as curves, got {len(self.labels)} and {len(self.curves)}"
            )

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the features that come out of features with ``names``."""
        _expect_count("curves", len(self.curves), names)
        return self.labels or tuple(names)

    def apply(self, X_NF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the features that come out, (rows, features)."""
        import numpy as np

        out_NG = np.empty(X_NF.shape)
        for i, curve in enumerate(self.curves):
            if isinstance(curve, Linear):
                out_NG[:, i] = (X_NF[:, i] - curve.center) / curve.scale
            else:
                out_NG[:, i] = curve.apply(X_NF[:, i])
        return out_NG

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        curves = [
            curve.to_dict()
            if isinstance(curve, Curve)
            else {"center": curve.center, "scale": curve.scale}
            for curve in self.curves
        ]
        return {"curves": curves, "labels": list(self.labels)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Curves:
        """Return the operation that ``to_dict`` wrote."""
        curves = (
            Curve.from_dict(curve) if "x" in curve else Linear(curve["center"], curve["scale"])
            for curve in plain["curves"]
        )
        return cls(tuple(curves), plain["labels"])


@dataclass(frozen=True)
class Function:
    """One function of all features, each by itself.

    Attributes:
        function: ``abs``, ``cos``, ``exp``, ``relu``, ``sigmoid``, ``sign``, ``sin``, ``square``,
            ``tanh``, or ``signed_log``, which is ``sign(x) * log(1 + abs(x))``.
    """

    KIND: ClassVar[str] = "function"

    function: str

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ValueError(f"expected one of {', '.join(FUNCTIONS)}, got {self.function!r}")

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the features that come out of features with ``names``."""
        return tuple(f"{self.function}({name})" for name in names)

    def apply(self, X_NF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the features that come out, (rows, features)."""
        import numpy as np

        if self.function == "relu":
            return np.maximum(X_NF, 0)
        if self.function == "sigmoid":
            from scipy.special import expit

            return np.asarray(expit(X_NF))
        if self.function == "signed_log":
            return np.sign(X_NF) * np.log1p(np.abs(X_NF))
        named: Callable[[NDArray[np.float64]], NDArray[np.float64]] = getattr(np, self.function)
        return named(X_NF)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"function": self.function}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Function:
        """Return the operation that ``to_dict`` wrote."""
        return cls(plain["function"])


@dataclass(frozen=True)
class Beside:
    """What several programs make of the same features, side by side.

    Attributes:
        branches: each a program, or its operations; one without any keeps the features as they are.
    """

    KIND: ClassVar[str] = "beside"

    branches: tuple[Program, ...]

    def __post_init__(self) -> None:
        branches = tuple(
            branch if isinstance(branch, Program) else Program(branch) for branch in self.branches
        )
        object.__setattr__(self, "branches", branches)
        if not branches:
            raise ValueError("expected at least one branch")

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the features that come out of features with ``names``."""
        return tuple(name for branch in self.branches for name in branch.names(names))

    def apply(self, X_NF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the features that come out, (rows, features)."""
        import numpy as np

        return np.concatenate([branch.apply(X_NF) for branch in self.branches], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"branches": [branch.to_plain() for branch in self.branches]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Beside:
        """Return the operation that ``to_dict`` wrote."""
        return cls(tuple(Program.from_plain(branch) for branch in plain["branches"]))


Operation = Keep | Affine | Products | Curves | Function | Beside
OPERATIONS: tuple[type[Operation], ...] = (Keep, Affine, Products, Curves, Function, Beside)


@dataclass(frozen=True)
class Program:
    """Operations, each on what the one before it gives.

    A row becomes the same in whatever company: no operation looks at several rows.

    Attributes:
        operations: in order; without any the features stay as they are.
    """

    operations: tuple[Operation, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(self.operations))
        odd = [type(o).__name__ for o in self.operations if not isinstance(o, OPERATIONS)]
        if odd:
            known = ", ".join(kind.__name__ for kind in OPERATIONS)
            raise ValueError(f"expected operations ({known}), got a {odd[0]}")

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the features that come out of features with ``names``.

        Raises:
            ValueError: an operation does not fit the number of features that it gets.
        """
        found = tuple(names)
        for operation in self.operations:
            found = operation.names(found)
            if len(found) > _MOST_FEATURES:
                raise ValueError(f"expected at most {_MOST_FEATURES:,} features")
        return found

    def apply(self, X_NF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the features that come out, (rows, features), all of them finite.

        Args:
            X_NF: features, (rows, features), finite; they are left as they are.
        """
        import numpy as np

        for operation in self.operations:
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                X_NF = operation.apply(X_NF)
            np.nan_to_num(X_NF, copy=False, nan=0.0, posinf=_LARGEST, neginf=-_LARGEST)
            np.clip(X_NF, -_LARGEST, _LARGEST, out=X_NF)
        return X_NF

    def to_plain(self) -> list[dict[str, Any]]:
        """Return plain data for JSON; ``from_plain`` gives an equal program."""
        return [{"operation": o.KIND, **o.to_dict()} for o in self.operations]

    @classmethod
    def from_plain(cls, plain: Sequence[Mapping[str, Any]]) -> Program:
        """Return the program that ``to_plain`` wrote.

        Raises:
            KeyError, TypeError, ValueError: something else.
        """
        kinds = {kind.KIND: kind for kind in OPERATIONS}
        return cls(tuple(kinds[entry["operation"]].from_dict(entry) for entry in plain))


def _positions(values: Sequence[int]) -> tuple[int, ...]:
    """Return whole numbers from 0, of NumPy's too."""
    found = tuple(operator.index(value) for value in values)
    if any(position < 0 for position in found):
        raise ValueError(f"expected positions from 0, got {min(found)}")
    return found


def _finite(values: ArrayLike, what: str) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)  # type: ignore[union-attr, arg-type]
    if not all(map(math.isfinite, found)):
        raise ValueError(f"expected finite numbers as {what}")
    return found


def _expect_within(positions: Sequence[int], names: Sequence[str]) -> None:
    if positions and max(positions) >= len(names):
        raise ValueError(f"there is no feature {max(positions)} among {len(names)}")


def _expect_count(what: str, count: int, names: Sequence[str]) -> None:
    if count != len(names):
        raise ValueError(f"{what}: expected {count} features, got {len(names)}")
