"""What a scaler has learned of a column: plain data, which a bundle stores and applies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Curve", "Linear", "Scaling"]

MOST_KNOTS = 1000
# The shares at which normal quantiles end, as in scikit-learn: beyond lies infinity
_LEAST_SHARE = 1e-7


@dataclass(frozen=True)
class Linear:
    """A value becomes ``(value - center) / scale``.

    Attributes:
        center: what becomes 0.
        scale: what becomes 1 unit; not 0.
    """

    center: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "center", float(self.center))
        object.__setattr__(self, "scale", float(self.scale))
        if not math.isfinite(self.center) or not math.isfinite(self.scale) or self.scale == 0:
            raise ValueError(
                f"expected a finite center and a finite scale other than 0, got {self.center:g} "
                f"and {self.scale:g}"
            )


@dataclass(frozen=True)
class Curve:
    """A value is looked up between knots, linearly; beyond the first and the last it stays at
    theirs.

    Attributes:
        x: values, in order; several that are equal are a step, in the middle of which the value
            itself lies.
        y: what becomes of each.
        normal: ``y`` are shares in [0, 1], and the standard normal quantile of what was looked up
            is what counts; shares beyond 1e-7 and 1 - 1e-7 are taken for these.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    normal: bool = False

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        if len(self.x) != len(self.y) or not self.x:
            raise ValueError(
                f"expected as many x as y, and at least one, got {len(self.x)} and {len(self.y)}"
            )
        if not all(map(math.isfinite, (*self.x, *self.y))):
            raise ValueError("expected finite x and y")
        if any(a > b for a, b in zip(self.x, self.x[1:], strict=False)):
            raise ValueError("expected x in order, from the lowest to the highest")
        if self.normal and not all(0 <= share <= 1 for share in self.y):
            raise ValueError("expected shares y in [0, 1]")

    @classmethod
    def of(
        cls, function: Callable[[NDArray[np.float64]], ArrayLike], values_N: NDArray[np.float64]
    ) -> Curve:
        """Return the curve of a function of one number.

        Args:
            function: takes and returns an array.
            values_N: of the training rows, (rows,); the knots are quantiles of them, at most 1,000.
        """
        import numpy as np

        x = np.unique(np.quantile(values_N, np.linspace(0, 1, min(MOST_KNOTS, len(values_N)))))
        return cls(tuple(x.tolist()), tuple(np.asarray(function(x), dtype=float).tolist()))

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what becomes of ``values``, in their shape."""
        import numpy as np

        x, y = self._knots
        # From both sides, as among equal x one of them finds the last and the other the first.
        found = (np.interp(values, x, y) - np.interp(-values, -x[::-1], -y[::-1])) / 2
        found = np.where(values >= x[-1], y[-1], found)
        found = np.where(values <= x[0], y[0], found)
        if not self.normal:
            return found
        from scipy.special import ndtri

        return np.asarray(ndtri(np.clip(found, _LEAST_SHARE, 1 - _LEAST_SHARE)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; ``from_dict`` gives an equal curve."""
        return {"x": list(self.x), "y": list(self.y), "normal": self.normal}

    @classmethod
    def from_dict(cls, plain: dict[str, Sequence[float]]) -> Curve:
        """Return the curve that ``to_dict`` wrote.

        Raises:
            KeyError, TypeError, ValueError: something else.
        """
        return cls(tuple(plain["x"]), tuple(plain["y"]), bool(plain["normal"]))

    @cached_property
    def _knots(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        import numpy as np

        return np.array(self.x), np.array(self.y)


Scaling = Linear | Curve
